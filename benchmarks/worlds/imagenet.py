"""A seeded atlas of the size of ImageNet's validation images seen by ResNet-50, drawn chunk by chunk.

Counts per type are those that ``atlas ingest --plan`` predicts (``ingest.sizing``) for the settings below. What is
drawn is shaped like the real thing where it matters to a database: neurons, concepts, images and classes are popular
by a power law, neurons answer a few favourite classes, and what explains a class is drawn from that class's own few
neurons and concepts of each layer, so that its edges join up.

Notation: C channels of a layer, K concepts of it, N images, M list images, T classes; image i is of class i mod T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.methods.cla_job import ClaParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.sizing import Size

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCKS = {"layer1": (256, 3), "layer2": (512, 4), "layer3": (1024, 6), "layer4": (2048, 3)}
NEURONS, IMAGES, CLASSES = 15_104, 50_000, 1000
CLA = ClaParameters(sources=8, most_edges=10_000_000)
GIG = GigParameters(keep=16, express=5)
PURE = PureParameters(senses="2..3")
SETTINGS = "cla.sources=8 cla.most_edges=10000000 gig.keep=16 gig.express=5 pure.senses=2..3"
"""Of ``atlas ingest --set``; everything else is the default, with exact queries for half of the classes."""
DATASET = "imagenet"
FAVOURITES = 4
ACTIVE = 64
"""Neurons, and concepts, of a layer from which everything about one class is drawn."""


@dataclass(frozen=True)
class World:
    """One model on its images; a ``twin`` is another model whose concepts lie close to the first one's.

    ``factor`` is the part of the full size in relationships, roughly; classes and layers keep a least size.
    """

    factor: float = 1.0
    seed: int = 0
    twin: bool = False

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return tuple(
            max(8, round(c * sqrt(self.factor))) for c, blocks in BLOCKS.values() for _ in range(blocks)
        )

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(f"{name}.{block}" for name, (_, blocks) in BLOCKS.items() for block in range(blocks))

    @property
    def root(self) -> str:
        """The model's address."""
        return f"resnet50@5ca1e00{int(self.twin)}"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return max(12, round(CLASSES * self.factor))

    @property
    def images(self) -> int:
        """Number of images."""
        return max(10 * self.classes, round(IMAGES * self.factor))

    @cached_property
    def size(self) -> Size:
        """What ``--plan`` would know of this atlas."""
        return Size(
            channels=self.channels,
            images=self.images,
            lists=len(self.listed),
            classes=self.classes,
            queries=len(self.queries),
            cla=CLA,
            gig=GIG,
            pure=PURE,
            dictionary=tuple(8 * c for c in self.channels),
        )

    @cached_property
    def class_ids(self) -> list[str]:
        """Ids of all classes."""
        return [f"{DATASET}/n{k:08d}" for k in range(self.classes)]

    @cached_property
    def image_ids(self) -> list[str]:
        """Ids of all images."""
        return [f"img:{i * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in range(self.images)]

    @cached_property
    def labels(self) -> Ints:
        """(N,) class of each image."""
        return np.arange(self.images) % self.classes

    @cached_property
    def listed(self) -> Ints:
        """(M,) the list images: every other one of each class."""
        return np.flatnonzero(np.arange(self.images) // self.classes % 2 == 0)

    @cached_property
    def queries(self) -> Ints:
        """The images with exact circuits, one for every other class, half of them list images."""
        own = np.arange(0, self.classes, 2)
        return own + self.classes * (own // 2 % 2)

    def layer_id(self, layer: int) -> str:
        """Id of a layer."""
        return f"{self.root}/{self.layers[layer]}"

    def neurons(self, layer: int) -> list[str]:
        """(C,) ids of a layer's neurons."""
        return [f"{self.layer_id(layer)}/{c}" for c in range(self.channels[layer])]

    def concepts(self, layer: int) -> list[str]:
        """(K,) ids of a layer's concepts."""
        return [f"{self.layer_id(layer)}/c{c}" for c in range(self.size.concepts[layer])]

    def draw(self, *key: int) -> np.random.Generator:
        """The generator of one part of the world."""
        return np.random.default_rng([self.seed, *key])

    def affinity(self, layer: int) -> NDArray[np.bool_]:
        """(T, C) whether a class is among the favourites of a neuron."""
        draw, count = self.draw(1, layer), self.channels[layer]
        weights = np.broadcast_to(popularity(self.draw(2), self.classes), (count, self.classes))
        found = np.zeros((self.classes, count), np.bool_)
        found[best(draw, weights, FAVOURITES), np.arange(count)[:, None]] = True
        return found

    @lru_cache(maxsize=32)  # noqa: B019 - a world lives as long as the process
    def active(self, layer: int) -> Ints:
        """(T, A) the neurons of a layer that carry each class, the strongest first."""
        draw = self.draw(3, layer)
        weights = popularity(draw, self.channels[layer]) + 4 * self.affinity(layer)
        return best(draw, weights, ACTIVE)

    @lru_cache(maxsize=32)  # noqa: B019
    def active_concepts(self, layer: int) -> Ints:
        """(T, A) the concepts of a layer that carry each class, the strongest first."""
        draw = self.draw(4, layer)
        weights = popularity(draw, self.size.concepts[layer])
        return best(draw, np.broadcast_to(weights, (self.classes, len(weights))), ACTIVE)


def popularity(draw: np.random.Generator, count: int, power: float = 0.8) -> NDArray[np.float32]:
    """(count,) logarithms of weights that fall as a power of a random rank."""
    return (-power * np.log(draw.permutation(count) + 10)).astype(np.float32)


def best(draw: np.random.Generator, weights: NDArray[Any], count: int) -> Ints:
    """(R, k) places drawn without repetition from each row of log weights (R, n), the likelier first; k <= n."""
    rows = max(1, (1 << 23) // weights.shape[1])
    found = []
    for first in range(0, len(weights), rows):
        part = weights[first : first + rows]
        keys = part - np.log(np.maximum(draw.standard_exponential(part.shape, np.float32), 1e-30))
        k = min(count, part.shape[1])
        top = np.argpartition(-keys, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(keys, top, 1), axis=1)
        found.append(np.take_along_axis(top, order, 1))
    return np.concatenate(found).astype(np.int64)


def scores(draw: np.random.Generator, rows: int, count: int) -> Floats:
    """(rows, count) heavy-tailed positive scores, falling along a row."""
    drawn = draw.lognormal(-3, 1.2, (rows, count))
    return np.round(-np.sort(-drawn, axis=1), 6)


def ranked(target: Ints, score: Floats) -> tuple[Ints, Floats]:
    """(n,) rank of each score within its target, from 1, and its part of the target's sum."""
    order = np.lexsort((-score, target))
    own = target[order]
    starts = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
    rank = np.empty(len(own), np.int64)
    rank[order] = np.arange(len(own)) - np.repeat(starts, np.diff(np.r_[starts, len(own)])) + 1
    sums = np.bincount(target, score)
    return rank, np.round(score / sums[target], 6)


def chunks(count: int, size: int) -> Sequence[range]:
    """``range(count)`` in parts."""
    return [range(first, min(count, first + size)) for first in range(0, count, size)]


def places(draw: np.random.Generator, count: int) -> dict[str, Floats]:
    """x and y of some positions of a 224-pixel input."""
    return {name: draw.integers(0, 14, count) * 16 + 8.0 for name in ("x", "y")}


def list_length(share: float, images: int) -> int:
    """Images in a list."""
    return ceil(share * images)
