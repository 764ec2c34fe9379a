"""What an activation pass leaves on disk, and the questions asked of it.

A folder, named by the digest of everything its numbers depend on::

    plan.json               what is being stored: images, layers, parameters
    pooled.000.npy          (N, C) float32 ranking activation of layer 0 (top-share spatial mean), and so on
    peaks.000.npy           (N, C) uint16 or uint32 flat position of the spatial maximum on the layer's grid
    logits.npy              (N, outputs) float32
    shards/00003.done       shard 3 is written and flushed
    complete                all shards are

Rows are images. Lists, floors and statistics are derived for any subset of them, a block of channels at a
time, so memory is bounded by the block and by the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError, ModelError
from ingest.layers import LayerSpec
from ingest.numerics.pooling import (
    largest,
    list_length,
    order_keys,
    ranks_of_keys,
    values_of_keys,
    would_enter,
)
from ingest.numerics.statistics import ClassStats, UnitStats, class_stats, join_units, unit_stats
from ingest.store_files import COMPLETE, LOGITS, PLAN, peaks_file, pooled_file

Subset = NDArray[np.bool_] | NDArray[np.int64] | None
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class TopLists:
    """For each of C channels the K most activating images of a pool of n, best first, ties by image id.

    ``indices`` (C, K) int64 rows of the store, ``values`` (C, K) float32 ranking activations, ``peaks``
    (C, K) int64 flat position of the spatial maximum on the layer's grid, ``last_ids`` (C,) id of each last
    image, ``images`` n.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float32]
    peaks: NDArray[np.int64]
    last_ids: NDArray[np.str_]
    images: int

    @property
    def floor(self) -> NDArray[np.float32]:
        """(C,) last value of each list."""
        return self.values[:, -1]

    def would_hold(self, values: NDArray[np.float32], image: str | None = None) -> NDArray[np.bool_]:
        """Whether each list holds the image, or would had it been in the pool.

        ``values`` (C,) its ranking activations. With ``image``, its id, ties are decided as in the lists, so
        that for an image of the pool this is membership; without it a tie is lost.
        """
        return would_enter(values, self.floor, wins_tie=False if image is None else image <= self.last_ids)

    def members(self, images: int) -> NDArray[np.bool_]:
        """(C, images) bool: the lists as rows of marks over the store's images."""
        marks = np.zeros((len(self.indices), images), np.bool_)
        np.put_along_axis(marks, self.indices, True, axis=1)
        return marks


@dataclass(frozen=True)
class Predictions:
    """Per image (N,): ``output`` index of the largest logit (first of equals), ``probability``, ``logit``."""

    output: NDArray[np.int64]
    probability: NDArray[np.float32]
    logit: NDArray[np.float32]


