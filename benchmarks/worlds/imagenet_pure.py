"""What PURE writes of a world: every neuron split, as the plan's bound has it; feeds, classes, images, flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from atlas.spool import Coded, Ragged
from benchmarks.worlds.imagenet import World, best, list_length, places, popularity, scores

Tables = Iterator[tuple[str, dict[str, Any]]]
SERVED = 4
RELATIVES = 10
DIGITS = 4
"""Of a centroid's entries."""


def tables(world: World) -> Tables:
    """All of it; the first layer has nothing below that could feed its senses."""
    for layer in range(1, len(world.channels)):
        yield from _neurons(world, layer)
        yield from _senses(world, layer)
        yield from _references(world, layer)
        yield from _assigned(world, layer)
        yield _alike(world, layer)
    yield from _relations(world)


def _ids(world: World, layer: int) -> list[str]:
    return [f"{name}:{n}" for name in world.neurons(layer) for n in range(world.size.pure.counts[-1])]


def _neurons(world: World, layer: int) -> Tables:
    draw, count = world.draw(50, layer), world.channels[layer]
    yield (
        "Neuron",
        {
            "id": world.neurons(layer),
            "model": [world.root] * count,
            "layer": [world.layers[layer]] * count,
            "channel": np.arange(count),
            "polysemantic": np.ones(count, np.bool_),
            "senses": np.full(count, world.size.pure.counts[-1]),
            "silhouette": draw.beta(2, 5, count).round(6),
            "p": np.full(count, 0.001),
            "q": draw.uniform(0.001, 0.05, count).round(6),
        },
    )


