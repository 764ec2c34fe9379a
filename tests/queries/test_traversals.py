"""Traversals against their definition, spelled out over plain Python sets on random layered graphs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from atlas import lookup
from atlas.store import prepare
from atlas.store.connection import Connection

pytestmark = pytest.mark.server

MODEL = "random@00000000"
IMAGE = "img:00000000000000aa"
LAYERS, CHANNELS = 6, 5
Unit = tuple[int, int]


@dataclass(frozen=True)
class World:
    """Flow between units of adjacent layers (sensitivity, overlap), and one image's lists.

    Every second root holds the image in its list; the others are passed by its value alone.
    """

    flow: Mapping[tuple[Unit, Unit], tuple[float, float]]
    roots: frozenset[Unit]
    mask: tuple[tuple[int, ...], ...]


def name(unit: Unit) -> str:
    return f"{MODEL}/l{unit[0]}/{unit[1]}"


def random_world(seed: int) -> World:
    draw = random.Random(seed)
    flow = {
        ((i, a), (i + 1, b)): (draw.randint(0, 8) / 8, draw.randint(0, 8) / 8)
        for i, a, b in itertools.product(range(LAYERS - 1), range(CHANNELS), range(CHANNELS))
        if draw.random() < 0.7
    }
    mask = tuple(tuple(c for c in range(CHANNELS) if draw.random() < 0.7) for _ in range(LAYERS))
    roots = frozenset((i, c) for i in range(LAYERS) for c in mask[i] if draw.random() < 0.3)
    return World(flow, roots, mask)


def fill(connection: Connection, world: World) -> None:
    roots = sorted(world.roots)
    listed, passed = roots[::2], set(roots[1::2])
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 1000 ROWS")
    prepare.introduce(connection)
    prepare.constrain(connection)
    connection.write(
        "CREATE (m:Model {id: $model, name: 'random'}), (image:Image {id: $image}) "
        "WITH m, image UNWIND range(0, $layers - 1) AS i "
        "CREATE (m)-[:HAS_LAYER]->(l:Layer {id: $model + '/l' + i, name: 'l' + i, model: $model, ordinal: i}) "
        "CREATE (image)-[:ACTIVATES {channels: $mask[i], values: $values[i]}]->(l) "
        "WITH l, i UNWIND range(0, $channels - 1) AS c CREATE (l)-[:HAS_NEURON]->"
        "(:Neuron {id: l.id + '/' + c, model: $model, layer: l.name, channel: c, root_floor: 1.0})",
        {
            "model": MODEL,
            "image": IMAGE,
            "layers": LAYERS,
            "channels": CHANNELS,
            "mask": [list(m) for m in world.mask],
            "values": [[2.0 if (i, c) in passed else 1.0 for c in m] for i, m in enumerate(world.mask)],
        },
    )
    connection.write(
        "UNWIND $rows AS row MATCH (a:Neuron {id: row[0]}), (b:Neuron {id: row[1]}) "
        "CREATE (a)-[:FLOWS_TO {sensitivity: row[2], overlap: row[3], hops: 1}]->(b)",
        {"rows": [[name(a), name(b), *scores] for (a, b), scores in world.flow.items()]},
    )
    connection.write(
        "MATCH (image:Image {id: $image}) UNWIND $roots AS root MATCH (n:Neuron {id: root}) "
        "CREATE (n)-[:ACTIVATED_BY {value: 1.0, rank: 1}]->(image)",
        {"image": IMAGE, "roots": [name(root) for root in listed]},
    )


def circuit(world: World, share: float, floor: float) -> set[tuple[str, str]]:
    """Kept edges of everything reached from the roots, layer by layer, by the rule in words."""
    reached, edges = set(world.roots), set()
    for i in range(LAYERS - 1):
        candidates = world.mask[i + 1]
        for source in sorted(unit for unit in reached if unit[0] == i):
            scored = {
                (i + 1, c): world.flow[source, (i + 1, c)]
                for c in candidates
                if world.flow.get((source, (i + 1, c)), (0.0, 0.0))[0] > 0
            }
            ranked = sorted(scored, key=lambda unit: (-scored[unit][0], unit[1]))
            mean = sum(overlap for _, overlap in scored.values()) / max(1, len(candidates))
            for target in ranked[: math.ceil(share * len(ranked))]:
                if scored[target][1] > max(floor, mean):
                    edges.add((name(source), name(target)))
                    reached.add(target)
    return edges


@pytest.mark.parametrize("seed", range(3))
def test_traversal_is_its_definition(connection: Connection, seed: int) -> None:
    world = random_world(seed)
    fill(connection, world)
    by_parameters = {
        "active": [{"layer": f"l{i}", "channels": list(m)} for i, m in enumerate(world.mask)],
        "roots": [name(root) for root in world.roots],
    }
    sizes = []
    for share, floor in itertools.product((0.2, 0.5, 1.0), (0.1, 0.6)):
        expected = circuit(world, share, floor)
        for query in ({"image": IMAGE}, by_parameters):
            table = lookup.run(connection, "traversal_circuit", {**query, "share": share, "floor": floor})
            assert {(row["source"], row["target"]) for row in table.rows} == expected
            assert len(table.rows) == len(expected)
            assert all(row["root"] == (row["source"] in by_parameters["roots"]) for row in table.rows)
        sizes.append(len(expected))
    assert max(sizes) > 5


def test_paths_are_the_strongest(connection: Connection) -> None:
    world = random_world(7)
    fill(connection, world)
    for length in (1, 2, 3, 4, 5):
        a, b = (0, 1), (length, 2)
        found = []
        for middle in itertools.product(range(CHANNELS), repeat=length - 1):
            units = [a, *((i + 1, c) for i, c in enumerate(middle)), b]
            scores = [world.flow.get(pair, (0.0, 0.0))[0] for pair in itertools.pairwise(units)]
            if all(scores):
                found.append((-math.prod(scores), [name(unit) for unit in units]))
        best = sorted(found)[:20]
        table = lookup.run(
            connection,
            "paths_between_neurons",
            {"source": name(a), "target": name(b), "limit": 20, "beam": 1000},
        )
        assert [row["strength"] for row in table.rows] == [-strength for strength, _ in best]
        assert [row["path"] for row in table.rows] == [path for _, path in best]
