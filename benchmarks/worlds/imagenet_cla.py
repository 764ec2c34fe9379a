"""What CLA writes of a world: attribution on each class's images, its circuits, and what cutting these does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from atlas.address import short_id
from atlas.spool import Coded
from benchmarks.worlds.imagenet import World, best, chunks, popularity, scores

Tables = Iterator[tuple[str, dict[str, Any]]]
VARIANTS = ("raw", "contrastive")
CHANGED = 10


def image_sets(world: World) -> Tables:
    """The images that each class's scores are averaged over."""
    size, most = world.classes, world.size.cla.images_per_scope
    yield "ImageSet", {"id": world.class_ids, "kind": ["class"] * size, "size": np.full(size, most)}
    rounds = min(most, len(world.listed) // size)
    rows = np.arange(size)[:, None] + np.arange(rounds)[None] * 2 * size
    kept = np.minimum(rows, world.images - 1)
    starts, first = np.unique(
        np.repeat(np.arange(size), rounds) * world.images + kept.ravel(), return_index=True
    )
    yield (
        "ImageSet-HOLDS-Image",
        {
            "start": Coded(starts // world.images, world.class_ids),
            "end": Coded(kept.ravel()[first], world.image_ids),
        },
    )


def attributions(world: World) -> Tables:
    """Per class and pair of layers the sources of its strongest targets, all among the class's own neurons."""
    keep, most = world.size.cla.keep, world.size.cla.sources
    for layer in range(len(world.channels) - 1):
        for part in chunks(world.classes, 200):
            here = world.active(layer)[part.start : part.stop]
            there = world.active(layer + 1)[part.start : part.stop, :keep]
            yield "Neuron-ATTRIBUTES_TO-Neuron", _edges(world, layer, part, (here, there), most)
    layer, classes = len(world.channels) - 1, min(keep, world.classes)
    draw = world.draw(30)
    for part in chunks(world.classes, 200):
        here = world.active(layer)[part.start : part.stop]
        weights = np.tile(popularity(draw, world.classes), (len(part), 1))
        weights[np.arange(len(part)), np.arange(part.start, part.stop)] = 1e6
        named = best(draw, weights, classes)
        yield "Neuron-ATTRIBUTES_TO-Class", _edges(world, layer, part, (here, named), most)


def _edges(world: World, layer: int, part: range, ends: tuple[Any, Any], most: int) -> dict[str, Any]:
    here, there = ends
    draw = world.draw(31, layer, part.start)
    rows, targets, width = len(part), there.shape[1], min(most, here.shape[1])
    place = best(draw, np.zeros((rows * targets, here.shape[1]), np.float32), width)
    place = place.reshape(rows, targets, width)
    # The members of a circuit are all joined.
    place[:, :width] = np.arange(width)
    source = np.take_along_axis(here[:, None, :], place, 2).ravel()
    score = scores(draw, rows * targets, width)
    last = layer == len(world.channels) - 1
    count = source.size
    return {
        "start": Coded(source, world.neurons(layer)),
        "end": Coded(np.repeat(there.ravel(), width), world.class_ids if last else world.neurons(layer + 1)),
        "score": score.ravel(),
        "contrast": (score * draw.random(score.shape)).ravel().round(6),
        "scope": Coded(np.repeat(np.arange(part.start, part.stop), targets * width), world.class_ids),
        "share": (score / score.sum(axis=1, keepdims=True) * 0.8).ravel().round(6),
        "rank_in": np.tile(np.arange(1, width + 1), rows * targets),
        "rank_out": draw.integers(1, 65, count),
        "hops": np.ones(count, np.int64),
        "n": np.full(count, world.size.cla.images_per_scope),
        "std": (score / 3).ravel().round(6),
    }


def circuits(world: World, run: str) -> Tables:
    """The raw and the contrastive circuit of each class: its first neurons of every layer."""
    layers, k = range(len(world.channels)), world.size.cla.k
    for variant in VARIANTS:
        ids = [short_id("c", run, name, variant) for name in world.class_ids]
        count = len(ids)
        yield (
            "Circuit",
            {
                "id": ids,
                "method": ["cla"] * count,
                "target": world.class_ids,
                "size": np.full(count, k * len(layers)),
                "edges": np.full(count, k * k * (len(layers) - 1)),
                "layers": np.full(count, len(layers)),
                "variant": [variant] * count,
                "parameters": ["{}"] * count,
            },
        )
        yield "Run-WROTE-Circuit", {"start": [run] * count, "end": ids}
        yield "Circuit-EXPLAINS-Class", {"start": ids, "end": world.class_ids}
        for layer in layers:
            members = world.active(layer)[:, :k]
            draw, each = world.draw(32, layer), members.shape[1]
            yield (
                "Circuit-INCLUDES-Neuron",
                {
                    "start": Coded(np.repeat(np.arange(count), each), ids),
                    "end": Coded(members.ravel(), world.neurons(layer)),
                    "role": ["member"] * members.size,
                    "score": scores(draw, count, each).ravel(),
                    "rank": np.tile(np.arange(1, each + 1), count),
                },
            )
        yield from _interventions(world, ids, variant)


def _interventions(world: World, ids: list[str], variant: str) -> Tables:
    count, draw = len(ids), world.draw(33, len(variant))
    names = [short_id("i", identity) for identity in ids]
    own = {"id": names, "kind": ["circuit"] * count, "baseline": ["zero"] * count, "n": np.full(count, 10)}
    yield "Intervention", own
    yield "Intervention-CUTS-Circuit", {"start": names, "end": ids}
    width = min(CHANGED, world.classes)
    changed = (np.arange(count)[:, None] + np.arange(width)) % world.classes
    effect = draw.normal(-1, 1, changed.size).round(6)
    yield (
        "Intervention-CHANGED-Class",
        {
            "start": Coded(np.repeat(np.arange(count), width), names),
            "end": Coded(changed.ravel(), world.class_ids),
            "metric": ["logit"] * changed.size,
            "before": np.full(changed.size, 10.0),
            "after": 10 + effect,
            "low": effect - 0.5,
            "high": effect + 0.5,
            "predicted": (effect + draw.normal(0, 0.3, changed.size)).round(6),
        },
    )


def evaluations(world: World, run: str) -> Tables:
    """One figure a class."""
    names = [short_id("e", run, name) for name in world.class_ids]
    draw = world.draw(34)
    yield (
        "Evaluation",
        {
            "id": names,
            "metric": ["contrast"] * len(names),
            "value": draw.random(len(names)).round(6),
            "n": np.full(len(names), 10),
            "settings": ["{}"] * len(names),
        },
    )
    yield "Evaluation-OF-Run", {"start": names, "end": [run] * len(names)}


def tables(world: World, run: str) -> Tables:
    """All of it."""
    yield from image_sets(world)
    yield from attributions(world)
    yield from circuits(world, run)
    yield from evaluations(world, run)
