"""A seeded atlas of a million relationships: ResNet-50's blocks, 2,000 images, 600 stored circuits.

Neurons answer mostly one class, flow goes mostly between neurons of the same class. Written through the spool
and the loader, as an ingestion would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.spool import Coded, Ragged, RunRecord, Spool, SpoolWriter

CHANNELS = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
IMAGES, CLASSES = 2000, 50
LISTED, FLOWS, RESPONSES = 20, 40, 5
EXPLAINED, PER_IMAGE, WIDE = 200, 3, 6
ROOT = "resnet50@00000000"
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """The seeded graph as columns. A unit's number counts over all layers; its class is ``number % CLASSES``."""

    seed: int = 0

    @cached_property
    def first(self) -> Ints:
        """Number of each layer's first unit, and the number of all units at the end."""
        return np.concatenate([[0], np.cumsum(CHANNELS)]).astype(np.int64)

    @cached_property
    def units(self) -> list[str]:
        """Addresses of all units."""
        return [f"{ROOT}/layer{i}/{c}" for i, n in enumerate(CHANNELS) for c in range(n)]

    @cached_property
    def images(self) -> list[str]:
        """Ids of all images; image i is of class i % CLASSES."""
        return [f"img:{i:016x}" for i in range(IMAGES)]

    @cached_property
    def lists(self) -> Ints:
        """(units, LISTED) images of each root list: half of the unit's class, half of any."""
        draw = np.random.default_rng(self.seed)
        count = int(self.first[-1])
        rounds = IMAGES // CLASSES
        own = np.argsort(draw.random((count, rounds)))[:, : LISTED // 2] * CLASSES
        own += (np.arange(count) % CLASSES)[:, None]
        other = draw.integers(0, IMAGES, (count, LISTED // 2))
        # An image drawn twice would stand twice in a list: the next of the same round takes its place.
        for column in range(other.shape[1]):
            taken = np.hstack([own, other[:, :column]])
            while (again := (other[:, [column]] == taken).any(axis=1)).any():
                other[again, column] = (other[again, column] + 1) % IMAGES
        return np.hstack([own, other])

    @cached_property
    def masks(self) -> list[list[Ints]]:
        """For each layer and image the channels of its mask list: about a tenth, those of its class among them."""
        draw = np.random.default_rng(self.seed + 1)
        found = []
        for layer, channels in enumerate(CHANNELS):
            number = self.first[layer] + np.arange(channels)
            hold = draw.random((IMAGES, channels)) < 0.08
            hold |= (np.arange(IMAGES) % CLASSES)[:, None] == (number % CLASSES)[None, :]
            for channel, listed in enumerate(self.lists[number]):
                hold[listed, channel] = True
            found.append([np.flatnonzero(row) for row in hold])
        return found

    def flow(self, layer: int) -> tuple[Ints, Ints, NDArray[np.float64], NDArray[np.float64]]:
        """Sources, targets (unit numbers), sensitivities and overlaps from one layer to the next."""
        draw = np.random.default_rng(self.seed + 2 + layer)
        here, there = CHANNELS[layer], CHANNELS[layer + 1]
        sources = np.repeat(self.first[layer] + np.arange(here), FLOWS)
        weight = draw.random((here, there))
        number = self.first[layer + 1] + np.arange(there)
        weight[(self.first[layer] + np.arange(here))[:, None] % CLASSES == number[None, :] % CLASSES] += 0.5
        targets = np.argpartition(-weight, FLOWS)[:, :FLOWS].ravel()
        sensitivity = draw.random(len(sources)) / FLOWS
        overlap = draw.random(len(sources)) * 0.6
        return sources, self.first[layer + 1] + targets, sensitivity, overlap


def survey_tables(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the activation pass would write."""
    layers = [f"{ROOT}/layer{i}" for i in range(len(CHANNELS))]
    classes = [f"bench/class{i}" for i in range(CLASSES)]
    count, owner = len(world.units), np.repeat(np.arange(len(CHANNELS)), CHANNELS)
    everyone = np.arange(count)
    yield "Model", {"id": [ROOT], "name": ["resnet50"], "digest": ["0" * 64]}
    yield "Dataset", {"id": ["bench"], "name": ["bench"], "digest": ["d"], "images": [IMAGES]}
    yield "Class", {"id": classes, "name": [c[6:] for c in classes], "ordinal": np.arange(CLASSES)}
    yield "Image", {"id": world.images, "name": [f"{i % CLASSES}/{i}.png" for i in range(IMAGES)]}
    yield (
        "Layer",
        {
            "id": layers,
            "name": [name.partition("/")[2] for name in layers],
            "model": [ROOT] * len(layers),
            "ordinal": np.arange(len(layers)),
            "kind": ["conv"] * len(layers),
            "channels": np.array(CHANNELS),
        },
    )
    yield (
        "Neuron",
        {
            "id": world.units,
            "model": [ROOT] * count,
            "layer": [unit.split("/")[1] for unit in world.units],
            "channel": everyone - world.first[owner],
            "dead": everyone % 97 == 0,
        },
    )
    yield "Model-HAS_LAYER-Layer", {"start": [ROOT] * len(layers), "end": layers}
    yield "Layer-HAS_NEURON-Neuron", {"start": Coded(owner, layers), "end": world.units}
    yield "Dataset-HAS_CLASS-Class", {"start": ["bench"] * CLASSES, "end": classes}
    label = np.arange(IMAGES) % CLASSES
    yield "Image-LABELLED-Class", {"start": world.images, "end": Coded(label, classes)}
    answer = np.where(np.arange(IMAGES) % 10 == 0, (label + 1) % CLASSES, label)
    yield (
        "Image-PREDICTED_AS-Class",
        {"start": world.images, "end": Coded(answer, classes), "model": [ROOT] * IMAGES},
    )
    yield (
        "Neuron-ACTIVATED_BY-Image",
        {
            "start": Coded(np.repeat(everyone, LISTED), world.units),
            "end": Coded(world.lists.ravel(), world.images),
            "value": np.tile(np.linspace(2, 1, LISTED), count),
            "rank": np.tile(np.arange(1, LISTED + 1), count),
        },
    )
    near = (everyone[:, None] + np.arange(RESPONSES)) % CLASSES
    yield (
        "Neuron-RESPONDS_TO-Class",
        {
            "start": Coded(np.repeat(everyone, RESPONSES), world.units),
            "end": Coded(near.ravel(), classes),
            "auc": np.tile(np.linspace(0.9, 0.5, RESPONSES), count),
            "rank_out": np.tile(np.arange(1, RESPONSES + 1), count),
        },
    )
    for layer, masks in enumerate(world.masks):
        offsets = np.concatenate([[0], np.cumsum([len(mask) for mask in masks])]).astype(np.int64)
        channels = np.concatenate(masks)
        yield (
            "Image-ACTIVATES-Layer",
            {
                "start": world.images,
                "end": [layers[layer]] * IMAGES,
                "channels": Ragged(channels, offsets),
                "values": Ragged(np.ones(len(channels)), offsets),
            },
        )


def circuit_tables(world: World, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What GCC would write."""
    for layer in range(len(CHANNELS) - 1):
        sources, targets, sensitivity, overlap = world.flow(layer)
        yield (
            "Neuron-FLOWS_TO-Neuron",
            {
                "start": Coded(sources, world.units),
                "end": Coded(targets, world.units),
                "sensitivity": sensitivity,
                "overlap": overlap,
                "hops": np.ones(len(sources), np.int64),
            },
        )
    draw = random.Random(world.seed)
    for image in range(EXPLAINED):
        for place in range(PER_IMAGE):
            yield from _circuit(world, run, image, place, draw)


def _circuit(
    world: World, run: str, image: int, place: int, draw: random.Random
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A few units of the image's class in every layer from one on, each joined to all of the next layer."""
    own = [
        draw.sample(range(start + (image - start) % CLASSES, stop, CLASSES), WIDE)
        for start, stop in zip(
            world.first[4 + place :].tolist(), world.first[5 + place :].tolist(), strict=False
        )
    ]
    members = [world.units[n] for layer in own for n in layer]
    edges = [(world.units[a], world.units[b]) for x, y in pairwise(own) for a in x for b in y]
    identity = f"c{image:05d}{place:06d}"
    yield (
        "Circuit",
        {
            "id": [identity],
            "method": ["gcc"],
            "target": [world.images[image]],
            "size": [len(members)],
            "edges": [len(edges)],
            "root": [members[0]],
        },
    )
    yield "Run-WROTE-Circuit", {"start": [run], "end": [identity]}
    yield "Circuit-EXPLAINS-Image", {"start": [identity], "end": [world.images[image]]}
    yield (
        "Circuit-INCLUDES-Neuron",
        {
            "start": [identity] * len(members),
            "end": members,
            "role": ["root"] + ["member"] * (len(members) - 1),
            "rank": list(range(1, len(members) + 1)),
        },
    )
    yield (
        "Neuron-DRIVES-Neuron",
        {
            "start": [a for a, _ in edges],
            "end": [b for _, b in edges],
            "circuit": [identity] * len(edges),
            "sensitivity": [draw.random() for _ in edges],
            "overlap": [0.5] * len(edges),
        },
    )


def write(folder: Path, world: World) -> list[Spool]:
    """The spools of both runs, in the order they must be loaded."""
    survey = RunRecord(ROOT, "bench", "d", "0" * 64, "activations", "1", {}, 0)
    gcc = RunRecord(ROOT, "bench", "d", "0" * 64, "gcc", "1", {}, 0, requires=(survey.id,))
    spools = []
    for run, tables in ((survey, survey_tables(world)), (gcc, circuit_tables(world, gcc.id))):
        with SpoolWriter(folder / run.id, run) as writer:
            for name, columns in tables:
                writer.write(name, columns)
            writer.finish()
        spools.append(Spool.open(folder / run.id))
    return spools
