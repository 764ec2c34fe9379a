"""Arguments coerced and completed, one query asked, the answer as a table and a subgraph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas import lookup, resolve
from atlas.address import image_id_of_file
from atlas.errors import AddressError, QueryError
from atlas.store.connection import Connection
from atlas.store.values import GraphNode, GraphPath, GraphRelationship

ROOT = "tiny@0123abcd"
FIRST = "img:0000000000000001"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", "20", 20),
        ("integer", 20.0, 20),
        ("float", "1e-3", 1e-3),
        ("float", 2, 2.0),
        ("boolean", "yes", True),
        ("boolean", False, False),
        ("string", 3, "3"),
        ("strings", "a,b", ["a", "b"]),
        ("strings", '["a,b"]', ["a,b"]),
        ("integers", ["1", 2], [1, 2]),
        ("floats", "0.5,1", [0.5, 1.0]),
        ("maps", '[{"layer": "stem"}]', [{"layer": "stem"}]),
        ("maps", ({"a": 1},), [{"a": 1}]),
    ],
)
def test_coerce(kind: str, value: object, expected: object) -> None:
    found = lookup.coerce(kind, value, "query.argument")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "1.5"),
        ("integer", True),
        ("integer", "inf"),
        ("float", "much"),
        ("float", [1.0]),
        ("boolean", "perhaps"),
        ("string", ["a"]),
        ("strings", 3),
        ("integers", "1,x"),
        ("strings", "[1"),
        ("maps", "3"),
        ("maps", "{"),
    ],
)
def test_coerce_refuses(kind: str, value: object) -> None:
    with pytest.raises(QueryError, match=rf"bad argument: query.argument \(expected {kind}"):
        lookup.coerce(kind, value, "query.argument")


def test_graph_values_become_ids_and_a_subgraph() -> None:
    a, b = (GraphNode(("Neuron",), {"id": name, "mean": 1.0}, key) for name, key in (("a", "1"), ("b", "2")))
    edge = GraphRelationship("FLOWS_TO", "1", "2", {"overlap": 0.5}, "9")
    dangling = GraphRelationship("FLOWS_TO", "1", "3", {}, "8")
    rows = [(GraphPath((a, b), (edge,)), [edge], {"x": b}), (a, dangling, None)]
    table = lookup.table_of("t", {}, ("path", "edges", "map"), rows)
    assert table.rows == (
        {"path": ["a", "b"], "edges": [["a", "FLOWS_TO", "b"]], "map": {"x": "b"}},
        {"path": "a", "edges": ["a", "FLOWS_TO", None], "map": None},
    )
    assert table.subgraph == lookup.Subgraph(
        nodes=({"type": "Neuron", "id": "a", "mean": 1.0}, {"type": "Neuron", "id": "b", "mean": 1.0}),
        edges=({"source": "a", "target": "b", "type": "FLOWS_TO", "overlap": 0.5},),
    )


@pytest.mark.server
class TestOnTheGoldenGraph:
    def test_defaults_and_completion(self, golden: Connection) -> None:
        table = lookup.run(golden, "neuron_edges", {"neuron": "block1/1", "limit": "1"})
        assert table.params == {"neuron": f"{ROOT}/block1/1", "direction": "both", "limit": 1}
        assert table.columns[:2] == ("direction", "neighbour")
        assert table.subgraph is None

    def test_full_tells_that_there_may_be_more(self, golden: Connection) -> None:
        assert lookup.run(golden, "classes", {"limit": 3}).full
        assert not lookup.run(golden, "classes", {"limit": 4}).full

    def test_draw_adds_the_subgraph_of_the_drawing(self, golden: Connection) -> None:
        table = lookup.run(golden, "circuit_edges", {"circuit": "c0000000002b"}, draw=True)
        assert table.subgraph is not None
        assert {node["id"] for node in table.subgraph.nodes} == {
            f"{ROOT}/{unit}" for unit in ("block1/1", "block2/0", "head/0")
        }
        assert [(e["source"], e["target"], e["type"]) for e in table.subgraph.edges] == [
            (row["source"], row["target"], "DRIVES") for row in table.rows
        ]

    @pytest.mark.parametrize(
        ("name", "params", "said"),
        [
            ("circuit_edge", {}, "circuit_edges"),
            ("circuit_edges", {}, "an argument is missing: circuit_edges.circuit"),
            ("circuit_edges", {"circut": "c0000000002b"}, "expected circuit, got circut"),
            ("classes", {"limit": "many"}, "bad argument: classes.limit"),
            ("classes", {"limit": -1}, "refuses"),
        ],
    )
    def test_bad_arguments(self, golden: Connection, name: str, params: dict[str, Any], said: str) -> None:
        with pytest.raises(QueryError, match=said):
            lookup.run(golden, name, params)

    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            ("model", "tiny", ROOT),
            ("model", "tiny@01", ROOT),
            ("layer", "block1", f"{ROOT}/block1"),
            ("layer", "tiny/stem", f"{ROOT}/stem"),
            ("neuron", "block1/2", f"{ROOT}/block1/2"),
            ("neuron", "tiny/stem/0", f"{ROOT}/stem/0"),
            ("neuron", f"{ROOT}/stem/0", f"{ROOT}/stem/0"),
            ("neuron", "stem/2", f"{ROOT}/stem/2"),
            ("concept", "block1/c0", f"{ROOT}/block1/c0"),
            ("concept", "tiny/block2/sae.c0", f"{ROOT}/block2/sae.c0"),
            ("class", "cat", "toy/cat"),
            ("class", "toy/cat", "toy/cat"),
            ("image", FIRST, FIRST),
            ("image", "cat/1.png", FIRST),
            ("image", "1.png", FIRST),
            ("image", "img:0000000000000001"[:20], FIRST),
            ("circuit", "c0000000001a", "c0000000001a"),
            ("circuit", "c0000000001", "c0000000001a"),
            ("run", "r0000000002", "r0000000002"),
        ],
    )
    def test_the_shortest_clear_form_is_enough(
        self, golden: Connection, kind: str, text: str, expected: str
    ) -> None:
        assert resolve.reference(golden, kind, text) == expected

    @pytest.mark.parametrize(
        ("kind", "text", "said"),
        [
            (
                "neuron",
                "stem/0",
                "neuron is not named clearly: stem/0 .*other@ffffffff/stem/0, tiny@0123abcd/stem/0",
            ),
            ("layer", "stem", "not named clearly"),
            ("neuron", "block1/9", "has no such neuron: block1/9 .expected 0 to 2, got 9"),
            ("neuron", "blok1/1", "layer is not in the atlas: blok1/1 .*block1"),
            ("neuron", "block1", "expected Neuron, got Layer"),
            ("neuron", "huge/stem/0", "model is not in the atlas: huge"),
            ("neuron", "tiny@99999999/stem/0", "model is not in the atlas"),
            ("neuron", "block1/one", "not a unit of a layer"),
            ("model", "tinny", "expected .*tiny@0123abcd"),
            ("class", "cta", "class is not in the atlas: cta .expected one of cat, car"),
            ("class", "toy/bird", "class is not in the atlas"),
            ("image", "none.png", "does not hold that image: none.png"),
            ("image", "img:00", "image is not named clearly.*more than 5"),
            ("circuit", "c9", "circuit is not in the atlas: c9"),
            ("circuit", "c", "circuit is not named clearly"),
        ],
    )
    def test_unknown_and_ambiguous(self, golden: Connection, kind: str, text: str, said: str) -> None:
        with pytest.raises(AddressError, match=said):
            resolve.reference(golden, kind, text)

    def test_a_model_left_out_among_several(self, golden: Connection) -> None:
        with pytest.raises(AddressError, match="other@ffffffff, tiny@0123abcd"):
            lookup.run(golden, "hubs")


@pytest.mark.server
def test_with_one_model_its_name_may_be_left_out(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="holds no model"):
        resolve.model(connection)
    with pytest.raises(AddressError, match="holds no model"):
        resolve.neuron(connection, "a/0")
    file = tmp_path / "photo.png"
    file.write_bytes(b"bytes")
    connection.write(
        "CREATE (:Model {id: 'm@00000000', name: 'm'}), (:Layer {id: 'm@00000000/a', name: 'a', "
        "model: 'm@00000000', channels: 1}), (:Neuron {id: 'm@00000000/a/0'}), (:Image {id: $id, name: 'x/y.png'})",
        {"id": image_id_of_file(file)},
    )
    assert resolve.model(connection) == "m@00000000"
    assert resolve.neuron(connection, "a/0") == "m@00000000/a/0"
    assert resolve.address(connection, "a") == "m@00000000/a"
    assert resolve.image(connection, str(file)) == image_id_of_file(file)
