"""The atlas in Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

from atlas import Atlas, open_atlas
from atlas.errors import AddressError, QueryError
from atlas.store.connection import Connection

ROOT = "tiny@0123abcd"


def test_import_stays_light() -> None:
    code = "import sys, atlas; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "neo4j", "pyarrow", "networkx", "numpy", "rich", "typer"} & set(loaded)


def test_asking_needs_no_frames() -> None:
    code = "import sys, atlas.api; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "networkx", "pyarrow"} & set(loaded)


def test_no_other_name_is_made_up() -> None:
    import atlas

    with pytest.raises(AttributeError, match="nothing_such"):
        _ = atlas.nothing_such


@pytest.mark.server
class TestOnTheGoldenGraph:
    def test_rows_iterate(self, golden: Connection) -> None:
        rows = Atlas(golden).query("classes")
        assert [row["class"] for row in rows] == ["toy/car", "toy/cat", "toy/dog"]
        assert (len(rows), rows[1]["name"], rows.columns[0]) == (3, "cat", "class")

    def test_pandas(self, golden: Connection) -> None:
        frame = Atlas(golden).query("neuron_edges", neuron="block1/1").to_pandas()
        assert list(frame.columns[:3]) == ["direction", "neighbour", "layer"]
        assert frame["sensitivity"].tolist() == [0.75, 0.5, 0.25, 0.25]
        empty = Atlas(golden).query("circuit_edges", circuit="c0000000005e").to_pandas()
        assert (len(empty), list(empty.columns[:2])) == (0, ["source", "target"])

    def test_networkx_of_edges(self, golden: Connection) -> None:
        graph = Atlas(golden).query("circuit_of_image", image="cat/1.png").to_networkx()
        assert graph.number_of_edges() == 4
        assert graph.edges[f"{ROOT}/block2/0", f"{ROOT}/head/0"]["circuits"] == 2

    def test_networkx_of_a_drawing(self, golden: Connection) -> None:
        graph = Atlas(golden).query("neuron_edges", neuron="block1/1").to_networkx()
        assert set(graph.predecessors(f"{ROOT}/block1/1")) == {f"{ROOT}/stem/0", f"{ROOT}/stem/1"}
        assert graph.nodes[f"{ROOT}/stem/0"]["type"] == "Neuron"

    def test_networkx_of_a_list_is_refused(self, golden: Connection) -> None:
        with pytest.raises(QueryError, match="no graph"):
            Atlas(golden).query("classes").to_networkx()

    def test_cypher_reads_and_draws(self, golden: Connection) -> None:
        atlas = Atlas(golden)
        rows = atlas.cypher("MATCH p = (:Neuron {id: $id})-[:FLOWS_TO]->() RETURN p", id=f"{ROOT}/stem/1")
        assert rows.to_networkx().number_of_edges() == 2
        assert len(atlas.cypher("UNWIND range(1, 10) AS x RETURN x", limit=4)) == 4

    def test_cypher_only_reads(self, golden: Connection) -> None:
        with pytest.raises(QueryError):
            Atlas(golden).cypher("CREATE (n:Neuron {id: 'x'})")

    def test_a_circuit(self, golden: Connection) -> None:
        assert len(Atlas(golden).circuit("c0000000001a").edges) == 3

    def test_errors_pass_through(self, golden: Connection) -> None:
        with pytest.raises(AddressError):
            Atlas(golden).query("neuron_images", neuron="nowhere/0")


@pytest.mark.server
@pytest.mark.usefixtures("server_environment")
def test_open_atlas_finds_the_managed_server() -> None:
    with open_atlas() as atlas:
        assert "models" in atlas.queries
        assert atlas.cypher("RETURN 1 AS one")[0]["one"] == 1
