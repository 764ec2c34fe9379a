"""Tables as text, JSON and CSV; Browser links as Browser reads them; circuits for other programs."""

from __future__ import annotations

import csv as standard_csv
import io
import json as standard_json
import re
from urllib.parse import unquote

import networkx
import pytest

from atlas import catalogue
from atlas.circuits import Circuit
from atlas.errors import AtlasError, QueryError
from atlas.lookup import Subgraph, Table
from atlas.views import browser, csv, graph, json, text

TABLE = Table(
    "sample",
    {"limit": 2},
    ("neuron", "score", "n", "tags", "note"),
    (
        {"neuron": "tiny@0123abcd/stem/0", "score": 0.123456789, "n": 1, "tags": ["a", "b"], "note": None},
        {"neuron": "[red]x[/red]", "score": float("nan"), "n": 20, "tags": [], "note": 'say "ä",\nplease'},
    ),
    full=True,
)
CIRCUIT = Circuit(
    "c1",
    {"m@00000000/a/0": {"role": "root"}, "m@00000000/b/1": {"role": None}, "m@00000000/b/2": {}},
    {("m@00000000/a/0", "m@00000000/b/1"): {"sensitivity": 0.5, "identity": True}},
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_fits_and_keeps_every_value(width: int) -> None:
    shown = text.table(TABLE, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "0.1235" in shown
    assert "[red]x[/red]" in shown or width < 80
    assert shown.endswith("the first 2 rows; more with --limit\n")


def test_text_of_many_columns_is_a_block_per_row() -> None:
    columns = tuple(f"column_{i}" for i in range(12))
    wide = Table("wide", {}, columns, (dict.fromkeys(columns, "value " * 30),))
    shown = text.table(wide, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith("column_0   value")


def test_text_says_once_what_all_rows_share() -> None:
    rows = tuple({"model": "m" * 40, "unit": "u" * 30 + str(i), "score": float(i)} for i in range(2))
    shown = text.table(Table("same", {}, ("model", "unit", "score"), rows), 60)
    assert shown.count("m" * 40) == 1
    assert shown.splitlines()[2].split() == ["unit", "score"]


def test_text_without_rows() -> None:
    assert text.table(Table("none", {}, ("a",), ())) == "no rows\n"


@pytest.mark.parametrize("name", [q.name for q in catalogue.load().values() if q.draws is None])
def test_every_query_fits_a_terminal(name: str) -> None:
    query = catalogue.get(name)
    samples = {
        "string": "digit_pairs@0123abcd/layer3.2.long_name/117",
        "integer": 123456,
        "integers": [12] * 6,
        "floats": [0.00012345] * 6,
        "float": 0.00012345,
        "boolean": True,
        "strings": ["resnet50@0123abcd/layer3.2/117"] * 6,
        "json": '{"a": 1}' * 20,
    }
    row = {column.name: samples[column.type] for column in query.returns}
    shown = text.table(Table(name, {}, query.columns, (row, row)), 80)
    assert max(map(len, shown.splitlines())) <= 80


def test_json_is_one_document_by_contract() -> None:
    subgraph = Subgraph(({"id": "a", "type": "Neuron"},), ())
    document = standard_json.loads(
        json.document(Table("q", {"a": 1}, ("x",), ({"x": "ä"},), subgraph=subgraph))
    )
    assert document == {
        "query": "q",
        "params": {"a": 1},
        "columns": ["x"],
        "rows": [{"x": "ä"}],
        "subgraph": {"nodes": [{"id": "a", "type": "Neuron"}], "edges": []},
    }
    strict = standard_json.loads(json.document(TABLE), parse_constant=pytest.fail)
    assert strict["rows"][1]["score"] is None
    assert "subgraph" not in strict
    assert json.document(TABLE).count("\n") == 1


def test_csv_reads_back() -> None:
    rows = list(standard_csv.reader(io.StringIO(csv.document(TABLE), newline="")))
    assert rows[0] == list(TABLE.columns)
    assert rows[1] == ["tiny@0123abcd/stem/0", "0.123456789", "1", '["a", "b"]', ""]
    assert rows[2][4] == 'say "ä",\nplease'


def opened(link: str) -> tuple[str, str]:
    """Command and editor content as Browser 5.24 takes them from an address: decoded whole, then cut."""
    command = re.search(r"[?&]cmd=([^&#]*)", link)
    content = re.findall(r"[?&]arg=([^&#]*)", unquote(link.replace("+", " ")))
    assert command is not None
    return command[1], "\n".join(content)


def test_a_link_opens_with_the_query_filled_in() -> None:
    query = catalogue.get("circuit_edges")
    values = {"circuit": "a'b&c#d?arg=%41+1 ä", "limit": 5}
    statement = browser.statement(query, values)
    link = browser.link("http://127.0.0.1:7474/browser/", "bolt://127.0.0.1:7687", "neo4j", statement)
    assert link.startswith(
        "http://127.0.0.1:7474/browser/?dbms=bolt%3A%2F%2Fneo4j%40127.0.0.1%3A7687&db=neo4j&cmd=edit&arg="
    )
    assert opened(link) == ("edit", statement)
    assert r"{circuit: 'a\'b\u0026c\u0023d?arg=%41+1 ä'}" in statement
    assert "$" not in statement


def test_a_link_refuses_what_browser_would_cut() -> None:
    with pytest.raises(QueryError, match="Browser cannot take"):
        browser.link("http://x/browser/", "bolt://x", "neo4j", "MATCH (n:A&B) RETURN n")


def test_graph_forms() -> None:
    document = standard_json.loads(graph.render(CIRCUIT, "json"))
    assert [node["id"] for node in document["nodes"]] == list(CIRCUIT.nodes)
    assert document["edges"][0]["sensitivity"] == 0.5
    assert graph.render(CIRCUIT, "csv").splitlines() == [
        "source,target,sensitivity,identity",
        "m@00000000/a/0,m@00000000/b/1,0.5,True",
    ]
    read = networkx.parse_graphml(graph.render(CIRCUIT, "graphml"))
    assert set(read.edges) == set(CIRCUIT.edges)
    assert read.nodes["m@00000000/a/0"] == {"role": "root"}
    drawn = graph.render(CIRCUIT, "dot")
    assert '"m@00000000/a/0" -> "m@00000000/b/1" [penwidth=3];' in drawn
    assert drawn.count("rank=same") == 2
    assert '[label="b/2"]' in drawn


def test_an_unknown_form_lists_the_known() -> None:
    with pytest.raises(AtlasError, match="json or csv or dot or graphml"):
        graph.render(CIRCUIT, "png")