@dataclass(frozen=True)
class StorePlan:
    """What a store holds and everything its numbers depend on. ``digest`` names it."""

    digest: str
    ids: tuple[str, ...]
    layers: tuple[LayerSpec, ...]
    outputs: int
    input_shape: tuple[int, int, int]
    pool_share: float
    shard: int

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.ids) // self.shard)

    def rows(self, shard: int) -> range:
        """The images of a shard."""
        return range(shard * self.shard, min(len(self.ids), (shard + 1) * self.shard))

    def to_json(self) -> str:
        """The plan as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> StorePlan:
        """Undo :meth:`to_json`."""
        fields: dict[str, Any] = json.loads(text)
        layers = tuple(_layer(entry) for entry in fields.pop("layers"))
        ids, shape = tuple(fields.pop("ids")), tuple(fields.pop("input_shape"))
        return cls(ids=ids, layers=layers, input_shape=shape, **fields)


def _layer(entry: dict[str, Any]) -> LayerSpec:
    grid = entry.pop("grid")
    return LayerSpec(grid=None if grid is None else (grid[0], grid[1]), **entry)


class ActivationStore:
    """A complete store, memory-mapped read-only. Raises DataError if it is missing or incomplete."""

    def __init__(self, folder: Path) -> None:
        if not (folder / COMPLETE).is_file():
            raise DataError(
                "no complete activation store", where=folder, next_step="run the activation pass, it resumes"
            )
        self.folder = folder
        self.plan = StorePlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
        self.layers = self.plan.layers
        self.ids = self.plan.ids
        self.images = len(self.ids)
        self._ordinals = {layer.name: n for n, layer in enumerate(self.layers)}

    def layer(self, name: str) -> LayerSpec:
        """A layer by name. Raises ModelError naming the layers there are."""
        return self.layers[self._ordinal(name)]

    def pooled(self, layer: str) -> NDArray[np.float32]:
        """(N, C) float32 memory map: ranking activation of each image on each channel."""
        return self._map(pooled_file(self._ordinal(layer)))

    def peaks(self, layer: str) -> NDArray[np.unsignedinteger[Any]]:
        """(N, C) memory map: flat position of the spatial maximum on the layer's grid."""
        return self._map(peaks_file(self._ordinal(layer)))

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """(N, outputs) float32 memory map."""
        return self._map(LOGITS)

    @cached_property
    def id_ranks(self) -> NDArray[np.int64]:
        """(N,) place of each image among the sorted ids: what decides ties, whatever the images' order."""
        order = np.argsort(np.array(self.ids), kind="stable")
        ranks = np.empty(self.images, np.int64)
        ranks[order] = np.arange(self.images)
        return ranks

    def lists(self, layer: str, share: float, subset: Subset = None, least: int = 1) -> TopLists:
        """The ⌈share·n⌉ best images of each channel among the n of ``subset``, but at least ``least``.

        Parameters
        ----------
        layer : traced name.
        share : GCC's root share (T1: .01) or mask share (T10: .10).
        subset : (N,) bool, or (n,) rows; None for all images.
        """
        n = len(self.rows(subset))
        return self.top(layer, min(n, max(least, list_length(n, share))), subset)

    def top(self, layer: str, count: int = 100, subset: Subset = None) -> TopLists:
        """The ``count`` best images of each channel among those of ``subset``; all if there are fewer."""
        rows = self.rows(subset)
        ids = np.array(self.ids)
        by_rank = np.argsort(self.id_ranks)
        peaks = self.peaks(layer)
        parts: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
        for channels, block in self.blocks(layer, rows):
            keys = largest(order_keys(np.ascontiguousarray(block.T), self.id_ranks[rows]), count)
            indices = by_rank[ranks_of_keys(keys)]
            places = peaks[indices, np.array(channels)[:, None]].astype(np.int64)
            parts.append((indices, values_of_keys(keys), places))
        indices = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        places = np.concatenate([part[2] for part in parts])
        return TopLists(indices, values, places, ids[indices[:, -1]], len(rows))

    def stats(self, layer: str, subset: Subset = None) -> UnitStats:
        """mean, std, max, p90, p99 and dead of each channel, (C,) each, over the images of ``subset``."""
        parts = [unit_stats(block) for _, block in self.blocks(layer, self.rows(subset))]
        return join_units(parts)

    def class_stats(
        self, layer: str, labels: Sequence[int | None], classes: int, subset: Subset = None
    ) -> ClassStats:
        """Class means and AUC, (classes, C) each, over the labelled images of ``subset``; ``labels`` (N,)."""
        rows = self.rows(subset)
        y = _as_classes(labels)[rows]
        parts = [class_stats(block, y, classes) for _, block in self.blocks(layer, rows)]
        return ClassStats(
            mean=np.concatenate([part["mean"] for part in parts], axis=1),
            auc=np.concatenate([part["auc"] for part in parts], axis=1),
        )

    def blocks(self, layer: str, rows: NDArray[np.int64]) -> Iterator[tuple[range, NDArray[np.float32]]]:
        """Blocks of channels of ``pooled(layer)[rows]``: the channels, and (n, c) float32 in memory."""
        pooled = self.pooled(layer)
        width = max(1, BLOCK_BYTES // (4 * max(1, len(rows))))
        for start in range(0, pooled.shape[1], width):
            stop = min(pooled.shape[1], start + width)
            yield range(start, stop), np.ascontiguousarray(pooled[:, start:stop][rows])

    def rows(self, subset: Subset) -> NDArray[np.int64]:
        """A subset as ascending rows. Raises DataError if it is empty or of another length."""
        if subset is None:
            return np.arange(self.images)
        if subset.dtype == np.bool_ and len(subset) != self.images:
            raise DataError("subset of another data set", expected=self.images, got=len(subset))
        rows = np.flatnonzero(subset) if subset.dtype == np.bool_ else np.unique(subset)
        if not len(rows):
            raise DataError("no image in the subset", where=self.folder)
        return rows.astype(np.int64)

    def predictions(self) -> Predictions:
        """The predicted output of each image, its probability (softmax) and logit."""
        output = np.empty(self.images, np.int64)
        probability = np.empty(self.images, np.float32)
        logit = np.empty(self.images, np.float32)
        step = max(1, BLOCK_BYTES // (8 * self.plan.outputs))
        for start in range(0, self.images, step):
            part = slice(start, start + step)
            logits = self.logits[part].astype(np.float64)
            output[part] = logits.argmax(axis=1)
            logit[part] = top = logits.max(axis=1)
            probability[part] = 1 / np.exp(logits - top[:, None]).sum(axis=1)
        return Predictions(output, probability, logit)

    def accuracy(self, labels: Sequence[int | None], outputs: Sequence[int], subset: Subset = None) -> float:
        """Share of labelled images whose predicted output is that of their class.

        ``labels`` (N,) class of each image or None; ``outputs`` the model's output of each class. NaN without
        labels.
        """
        rows = self.rows(subset)
        y = _as_classes(labels)[rows]
        predicted = self.predictions().output[rows]
        right = predicted[y >= 0] == np.asarray(outputs, np.int64)[y[y >= 0]]
        return float(right.mean()) if len(right) else float("nan")

    def _ordinal(self, layer: str) -> int:
        if layer not in self._ordinals:
            raise ModelError(
                "layer not in the activation store",
                where=layer,
                expected=", ".join(self._ordinals),
                got=layer,
            )
        return self._ordinals[layer]

    def _map(self, name: str) -> NDArray[Any]:
        mapped: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return mapped


def cell_centre(
    layer: LayerSpec, peaks: NDArray[np.int64], input_shape: tuple[int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (x, y), in pixels of the transformed input, of the cell of each flat position on a layer's grid.

    A layer without a grid sees the whole input: its one cell is all of it.
    """
    height, width = layer.grid or (1, 1)
    rows, columns = np.divmod(peaks if layer.grid else np.zeros_like(peaks), width)
    return (columns + 0.5) * (input_shape[2] / width), (rows + 0.5) * (input_shape[1] / height)


def _as_classes(labels: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([-1 if label is None else label for label in labels], np.int64)
