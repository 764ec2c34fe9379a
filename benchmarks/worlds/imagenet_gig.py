"""What GIG writes of a world: dictionaries with their vectors, contributions on each class, images in concepts.

A concept's vector is one of its layer's few directions and noise. A twin's vectors are the first model's with other
noise: the nearest neighbours of any concept are then as often of one model as of the other, which is the hard case for
an index that holds both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.spool import Coded, Ragged
from benchmarks.worlds.imagenet import ACTIVE, World, best, chunks, places, popularity, scores

Tables = Iterator[tuple[str, dict[str, Any]]]
PER_DIRECTION = 16
CLASSES_PER_IMAGE = 50
"""So many classes there are for each image that was asked about by itself, beside them."""
NOISE = 0.6
"""Of a vector's length, at its direction's length 1."""


def vectors(world: World, layer: int, part: range) -> NDArray[np.float32]:
    """(n, C) unit vectors of some concepts of a layer, no entry below zero, rounded to six digits."""
    width, draw = world.channels[layer], world.draw(40, layer)
    own = draw.integers(0, max(1, width * 8 // PER_DIRECTION), width * 8)[part.start : part.stop]
    found = np.empty((len(part), width), np.float32)
    for row, direction in enumerate(own.tolist()):
        found[row] = _direction(world.draw(41, layer, direction), width)
    noise = world.draw(42, layer, part.start, int(world.twin))
    found += NOISE / np.sqrt(width) * noise.standard_normal(found.shape, np.float32)
    np.maximum(found, 0, out=found)
    return np.round(found / np.linalg.norm(found, axis=1, keepdims=True), 6)


def _direction(draw: np.random.Generator, width: int) -> NDArray[np.float32]:
    """A unit vector of few large entries: what a pooled layer without a sign looks like."""
    drawn = draw.standard_gamma(0.3, width, np.float32)
    return drawn / np.linalg.norm(drawn)


def dictionaries(world: World) -> Tables:
    """Dictionaries and concepts of all layers, each concept with its largest channels and its pictures."""
    for layer, width in enumerate(world.channels):
        own, owner = f"{world.layer_id(layer)}/kmeans", world.layer_id(layer)
        yield (
            "Dictionary",
            {"id": [own], "method": ["kmeans"], "K": [8 * width], "N": [len(world.listed)], "space": ["pre"]},
        )
        yield "Layer-HAS_DICTIONARY-Dictionary", {"start": [owner], "end": [own]}
        ids, draw = world.concepts(layer), world.draw(43, layer, int(world.twin))
        for part in chunks(8 * width, 2048):
            yield from _concepts(world, layer, part, ids, draw)


def _concepts(world: World, layer: int, part: range, ids: list[str], draw: np.random.Generator) -> Tables:
    count, most = len(part), world.size.gig.exemplars
    found, names = vectors(world, layer, part), ids[part.start : part.stop]
    yield (
        "Concept",
        {
            "id": names,
            "layer": [world.layer_id(layer)] * count,
            "dictionary": [f"{world.layer_id(layer)}/kmeans"] * count,
            "ordinal": np.arange(part.start, part.stop),
            "size": draw.zipf(1.6, count).clip(max=5000),
            "norm": draw.lognormal(2, 0.3, count).round(6),
            "vector": Ragged(found.ravel(), np.arange(count + 1) * found.shape[1]),
        },
    )
    yield (
        "Dictionary-HAS_CONCEPT-Concept",
        {"start": [f"{world.layer_id(layer)}/kmeans"] * count, "end": names},
    )
    if world.twin:
        return
    order = np.argsort(-found, axis=1)[:, :most]
    width = order.shape[1]
    start = Coded(np.repeat(np.arange(count), width), names)
    yield (
        "Concept-LOADS_ON-Neuron",
        {
            "start": start,
            "end": Coded(order.ravel(), world.neurons(layer)),
            "weight": np.take_along_axis(found, order, 1).ravel().astype(np.float64).round(6),
            "rank_out": np.tile(np.arange(1, width + 1), count),
        },
    )
    common = np.tile(popularity(draw, min(512, len(world.listed)), 0.5), (count, 1))
    rows = draw.permutation(world.listed)[best(draw, common, most)]
    shown = rows.shape[1]
    yield (
        "Concept-EXEMPLIFIED_BY-Image",
        {
            "start": Coded(np.repeat(np.arange(count), shown), names),
            "end": Coded(rows.ravel(), world.image_ids),
            "similarity": (-np.sort(-draw.beta(8, 2, (count, shown)), axis=1)).ravel().round(6),
            "rank": np.tile(np.arange(1, shown + 1), count),
            **places(draw, rows.size),
        },
    )


def contributions(world: World) -> Tables:
    """Per class, and some images, and layer what its concepts give the class and its strongest of the next layer."""
    scopes = [(np.arange(part.start, part.stop), world.class_ids) for part in chunks(world.classes, 200)]
    asked = explained(world)
    for number, (own, ids) in enumerate([*scopes, (asked, world.image_ids)]):
        yield from _scope(world, number, world.labels[own], own, ids)


def explained(world: World) -> NDArray[np.int64]:
    """The images that were asked about by themselves."""
    return world.queries[: max(1, world.classes // CLASSES_PER_IMAGE)]


def _scope(
    world: World, number: int, classes: NDArray[np.int64], own: NDArray[np.int64], ids: list[str]
) -> Tables:
    """Of some classes, or some images of classes, each a scope of its own."""
    last, tops = len(world.channels), world.size.gig.top_concepts
    for layer in range(last):
        named = Coded(own, ids)
        yield "Concept-CONTRIBUTES_TO-Class", _edges(world, layer, (number, classes, named), None)
        if layer + 1 < last:
            there = world.active_concepts(layer + 1)[classes, :tops]
            yield "Concept-CONTRIBUTES_TO-Concept", _edges(world, layer, (number, classes, named), there)


def _edges(
    world: World,
    layer: int,
    scope: tuple[int, NDArray[np.int64], Coded],
    concepts: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """What concepts of a layer give some concepts of the next, or the scopes' own classes where those are None."""
    number, classes, own = scope
    to_class = concepts is None
    there = classes[:, None] if concepts is None else concepts
    hops = len(world.channels) - layer if to_class else 1
    draw = world.draw(44, layer, number, int(to_class))
    here = world.active_concepts(layer)[classes]
    rows, targets, width = len(classes), there.shape[1], min(world.size.gig.keep, here.shape[1])
    # The strongest concepts of a layer give most, to whatever comes next.
    weights = np.broadcast_to(
        -0.15 * np.arange(here.shape[1], dtype=np.float32), (rows * targets, here.shape[1])
    )
    place = best(draw, weights, width).reshape(rows, targets, width)
    sign = np.where(draw.random((rows * targets, width)) < 0.85, 1.0, -1.0)
    gig = scores(draw, rows * targets, width) * sign
    count = gig.size
    return {
        "start": Coded(np.take_along_axis(here[:, None, :], place, 2).ravel(), world.concepts(layer)),
        "end": Coded(
            np.repeat(there.ravel(), width), world.class_ids if to_class else world.concepts(layer + 1)
        ),
        "gig": gig.ravel(),
        "scope": Coded(np.repeat(own.codes, targets * width), own.names),
        "share": (gig / np.abs(gig).sum(axis=1, keepdims=True) * 0.7).ravel().round(6),
        "rank_in": np.tile(np.arange(1, width + 1), rows * targets),
        "rank_out": np.ones(count, np.int64) if to_class else draw.integers(1, targets + 1, count),
        "hops": np.full(count, hops),
        "n": np.full(count, world.size.gig.images_per_class),
        "std": np.abs(gig / 3).ravel().round(6),
    }


