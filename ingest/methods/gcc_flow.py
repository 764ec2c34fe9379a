"""GCC over the whole data set: S_SF of all pairs, and S_NS averaged over each source's best images (`FLOWS_TO`).

Notation: C sources, D targets of one pair; K images a source is averaged over (the first of its root list).
M : (C, D) mean S_NS.      V : (C, D) its variance over the K images.     n : (C, D) images in both root lists.

Work is cut into groups of consecutive pairs, and within a group by image: an image runs once, and with it every
source of the group that lists it. The dense sums of a pair never leave this module: per source only the best targets
are kept, so that a graph can hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from ingest.methods.gcc import OverlapRows, sensitivities
from ingest.methods.gcc_job import GccParameters, Lists, Loader
from ingest.methods.pairs import Pair, clean_values
from ingest.numerics.sensitivity import normalised
from ingest.segments import Trace

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SUM_BYTES = 512 * 2**20
ROW_BYTES = 24
"""Of one row's effect on one target: as computed, in float64, and as a share."""
GROUP_PAIRS = 4
"""Pairs in a group at most. A group runs each of its images forward once, and groups are computed side by side: with
fewer pairs an image of many sources runs forward more often, with more there are fewer groups than devices.
"""

Group = tuple[tuple[int, Pair], ...]
"""Consecutive pairs, each with the ordinal of its source layer."""


@dataclass(frozen=True)
class Flow:
    """The stored edges of one pair, arrays of one length E, by source, then strongest first.

    layer : ordinal of the source's layer.      source, target : channels.
    sensitivity, std : mean and population deviation of S_NS over ``n`` images.      overlap : S_SF.
    images : images in both root lists.      identity : carried on by a shortcut.
    share : sensitivity over its sum over all sources of the target.      rank_in : among these, 1 the strongest.
    rank_out : among all targets of the source.
    capped : (C,) sources of which the cap left something out.
    """

    layer: int
    source: Ints
    target: Ints
    sensitivity: Array
    std: Array
    n: Ints
    overlap: Array
    images: Ints
    identity: Bools
    share: Array
    rank_in: Ints
    rank_out: Ints
    capped: Bools

    def __len__(self) -> int:
        return len(self.source)

    def pairs(self) -> set[tuple[int, int, int]]:
        """{(layer, source, target)}."""
        return {(self.layer, s, t) for s, t in zip(self.source.tolist(), self.target.tolist(), strict=True)}


@dataclass
class _Sums:
    """Sums over images of one pair: S_NS and its square (C, D), rows (C,)."""

    total: Array
    square: Array
    rows: Ints

    @classmethod
    def of(cls, pair: Pair) -> _Sums:
        shape = (pair.source.channels, pair.target.channels)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape[0], np.int64))

    def add(self, channels: Ints, s: Array) -> None:
        """Rows s (R, D) of sources channels (R,), which may repeat."""
        sources, inverse = np.unique(channels, return_inverse=True)
        pick = sparse.csr_array(
            (np.ones(len(channels)), (inverse, np.arange(len(channels)))), shape=(len(sources), len(channels))
        )
        self.total[sources] += pick @ s
        self.square[sources] += pick @ (s * s)
        np.add.at(self.rows, channels, 1)

    def moments(self) -> tuple[Array, Array]:
        """Mean and population standard deviation (C, D)."""
        n = np.maximum(self.rows, 1)[:, None]
        mean = self.total / n
        return mean, np.sqrt(np.maximum(self.square / n - mean * mean, 0.0))


def groups(pairs: Sequence[Pair | None]) -> tuple[Group, ...]:
    """The pairs, in groups that run an image once: few enough, and with dense sums that fit in memory together."""
    there = [(layer, pair) for layer, pair in enumerate(pairs) if pair is not None]
    parts = _parts([_need(pair.source.channels, pair.target.channels) for _, pair in there])
    return tuple(tuple(there[place] for place in part) for part in parts)


def sum_bytes(channels: Sequence[int]) -> int:
    """Most bytes of dense sums that a group of pairs of layers of so many channels holds at once."""
    needs = [_need(source, target) for source, target in pairwise(channels)]
    return max((sum(needs[place] for place in part) for part in _parts(needs)), default=0)


def _need(source: int, target: int) -> int:
    return 2 * 8 * source * target


def _parts(needs: Sequence[int]) -> list[list[int]]:
    """Places of consecutive pairs that take so many bytes each, parted into groups."""
    parts: list[list[int]] = []
    for place, need in enumerate(needs):
        full = not parts or len(parts[-1]) == GROUP_PAIRS
        if full or sum(needs[other] for other in parts[-1]) + need > SUM_BYTES:
            parts.append([])
        parts[-1].append(place)
    return parts


def images_of(group: Group, lists: Lists, images: int) -> int:
    """How many images a group runs, each source asking for its first so many."""
    return len(
        np.unique(np.concatenate([lists.roots[layer].indices[:, :images].ravel() for layer, _ in group]))
    )


