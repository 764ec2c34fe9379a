"""What GCC writes of a world: the flow of the whole data set, and exact circuits of one image a class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from atlas.address import short_id
from atlas.spool import Coded
from benchmarks.worlds.imagenet import Ints, World, best, popularity, ranked, scores
from ingest.sizing import OWN, found_circuits

Tables = Iterator[tuple[str, dict[str, Any]]]
EXEMPLARS = 10


def flow(world: World) -> Tables:
    """Per source its targets: popular ones, and those with a favourite class of its own."""
    for layer, (here, there) in enumerate(pairwise(world.channels)):
        draw = world.draw(20, layer)
        shared = world.affinity(layer).T.astype(np.float32) @ world.affinity(layer + 1).astype(np.float32)
        count = min(world.size.gcc.keep_most, there)
        target = best(draw, popularity(draw, there) + 2 * (shared > 0), count).ravel()
        sensitivity = np.minimum(scores(draw, here, count), 1).ravel()
        rank, share = ranked(target, sensitivity)
        source = np.repeat(np.arange(here), count)
        yield (
            "Neuron-FLOWS_TO-Neuron",
            {
                "start": Coded(source, world.neurons(layer)),
                "end": Coded(target, world.neurons(layer + 1)),
                "overlap": draw.beta(1, 6, len(source)).round(6),
                "sensitivity": sensitivity,
                "images": draw.integers(0, 60, len(source)),
                "identity": (source == target) & (here == there),
                "share": share,
                "rank_in": rank,
                "rank_out": np.tile(np.arange(1, count + 1), here),
                "hops": np.ones(len(source), np.int64),
                "n": np.full(len(source), 10),
                "std": (sensitivity / 3).round(6),
            },
        )


def circuits(world: World, run: str) -> Tables:
    """Circuits of every query, the tables of fifty queries at a time."""
    for first in range(0, len(world.queries), 50):
        joined: dict[str, list[dict[str, list[Any]]]] = {}
        for query in world.queries[first : first + 50].tolist():
            for name, columns in _of_query(world, run, query):
                joined.setdefault(name, []).append(columns)
        for name, parts in joined.items():
            yield name, {key: [v for part in parts for v in part[key]] for key in parts[0]}


def _of_query(world: World, run: str, query: int) -> Tables:
    draw = world.draw(21, query)
    usual = found_circuits(world.size) / len(world.queries)
    count = max(2, round(usual * draw.lognormal(-0.1, 0.45)))
    target, head = world.image_ids[query], ""
    for place in range(count):
        layer = int(draw.integers(0, len(world.channels) - 1))
        own = _members(world, query, layer, draw)
        named = [[f"{world.layer_id(layer + n)}/{c}" for c in part.tolist()] for n, part in enumerate(own)]
        identity = short_id("c", run, target, named[0][0], str(place))
        merged = place > 0 and draw.random() > OWN
        head = head or identity
        yield from _circuit(world, run, identity, target, named, draw, head if merged else "")


def _members(world: World, query: int, layer: int, draw: np.random.Generator) -> list[Ints]:
    """Neurons of a circuit, layer by layer: one root, then ever more, then few at the end."""
    active = [world.active(n)[world.labels[query]] for n in range(layer, len(world.channels))]
    widths = np.r_[1, np.clip(draw.lognormal(1.35, 0.7, len(active) - 1), 1, 32)].astype(np.int64)
    return [
        draw.choice(part, min(w, len(part)), replace=False) for part, w in zip(active, widths, strict=True)
    ]


def _circuit(
    world: World,
    run: str,
    identity: str,
    target: str,
    named: list[list[str]],
    draw: np.random.Generator,
    merged: str,
) -> Tables:
    pairs = [(a, b) for here, there in pairwise(named) for b in there for a in _sources(here, draw)]
    members = [name for part in named for name in part]
    yield (
        "Circuit",
        {
            "id": [identity],
            "method": ["gcc"],
            "target": [target],
            "size": [len(members)],
            "edges": [len(pairs)],
            "layers": [len(named)],
            "root": [members[0]],
            "diversity": [None if merged else round(draw.random(), 6)],
            "parameters": ["{}"],
        },
    )
    yield "Run-WROTE-Circuit", {"start": [run], "end": [identity]}
    yield "Circuit-EXPLAINS-Image", {"start": [identity], "end": [target]}
    held = members[:1] if merged else members
    yield (
        "Circuit-INCLUDES-Neuron",
        {
            "start": [identity] * len(held),
            "end": held,
            "role": ["root"] + ["member"] * (len(held) - 1),
            "score": draw.random(len(held)).round(6).tolist(),
            "rank": list(range(1, len(held) + 1)),
        },
    )
    if merged:
        yield "Circuit-MERGED_INTO-Circuit", {"start": [identity], "end": [merged]}
        return
    yield "Neuron-DRIVES-Neuron", _edges(identity, pairs, draw)
    shown = draw.choice(world.listed, EXEMPLARS, replace=False)
    yield (
        "Circuit-EXEMPLIFIED_BY-Image",
        {
            "start": [identity] * EXEMPLARS,
            "end": [world.image_ids[i] for i in shown.tolist()],
            "similarity": (-np.sort(-draw.random(EXEMPLARS))).round(6).tolist(),
            "rank": list(range(1, EXEMPLARS + 1)),
        },
    )


def _sources(here: list[str], draw: np.random.Generator) -> list[str]:
    count = min(len(here), int(draw.geometric(0.5)))
    return [here[i] for i in draw.choice(len(here), count, replace=False).tolist()]


def _edges(identity: str, pairs: list[tuple[str, str]], draw: np.random.Generator) -> dict[str, list[Any]]:
    count = len(pairs)
    return {
        "start": [a for a, _ in pairs],
        "end": [b for _, b in pairs],
        "circuit": [identity] * count,
        "sensitivity": draw.random(count).round(6).tolist(),
        "raw": draw.lognormal(-2, 1, count).round(6).tolist(),
        "overlap": draw.beta(1, 6, count).round(6).tolist(),
        "identity": (draw.random(count) < 0.1).tolist(),
        "rank_out": draw.integers(1, 20, count).tolist(),
        "hops": [1] * count,
        "n": [1] * count,
    }


def tables(world: World, run: str) -> Tables:
    """All of it."""
    yield from flow(world)
    yield from circuits(world, run)