def _senses(world: World, layer: int) -> Tables:
    ids, draw, lower = _ids(world, layer), world.draw(51, layer), world.channels[layer - 1]
    count, each = len(ids), world.size.pure.counts[-1]
    centroid = draw.normal(0, 0.1, (count, lower)).round(DIGITS)
    yield (
        "Sense",
        {
            "id": ids,
            "ordinal": np.tile(np.arange(each), count // each),
            "size": draw.integers(10, 50, count),
            "share": np.full(count, round(1 / each, 6)),
            "silhouette": draw.beta(2, 5, count).round(6),
            "variant": ["pure"] * count,
            "lower": [world.layers[layer - 1]] * count,
            "centroid": Ragged(centroid.ravel(), np.arange(count + 1) * lower),
        },
    )
    owner = np.repeat(np.arange(count // each), each)
    yield "Neuron-HAS_SENSE-Sense", {"start": Coded(owner, world.neurons(layer)), "end": ids}
    feeds = min(world.size.pure.feeds, lower)
    source = best(draw, np.broadcast_to(popularity(draw, lower), (count, lower)), feeds)
    relevance = scores(draw, count, feeds) * np.where(draw.random((count, feeds)) < 0.8, 1, -1)
    yield (
        "Neuron-FEEDS_SENSE-Sense",
        {
            "start": Coded(source.ravel(), world.neurons(layer - 1)),
            "end": Coded(np.repeat(np.arange(count), feeds), ids),
            "relevance": relevance.ravel(),
            "share": (relevance / np.abs(relevance).sum(1, keepdims=True) * 0.6).ravel().round(6),
            "rank_in": np.tile(np.arange(1, feeds + 1), count),
            "hops": np.ones(count * feeds, np.int64),
            "n": np.full(count * feeds, 33),
            "std": np.abs(relevance / 3).ravel().round(6),
        },
    )
    if layer + 1 < len(world.channels):
        yield "Sense-FLOWS_TO-Neuron", _flow(world, layer, ids, draw)


def _flow(world: World, layer: int, ids: list[str], draw: np.random.Generator) -> dict[str, Any]:
    there = world.channels[layer + 1]
    count, most = len(ids), min(world.size.pure.flow_targets, there)
    target = best(draw, np.broadcast_to(popularity(draw, there), (count, there)), most)
    sensitivity = np.minimum(scores(draw, count, most), 1)
    return {
        "start": Coded(np.repeat(np.arange(count), most), ids),
        "end": Coded(target.ravel(), world.neurons(layer + 1)),
        "overlap": draw.beta(1, 6, count * most).round(6),
        "sensitivity": sensitivity.ravel(),
        "images": draw.integers(0, 30, count * most),
        "identity": np.zeros(count * most, np.bool_),
        "rank_out": np.tile(np.arange(1, most + 1), count),
        "hops": np.ones(count * most, np.int64),
        "n": np.full(count * most, 10),
        "std": (sensitivity / 3).ravel().round(6),
    }


def _references(world: World, layer: int) -> Tables:
    """References of each neuron, dealt to its senses; the classes these serve."""
    draw, each, neurons = world.draw(52, layer), world.size.pure.counts[-1], world.channels[layer]
    most = min(len(world.listed), world.size.pure.references)
    first = draw.integers(0, len(world.listed), (neurons, 1))
    image = world.listed[(first + np.arange(most)) % len(world.listed)]
    sense = np.arange(neurons)[:, None] * each + np.arange(most) % each
    ids = _ids(world, layer)
    yield (
        "Sense-EXEMPLIFIED_BY-Image",
        {
            "start": Coded(sense.ravel(), ids),
            "end": Coded(image.ravel(), world.image_ids),
            "similarity": np.tile(np.linspace(0.9, 0.1, most).round(6), neurons),
            "rank": np.tile(np.arange(most) // each + 1, neurons),
            **places(draw, image.size),
        },
    )
    weights = np.repeat(popularity(world.draw(2), world.classes) + 6 * world.affinity(layer).T, each, axis=0)
    served = best(draw, weights, SERVED)
    yield (
        "Sense-SERVES-Class",
        {
            "start": Coded(np.repeat(np.arange(len(ids)), SERVED), ids),
            "end": Coded(served.ravel(), world.class_ids),
            "images": np.tile([20, 8, 4, 1], len(ids)),
            "share": np.tile([0.6, 0.24, 0.12, 0.03], len(ids)),
        },
    )


def _assigned(world: World, layer: int) -> Tables:
    """Of every neuron the queries in its mask list, each in one sense."""
    draw, neurons = world.draw(53, layer), world.channels[layer]
    held = list_length(world.size.gcc.mask_share, len(world.queries))
    common = popularity(world.draw(54), len(world.queries), 0.4)
    weights = common + 4 * world.affinity(layer)[world.labels[world.queries]].T
    query = world.queries[best(draw, weights, held)]
    each = world.size.pure.counts[-1]
    sense = np.arange(neurons)[:, None] * each + draw.integers(0, each, (neurons, held))
    yield (
        "Image-ASSIGNED_TO-Sense",
        {
            "start": Coded(query.ravel(), world.image_ids),
            "end": Coded(sense.ravel(), _ids(world, layer)),
            "distance": draw.lognormal(0, 0.3, query.size).round(6),
            "margin": draw.beta(2, 4, query.size).round(6),
        },
    )


def _alike(world: World, layer: int) -> tuple[str, dict[str, Any]]:
    """Of every sense the best senses of as many other neurons, popular ones first of all."""
    draw, each, neurons = world.draw(56, layer), world.size.pure.counts[-1], world.channels[layer]
    ids, most = _ids(world, layer), min(world.size.pure.alike, neurons - 1)
    weights = np.tile(popularity(draw, neurons), (len(ids), 1))
    weights[np.arange(len(ids)), np.arange(len(ids)) // each] = -np.inf
    other = best(draw, weights, most) * each + draw.integers(0, each, (len(ids), most))
    cosine = -np.sort(-draw.beta(4, 3, other.shape).clip(1e-6), axis=1)
    return (
        "Sense-RESEMBLES-Sense",
        {
            "start": Coded(np.repeat(np.arange(len(ids)), most), ids),
            "end": Coded(other.ravel(), ids),
            "cosine": cosine.ravel().round(6),
            "neurons": draw.integers(1, world.size.pure.feeds + 1, other.size),
            "images": draw.poisson(1, other.size),
            "rank": np.tile(np.arange(1, most + 1), len(ids)),
        },
    )


def _relations(world: World) -> Tables:
    draw, count = world.draw(55), world.classes
    step = np.arange(1, min(RELATIVES, count // 2 - 1) + 1)
    start = np.repeat(np.arange(count), len(step))
    yield (
        "Class-RELATED_TO-Class",
        {
            "start": Coded(start, world.class_ids),
            "end": Coded((start + np.tile(step, count)) % count, world.class_ids),
            "similarity": draw.uniform(-0.2, 0.9, len(start)).round(6),
            "basis": ["centred cosine of mean activations of layer4.2"] * len(start),
        },
    )
