"""Answers from a graph of a million relationships (``benchmarks.worlds.resnet50``) in a server of its own.

Four figures: server time of the catalogue's lookups, the whole ``atlas circuit`` process, the traversal against
one query per neuron from the client, and the strongest paths against enumerating all of them.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas import catalogue, lookup
from atlas.store.connection import Connection
from atlas.store.loader import load
from benchmarks.harness import BenchmarkError, Case, Result, compare, timed
from benchmarks.load_relationships import temporary_server
from benchmarks.worlds.resnet50 import CLASSES, ROOT, World, write

REPEATS = 15
LIMIT = 100_000
SHARE, FLOOR = 0.05, 0.1
BEAM = 500
PROGRAM = "from atlas.cli import main; main()"
OUT = (
    "MATCH (n:Neuron {id: $id})-[r:FLOWS_TO]->(m:Neuron) WHERE r.hops = 1 AND r.sensitivity > 0 "
    "RETURN m.id AS target, m.channel AS channel, r.sensitivity AS sensitivity, r.overlap AS overlap"
)
PATHS = (
    "MATCH (a:Neuron {id: $source})-[rs:FLOWS_TO*4]->(b:Neuron {id: $target}) "
    "RETURN reduce(s = 1.0, r IN rs | s * r.sensitivity) AS strength ORDER BY strength DESC LIMIT 10"
)


def run() -> list[Result]:
    """All four figures, from one load."""
    world = World()
    with tempfile.TemporaryDirectory() as folder, temporary_server() as connection:
        for spool in write(Path(folder), world):
            load(spool, connection)
        ((size,),) = connection.read("MATCH ()-[r]->() RETURN count(r)").rows
        if size < 1_000_000:
            raise BenchmarkError(f"lookups: the graph has {size} relationships, not a million")
        return [
            catalogue_lookups(connection, world, size),
            circuit_process(world, size),
            traversal(connection, world),
            paths(connection, world),
        ]


def arguments(world: World, turn: int) -> dict[str, Any]:
    """Arguments by type, others in each turn, so that no answer is merely warm."""
    unit = world.units[int(world.first[8 + turn % 4]) + 7 * turn]
    return {
        "neuron": unit,
        "layer": unit.rpartition("/")[0],
        "class": f"bench/class{turn % CLASSES}",
        "image": world.images[turn],
        "circuit": f"c{turn:05d}{0:06d}",
        "model": ROOT,
    }


def catalogue_lookups(connection: Connection, world: World, size: int) -> Result:
    """Server time of every query of cost `lookup` that this graph of neurons and exact circuits has arguments for.

    The median of each; the slowest of these counts. ``python -m benchmarks scale`` asks the whole catalogue.
    """
    medians: dict[str, float] = {}
    for query in catalogue.load().values():
        needs = {p.type for p in query.parameters if p.required}
        if query.cost != "lookup" or not needs <= arguments(world, 0).keys():
            continue
        spent = []
        for turn in range(REPEATS + 1):
            known = arguments(world, turn)
            given = {p.name: known[p.type] for p in query.parameters if p.required}
            spent.append(lookup.run(connection, query.name, given).milliseconds)
        medians[query.name] = statistics.median(spent[1:])
    slowest = max(medians, key=lambda name: medians[name])
    return Result(
        name="catalogue_lookups",
        ours=medians[slowest],
        unit="ms",
        target="<= 20 ms",
        pairs=REPEATS,
        what=f"server time, {size} relationships: slowest ({slowest}) of the medians of {len(medians)} lookups; "
        f"middle one {statistics.median(medians.values()):g} ms",
    )


def circuit_process(world: World, size: int) -> Result:
    """Wall time of ``atlas circuit IMAGE`` from an empty process to its end."""
    spent = []
    for turn in range(REPEATS):
        command = [sys.executable, "-c", PROGRAM, "circuit", world.images[turn]]
        spent.append(
            timed(lambda command=command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        )  # type: ignore[misc]
    return Result(
        name="circuit_process",
        ours=statistics.median(spent),
        unit="s",
        target="<= 1.0 s",
        pairs=REPEATS,
        what=f"whole `atlas circuit IMAGE` process, {size} relationships",
    )


def traversal(connection: Connection, world: World) -> Result:
    """The traversal as one query, against a walk that asks for each neuron's edges."""
    image = 1

    def ours() -> set[tuple[str, str]]:
        params = {"image": world.images[image], "model": ROOT, "share": SHARE, "floor": FLOOR, "limit": LIMIT}
        return {
            (row["source"], row["target"]) for row in lookup.run(connection, "traversal_circuit", params).rows
        }

    return compare(
        Case(
            name="traversal_circuit",
            target="> 1",
            what="circuit of an image by traversal, against one query per reached neuron",
            difference=lambda a, b: float(len(set(a) ^ set(b))),  # type: ignore[call-overload]
            tolerance=0.0,
        ),
        ours,
        lambda: walked(connection, world, image),
    )


def walked(connection: Connection, world: World, image: int) -> set[tuple[str, str]]:
    """The same circuit from the client: the rule of `traversal_circuit`, a query per neuron."""
    roots = connection.read(
        "MATCH (:Image {id: $id})<-[:ACTIVATED_BY]-(n:Neuron) RETURN n.id", {"id": world.images[image]}
    ).rows
    edges: set[tuple[str, str]] = set()
    reached = {row[0] for row in roots}
    for layer in range(len(world.masks) - 1):
        mask = {int(channel) for channel in world.masks[layer + 1][image]}
        for source in sorted(unit for unit in reached if unit.startswith(f"{ROOT}/layer{layer}/")):
            rows = [row for row in connection.read(OUT, {"id": source}).records() if row["channel"] in mask]
            for row in kept(rows, len(mask)):
                edges.add((source, row["target"]))
                reached.add(row["target"])
    return edges


def kept(rows: list[dict[str, Any]], candidates: int) -> list[Mapping[str, Any]]:
    """Of a source's candidate edges those that pass both thresholds."""
    rows = sorted(rows, key=lambda row: (-row["sensitivity"], row["channel"]))
    mean = sum(row["overlap"] for row in rows) / max(1, candidates)
    return [row for row in rows[: math.ceil(SHARE * len(rows))] if row["overlap"] > max(FLOOR, mean)]


def paths(connection: Connection, world: World) -> Result:
    """The ten strongest paths over four layers, against enumerating all and sorting."""
    source, target = (world.units[int(world.first[layer]) + 100] for layer in (7, 11))
    ends = {"source": source, "target": target}

    def ours() -> list[float]:
        params = {**ends, "beam": BEAM, "limit": 10}
        return [row["strength"] for row in lookup.run(connection, "paths_between_neurons", params).rows]

    def peer() -> list[float]:
        return [row[0] for row in connection.read(PATHS, ends, timeout=0).rows]

    def difference(a: object, b: object) -> float:
        mine, theirs = list(a), list(b)  # type: ignore[call-overload]
        if len(mine) != len(theirs) or not mine:
            return math.inf
        return max(abs(x - y) / y for x, y in zip(mine, theirs, strict=True))

    case = Case(
        name="paths_between_neurons",
        target="> 1",
        what="ten strongest paths over four layers, against enumerating all paths and sorting",
        difference=difference,
        tolerance=1e-9,
    )
    return compare(case, ours, peer)