def flows(
    trace: Trace,
    group: Group,
    lists: Lists,
    loader: Loader,
    parameters: GccParameters,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Flow]:
    """The stored edges of the pairs of one group, in order.

    Parameters
    ----------
    trace, group : the model and some of its adjacent layers.
    lists : the root lists give the images and the overlaps.
    loader : rows of the store -> batches of images.
    parameters : images a source, and what is kept.
    progress : called with the images done.
    """
    overlaps = OverlapRows(lists)
    by_image = _sources_by_image(group, lists, parameters.flow_images)
    sums = {layer: _Sums.of(pair) for layer, pair in group}
    done = 0
    for count in _run(trace, group, by_image, loader, parameters, sums):
        done += count
        if progress is not None:
            progress(done)
    for layer, pair in group:
        mean, std = sums.pop(layer).moments()
        taken = np.array([min(parameters.flow_images, lists.roots[layer].indices.shape[1])])
        yield keep(layer, pair, (mean, std, taken), overlaps, parameters)


def _sources_by_image(group: Group, lists: Lists, images: int) -> dict[int, dict[int, Ints]]:
    """Row of the store -> pair -> the sources that list it among their best images; rows ascending."""
    found: dict[int, dict[int, list[int]]] = {}
    for layer, _ in group:
        for channel, rows in enumerate(lists.roots[layer].indices[:, :images].tolist()):
            for row in rows:
                found.setdefault(row, {}).setdefault(layer, []).append(channel)
    return {
        row: {layer: np.array(channels) for layer, channels in found[row].items()} for row in sorted(found)
    }


@torch.inference_mode()
def _run(
    trace: Trace,
    group: Group,
    by_image: dict[int, dict[int, Ints]],
    loader: Loader,
    parameters: GccParameters,
    sums: dict[int, _Sums],
) -> Iterator[int]:
    layers = list({x.node: x for _, pair in group for x in (pair.source, pair.target)}.values())
    for rows, batch in loader(list(by_image)):
        clean = clean_values(trace, layers, [pair for _, pair in group], batch, logits=False)
        for layer, pair in group:
            sources = [by_image[int(row)].get(layer, np.empty(0, np.int64)) for row in rows]
            images = np.repeat(np.arange(len(sources)), [len(c) for c in sources])
            channels = np.concatenate(sources)
            # One image may be in the root lists of most sources: their rows together need not fit in memory.
            count = max(1, parameters.chunk_bytes // (ROW_BYTES * pair.target.channels))
            for first in range(0, len(channels), count):
                part = slice(first, first + count)
                raw = sensitivities(pair, clean, images[part], channels[part], parameters.chunk_bytes)
                sums[layer].add(channels[part], normalised(raw))
        yield len(rows)


def keep(
    layer: int,
    pair: Pair,
    moments: tuple[Array, Array, Ints],
    overlaps: OverlapRows,
    parameters: GccParameters,
) -> Flow:
    """Prune one pair: per source the best by sensitivity and all of larger overlap, at most so many.

    moments : mean and deviation of S_NS (C, D), and the images they rest on (1,).
    """
    mean, std, taken = moments
    channels = len(mean)
    counts = overlaps.counts(layer, np.arange(channels))
    overlap = counts / float(overlaps.length)
    order = np.argsort(-mean, axis=1, kind="stable")
    rank_out = _places(order, axis=1)
    rank_in = _places(np.argsort(-mean, axis=0, kind="stable"), axis=0)
    chosen, capped = _chosen(mean, overlap, rank_out, parameters)
    source, target = np.nonzero(chosen)
    by_rank = np.lexsort((rank_out[source, target], source))
    source, target = source[by_rank], target[by_rank]
    at = (source, target)
    sums = mean.sum(axis=0)
    return Flow(
        layer=layer,
        source=source,
        target=target,
        sensitivity=mean[at],
        std=std[at],
        n=np.full(len(source), int(taken[0])),
        overlap=overlap[at],
        images=counts[at].astype(np.int64),
        identity=(source == target) & pair.identity,
        share=np.divide(mean[at], sums[target], out=np.zeros(len(source)), where=sums[target] > 0),
        rank_in=rank_in[at] + 1,
        rank_out=rank_out[at] + 1,
        capped=capped,
    )


def _chosen(mean: Array, overlap: Array, rank_out: Ints, parameters: GccParameters) -> tuple[Bools, Bools]:
    """Which pairs are kept (C, D), and of which sources the cap left something out (C,).

    The cap first keeps the best by sensitivity, then the largest overlaps, ties by sensitivity.
    """
    best = (rank_out < parameters.keep_sensitivity) & (mean > 0)
    wished = best | (overlap > parameters.keep_overlap)
    capped = wished.sum(axis=1) > parameters.keep_most
    for c in np.flatnonzero(capped):
        index = np.flatnonzero(wished[c])
        order = np.lexsort((rank_out[c, index], -overlap[c, index], ~best[c, index]))
        wished[c, index[order[parameters.keep_most :]]] = False
    return wished, capped


def _places(order: Ints, axis: int) -> Ints:
    places = np.empty_like(order)
    shape = (1, -1) if axis == 1 else (-1, 1)
    np.put_along_axis(places, order, np.arange(order.shape[axis]).reshape(shape), axis=axis)
    return places
