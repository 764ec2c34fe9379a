"""Query files: what is accepted, what is refused with path:line, and where they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas import catalogue, reference
from atlas.errors import QueryError
from atlas.query_file import read

ROOT = Path(__file__).parents[2]
GOOD = """// name: sample
// summary: The neurons of a layer.
// params:
//   layer: string — name of the layer
//   limit: integer = 5 — rows at most
// returns:
//   neuron: string — address
//   mean: float — mean activation
// key: neuron
// cost: lookup
MATCH (n:Neuron {layer: $layer})
RETURN n.id AS neuron, n.mean AS mean
ORDER BY mean DESC, neuron
LIMIT $limit
"""


def write(folder: Path, text: str, name: str = "sample") -> Path:
    path = folder / f"{name}.cypher"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    query = read(write(tmp_path, GOOD))
    assert (query.name, query.key, query.cost, query.columns) == (
        "sample",
        ("neuron",),
        "lookup",
        ("neuron", "mean"),
    )
    assert [(p.name, p.type, p.required, p.default) for p in query.parameters] == [
        ("layer", "string", True, None),
        ("limit", "integer", False, 5),
    ]
    assert query.sent.startswith("// atlas:sample queries/sample.cypher\nMATCH (n:Neuron")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("// name: sample", "// name: other", 1, "name and file differ"),
        ("// name: sample", "// author: me", 1, "unknown header line"),
        ("// key: neuron", "// key: neuron\n// key: neuron", 10, "stands twice"),
        ("// cost: lookup\n", "", 1, "a header key is missing"),
        ("// cost: lookup", "// cost: free", 10, "unknown cost"),
        ("a layer.", "a layer", 2, "not a sentence"),
        ("integer = 5", "number = 5", 5, "bad parameter"),
        ("integer = 5", "integer = five", 5, "not JSON"),
        (" — name of the layer", "", 4, "bad parameter"),
        ("mean: float —", "mean: node —", 8, "bad column"),
        ("// key: neuron", "// key: other", 9, "key is not among"),
        ("layer: $layer", "layer: 'x'", 11, "declared and used parameters differ"),
        ("$layer", "$layers", 11, "declared and used parameters differ"),
        ("n.mean AS mean", "n.mean AS average", 12, "declared and returned columns differ"),
        ("n.mean AS mean", "n.mean", 12, "declared and returned columns differ"),
        ("(n:Neuron", "(n:Neurone", 11, "no such label"),
        ("(n:Neuron {layer: $layer})", "(n:Neuron {layer: $layer})-[:DRIVE]->()", 11, "no such type"),
        ("n.mean AS", "n.meen AS", 12, "no such property"),
        ("{layer: $layer}", "{lager: $layer}", 11, "no such property"),
        ("RETURN n.id", "SET n.mean = 1 RETURN n.id", 12, "not a question"),
        ("LIMIT $limit", "// $limit", 11, "declared and used parameters differ"),
        ("LIMIT $limit", "SKIP $limit", 12, "no LIMIT"),
        ("ORDER BY mean DESC, neuron", "ORDER BY neuron, mean", 12, "ORDER BY does not end in the key"),
        ("ORDER BY mean DESC, neuron\n", "", 12, "ORDER BY does not end in the key"),
        ("RETURN n.id", "RETURN 1 AS a UNION RETURN n.id", 12, "UNION"),
        ("MATCH (n:Neuron", "MATCH n:Neuron", 11, "bracket"),
        ("ORDER BY mean", "ORDER BY 'mean", 13, "cannot be read as Cypher"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(QueryError, match=said) as caught:
        read(path)
    assert caught.value.where == f"{path}:{line}"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "sample.cypher"
    path.write_bytes(b"// name: \xff")
    with pytest.raises(QueryError, match="cannot be read"):
        read(path)


def test_a_name_stands_once(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, GOOD)
    with pytest.raises(QueryError, match="of that name exists"):
        catalogue.load_folders(tmp_path / "a", tmp_path / "b")


def drawing(draws: str, limit: str = "5") -> str:
    text = GOOD.replace("name: sample", "name: drawing").replace("= 5", f"= {limit}")
    text = text.replace("// cost: lookup", f"// cost: lookup\n// draws: {draws}")
    return (
        text.replace("mean: float —", "node: node —")
        .replace("n.mean AS mean", "n AS node")
        .replace("mean DESC, ", "")
    )


def test_a_drawing_is_joined_to_its_table(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, drawing("sample"), "drawing")
    found = catalogue.load_folders(tmp_path)
    assert (found["sample"].drawing, found["drawing"].draws) == ("drawing", "sample")


@pytest.mark.parametrize(
    ("draws", "limit", "said"), [("nothing", "5", "draws no table"), ("sample", "6", "other parameters")]
)
def test_a_drawing_of_something_else_is_refused(tmp_path: Path, draws: str, limit: str, said: str) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, drawing(draws, limit), "drawing")
    with pytest.raises(QueryError, match=said):
        catalogue.load_folders(tmp_path)


def test_an_own_folder_adds_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    monkeypatch.setenv("ATLAS_QUERIES", str(tmp_path))
    assert catalogue.get("sample").path.parent == tmp_path
    assert "circuit_edges" in catalogue.load()


def test_an_own_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_QUERIES", str(tmp_path / "none"))
    with pytest.raises(QueryError, match="ATLAS_QUERIES"):
        catalogue.load()


def test_an_unknown_name_tells_the_closest() -> None:
    with pytest.raises(QueryError, match="circuit_edges"):
        catalogue.get("circuit_edge")


def test_every_query_takes_a_limit_and_shipped_texts_pass_through_links() -> None:
    for query in catalogue.load().values():
        assert any(p.name == "limit" and p.type == "integer" for p in query.parameters), query.name
        assert not set("&#") & set(query.text), query.name


def test_structure_has_two_forms() -> None:
    tables = [query for query in catalogue.load().values() if query.draws is None]
    edges = [query for query in tables if {"source", "target"} <= set(query.columns)]
    assert len(edges) >= 3
    assert [query.name for query in edges if query.drawing is None] == []


def test_the_page_is_up_to_date() -> None:
    path = ROOT / "docs" / "queries.md"
    assert path.is_file(), "run `make docs`"
    assert path.read_text(encoding="utf-8") == reference.page(), "run `make docs`"
