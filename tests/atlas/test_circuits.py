"""Circuits as values: what two share, and what the graph gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas import circuits
from atlas.circuits import Circuit
from atlas.errors import QueryError
from atlas.lookup import Table
from atlas.store.connection import Connection

names = st.sampled_from("abcdef")


def made(name: str, edges: set[tuple[str, str]], extra: set[str]) -> Circuit:
    nodes = {node for ends in edges for node in ends} | extra
    return Circuit(name, {node: {} for node in sorted(nodes)}, {ends: {} for ends in sorted(edges)})


any_circuit = st.builds(made, st.just("c"), st.sets(st.tuples(names, names)), st.sets(names))


@given(any_circuit, any_circuit)
def test_overlap_and_difference_agree(a: Circuit, b: Circuit) -> None:
    parts = circuits.difference(a, b)
    assert circuits.overlap(a, b) == circuits.overlap(b, a)
    assert set(parts.both.nodes) == set(a.nodes) & set(b.nodes)
    assert set(parts.only_first.edges) | set(parts.both.edges) == set(a.edges)
    assert not set(parts.only_second.nodes) & set(a.nodes)
    either = len(set(a.nodes) | set(b.nodes))
    assert circuits.overlap(a, b) == (len(parts.both.nodes) / either if either else 0.0)
    assert circuits.edge_overlap(a, a) == (1.0 if a.edges else 0.0)


def test_a_table_without_ends_is_no_circuit() -> None:
    with pytest.raises(QueryError, match="columns source and target"):
        circuits.of_table("x", Table("models", {}, ("model",), ()))


@pytest.mark.server
def test_circuits_of_the_graph(golden: Connection) -> None:
    root = "tiny@0123abcd"
    first, second = (circuits.stored(golden, name) for name in ("c0000000001a", "c0000000002b"))
    assert list(first.nodes) == [f"{root}/{unit}" for unit in ("stem/0", "block1/0", "block2/0", "head/0")]
    assert first.nodes[f"{root}/stem/0"]["role"] == "root"
    assert first.edges[f"{root}/block2/0", f"{root}/head/0"]["sensitivity"] == 0.75
    assert circuits.overlap(first, second) == 2 / 5
    whole = circuits.of_image(golden, "cat/1.png")
    assert set(whole.edges) == set(first.edges) | set(second.edges)
    lone = circuits.stored(golden, "c0000000005e")
    assert (list(lone.nodes), lone.edges) == ([f"{root}/block1/0"], {})
    walked = circuits.traversal(golden, "cat/1.png", "tiny", share=0.5)
    assert (f"{root}/stem/1", f"{root}/block1/1") in walked.edges
