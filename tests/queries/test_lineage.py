"""Lineage of a concept against its definition, spelled out over plain Python on random layered graphs."""

from __future__ import annotations

import itertools
import random

import pytest

from atlas import lookup
from atlas.store import prepare
from atlas.store.connection import Connection

pytestmark = pytest.mark.server

MODEL, SCOPE = "random@00000000", "toy/cat"
LAYERS, CONCEPTS = 5, 4
Unit = tuple[int, int]
Shares = dict[tuple[Unit, Unit], float]


def name(unit: Unit) -> str:
    return f"{MODEL}/l{unit[0]}/c{unit[1]}"


def random_shares(seed: int) -> Shares:
    """Signed shares, in eighths, of most pairs of adjacent layers, and some over two layers."""
    draw = random.Random(seed)
    units = range(CONCEPTS)
    return {
        ((i, a), (i + hops, b)): draw.choice([-4, -2, -1, 1, 2, 3, 5]) / 8
        for hops in (1, 2)
        for i, a, b in itertools.product(range(LAYERS - hops), units, units)
        if draw.random() < 0.7 / hops
    }


def fill(connection: Connection, shares: Shares) -> None:
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 1000 ROWS")
    prepare.introduce(connection)
    prepare.constrain(connection)
    connection.write(
        "CREATE (m:Model {id: $model, name: 'random'}), (:Class {id: $scope, name: 'cat'}) "
        "WITH m UNWIND range(0, $layers - 1) AS i "
        "CREATE (m)-[:HAS_LAYER]->(l:Layer {id: $model + '/l' + i, name: 'l' + i, model: $model, ordinal: i}) "
        "WITH l UNWIND range(0, $concepts - 1) AS c CREATE (:Concept {id: l.id + '/c' + c, layer: l.id, ordinal: c})",
        {"model": MODEL, "scope": SCOPE, "layers": LAYERS, "concepts": CONCEPTS},
    )
    rows = [[name(a), name(b), share, b[0] - a[0]] for (a, b), share in shares.items()]
    connection.write(
        "UNWIND $rows AS row MATCH (a:Concept {id: row[0]}), (b:Concept {id: row[1]}) UNWIND [$scope, 'toy/dog'] AS s "
        "CREATE (a)-[:CONTRIBUTES_TO {gig: row[2], share: CASE s WHEN $scope THEN row[2] ELSE 1.0 END, "
        "hops: row[3], scope: s}]->(b)",
        {"rows": rows, "scope": SCOPE},
    )


def lineage(shares: Shares, start: Unit, beam: int, *, up: bool) -> set[tuple[str, str, int]]:
    """Edges into the kept concepts of each layer, by the rule in words."""
    kept, found = {start: 1.0}, set()
    for step in range(1, LAYERS):
        weights: dict[Unit, float] = {}
        for (a, b), share in shares.items():
            near, far = (a, b) if up else (b, a)
            if b[0] - a[0] == 1 and near in kept:
                weights[far] = weights.get(far, 0.0) + kept[near] * share
        best = sorted(weights, key=lambda unit: (-abs(weights[unit]), name(unit)))[:beam]
        for a, b in shares:
            near, far = (a, b) if up else (b, a)
            if b[0] - a[0] == 1 and near in kept and far in best:
                found.add((name(a), name(b), step))
        kept = {unit: weights[unit] for unit in best}
    return found


@pytest.mark.parametrize("seed", range(2))
def test_lineage_is_its_definition(connection: Connection, seed: int) -> None:
    shares = random_shares(seed)
    fill(connection, shares)
    sizes = []
    for up, beam in itertools.product((True, False), (1, 2, 4)):
        start = (0, 1) if up else (LAYERS - 1, 1)
        params = {"concept": name(start), "class": "cat", "beam": beam}
        table = lookup.run(connection, f"concept_lineage_{'up' if up else 'down'}", params)
        expected = lineage(shares, start, beam, up=up)
        assert {(row["source"], row["target"], row["step"]) for row in table.rows} == expected
        assert len(table.rows) == len(expected)
        sizes.append(len(expected))
    assert max(sizes) > 8
