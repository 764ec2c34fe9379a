"""Tests of `atlas.store.connection` against a real server."""

from __future__ import annotations

import pytest

from atlas.store.connection import Connection
from atlas.store.values import GraphNode, GraphPath, GraphRelationship

pytestmark = pytest.mark.server


def test_rows_are_plain_values(connection: Connection) -> None:
    wrote = connection.write(
        "CREATE (a:Neuron {id: $a, n: 1})-[r:DRIVES {raw: .5}]->(b:Neuron {id: $b}) RETURN 1 AS one",
        {"a": "x", "b": "y"},
    )
    assert wrote.counters["nodes_created"] == 2
    got = connection.read(
        "MATCH p = (a)-[r:DRIVES]->(b) RETURN a, r, p, [a.id, b.id] AS ids, {m: a.n} AS map"
    )
    a, r, p, ids, mapped = got.rows[0]
    assert isinstance(a, GraphNode)
    assert isinstance(r, GraphRelationship)
    assert isinstance(p, GraphPath)
    assert (a.labels, a.properties) == (("Neuron",), {"id": "x", "n": 1})
    assert (r.type, r.properties, r.start, r.end) == ("DRIVES", {"raw": 0.5}, a.key, p.nodes[1].key)
    assert [n.properties["id"] for n in p.nodes] == ids == ["x", "y"]
    assert p.relationships == (r,)
    assert mapped == {"m": 1}


def test_empty_before_each_test(connection: Connection) -> None:
    assert connection.read("MATCH (n) RETURN count(n) AS n").rows == ((0,),)