def decompositions(world: World) -> Tables:
    """Every image in concepts: those of its class, and popular ones."""
    most = world.size.gig.express
    for layer in range(len(world.channels)):
        draw, ids = world.draw(45, layer), world.concepts(layer)
        common = np.argsort(draw.random(len(ids)))[:ACTIVE]
        for part in chunks(world.images, 8000):
            own = world.active_concepts(layer)[world.labels[part.start : part.stop]]
            pool = np.hstack([own, np.broadcast_to(common, (len(part), len(common)))])
            weights = np.broadcast_to(-0.05 * np.arange(pool.shape[1], dtype=np.float32), pool.shape)
            found = np.take_along_axis(pool, best(draw, weights, most), 1)
            width = found.shape[1]
            yield (
                "Image-EXPRESSES-Concept",
                {
                    "start": Coded(np.repeat(np.arange(part.start, part.stop), width), world.image_ids),
                    "end": Coded(found.ravel(), ids),
                    "u": scores(draw, len(part), width).ravel(),
                    **places(draw, found.size),
                    "rank_out": np.tile(np.arange(1, width + 1), len(part)),
                },
            )


def tables(world: World) -> Tables:
    """All of it; of a twin the dictionaries alone."""
    yield from dictionaries(world)
    if not world.twin:
        yield from contributions(world)
        yield from decompositions(world)
