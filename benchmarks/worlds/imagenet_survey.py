"""What the activation pass writes of a world: structure, statistics, root lists, mask lists, selectivity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from atlas.spool import Coded, Ragged
from benchmarks.worlds.imagenet import DATASET, World, best, chunks, list_length, places, popularity
from ingest.methods.survey import CLASSES_PER_NEURON

Tables = Iterator[tuple[str, dict[str, Any]]]
ACCURACY = 0.76


def structure(world: World) -> Tables:
    """Model, layers, neurons, data set, classes and images with what holds them together."""
    layers = [world.layer_id(n) for n in range(len(world.layers))]
    count = len(layers)
    yield (
        "Model",
        {
            "id": [world.root],
            "name": ["resnet50"],
            "digest": [world.root[-8:] * 8],
            "outputs": [world.classes],
        },
    )
    yield (
        "Layer",
        {
            "id": layers,
            "name": list(world.layers),
            "model": [world.root] * count,
            "ordinal": np.arange(count),
            "kind": ["conv"] * count,
            "channels": np.array(world.channels),
            "positions": np.full(count, 196),
        },
    )
    digest = "d" * 64
    yield "Dataset", {"id": [DATASET], "name": [DATASET], "digest": [digest], "images": [world.images]}
    names = [name.partition("/")[2] for name in world.class_ids]
    yield "Class", {"id": world.class_ids, "name": names, "ordinal": np.arange(world.classes)}
    judging = np.arange(world.images) // world.classes % 2
    yield (
        "Image",
        {
            "id": world.image_ids,
            "name": [f"{names[k]}/val_{i:08d}.JPEG" for i, k in enumerate(world.labels)],
            "split": ["judge" if side else "list" for side in judging],
            "width": np.full(world.images, 500),
            "height": np.full(world.images, 375),
            "thumb": [f"thumbs/{name[4:6]}/{name[4:]}.webp" for name in world.image_ids],
        },
    )
    yield "Model-HAS_LAYER-Layer", {"start": [world.root] * count, "end": layers}
    yield "Layer-FEEDS-Layer", {"start": layers[:-1], "end": layers[1:]}
    yield "Dataset-HAS_CLASS-Class", {"start": [DATASET] * world.classes, "end": world.class_ids}
    yield "Dataset-HAS_IMAGE-Image", {"start": [DATASET] * world.images, "end": world.image_ids}
    yield "Image-LABELLED-Class", {"start": world.image_ids, "end": Coded(world.labels, world.class_ids)}
    yield from _predictions(world)


def _predictions(world: World) -> Tables:
    draw = world.draw(10)
    right = draw.random(world.images) < ACCURACY
    other = (world.labels + draw.geometric(0.3, world.images)) % world.classes
    yield (
        "Image-PREDICTED_AS-Class",
        {
            "start": world.image_ids,
            "end": Coded(np.where(right, world.labels, other), world.class_ids),
            "probability": np.round(draw.beta(4, 2, world.images), 6),
            "logit": np.round(draw.normal(12, 3, world.images), 6),
            "model": [world.root] * world.images,
        },
    )


def neurons(world: World) -> Tables:
    """Neurons of all layers with statistics and selectivity."""
    for layer, count in enumerate(world.channels):
        draw, ids = world.draw(11, layer), world.neurons(layer)
        level = np.sort(draw.lognormal(-1, 1, (count, 6)), axis=1).round(6)
        yield (
            "Neuron",
            {
                "id": ids,
                "model": [world.root] * count,
                "layer": [world.layers[layer]] * count,
                "channel": np.arange(count),
                **dict(zip(("std", "mean", "mask_floor", "p90", "p99", "max"), level.T, strict=True)),
                "root_floor": level[:, 4],
                "dead": np.arange(count) % 997 == 5,
            },
        )
        yield "Layer-HAS_NEURON-Neuron", {"start": [world.layer_id(layer)] * count, "end": ids}


def selectivity(world: World) -> Tables:
    """The classes each neuron tells best, its favourites first."""
    most = min(CLASSES_PER_NEURON, world.classes)
    for layer, count in enumerate(world.channels):
        draw = world.draw(12, layer)
        weights = popularity(world.draw(2), world.classes) + 20 * world.affinity(layer).T
        yield (
            "Neuron-RESPONDS_TO-Class",
            {
                "start": Coded(np.repeat(np.arange(count), most), world.neurons(layer)),
                "end": Coded(best(draw, weights, most).ravel(), world.class_ids),
                "mean": draw.lognormal(-1, 1, count * most).round(6),
                "auc": (-np.sort(-draw.uniform(0.5, 1, (count, most)), axis=1)).ravel().round(6),
                "rank_out": np.tile(np.arange(1, most + 1), count),
            },
        )


def root_lists(world: World) -> Tables:
    """The best list images of each neuron: those of its favourite classes, and popular ones."""
    length = list_length(world.size.gcc.root_share, len(world.listed))
    for layer, count in enumerate(world.channels):
        draw, ids = world.draw(13, layer), world.neurons(layer)
        common = popularity(world.draw(14), len(world.listed), 0.5)
        affinity = world.affinity(layer)[world.labels[world.listed]]
        for part in chunks(count, 256):
            own = slice(part.start, part.stop)
            rows = world.listed[best(draw, common + 4 * affinity[:, own].T, length)].ravel()
            value = -np.sort(-draw.lognormal(0, 0.5, (len(part), length)), axis=1)
            yield (
                "Neuron-ACTIVATED_BY-Image",
                {
                    "start": Coded(np.repeat(np.arange(part.start, part.stop), length), ids),
                    "end": Coded(rows, world.image_ids),
                    "value": value.ravel().round(6),
                    "rank": np.tile(np.arange(1, length + 1), len(part)),
                    **places(draw, len(rows)),
                },
            )


def mask_lists(world: World) -> Tables:
    """Per image and layer the channels whose mask list holds it; some images are in many, all in some."""
    wide = world.draw(15).lognormal(-0.125, 0.5, world.images)
    for layer, count in enumerate(world.channels):
        draw, affinity = world.draw(16, layer), world.affinity(layer)
        for part in chunks(world.images, 4000):
            own = slice(part.start, part.stop)
            likely = np.minimum(world.size.gcc.mask_share * wide[own], 0.9).astype(np.float32)[:, None]
            chance = np.where(affinity[world.labels[own]], np.float32(0.9), likely)
            hold = draw.random((len(part), count), np.float32) < chance
            hold[~hold.any(axis=1), 0] = True
            offsets = np.r_[0, np.cumsum(hold.sum(axis=1))]
            channels = np.nonzero(hold)[1]
            yield (
                "Image-ACTIVATES-Layer",
                {
                    "start": Coded(np.arange(part.start, part.stop), world.image_ids),
                    "end": [world.layer_id(layer)] * len(part),
                    "channels": Ragged(channels, offsets),
                    "values": Ragged(draw.lognormal(-0.5, 0.6, len(channels)).round(4), offsets),
                },
            )


def tables(world: World) -> Tables:
    """All of it."""
    for part in (structure, neurons, selectivity, root_lists, mask_lists):
        yield from part(world)


def bare(world: World) -> Tables:
    """Of a second model only what its concepts hang on: layers and neurons."""
    for part in (structure, neurons):
        yield from part(world)
