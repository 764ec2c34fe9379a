"""Spliced neurons: two trained neurons of a layer made one, so that which of them spoke is known.

Notation
--------
S spliced neurons of one layer with C channels; parents i, j of each; p_i the 99th percentile of the ranking activation
of i on the list images.
h = relu(a_i / p_i + a_j / p_j) : (P,) map of a spliced neuron; its ranking activation is the layer's (mean over the
largest share of positions), its references the n images where that is largest.
truth : 1 where the ranking activation of j over p_j is larger than that of i over p_i, else 0.
jaccard : of the parents' own reference lists, |L_i ∩ L_j| / |L_i ∪ L_j|.

A spliced neuron is a linear read-out of its layer, so that it has circuit vectors like any other channel. Spliced with
itself a neuron is 2/p_i times itself: every vector that is normalised is the neuron's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec, to_units
from ingest.numerics.pooling import largest, order_keys, ranks_of_keys, top_share_mean
from ingest.segments import Trace
from ingest.store import ActivationStore

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Batches = Callable[[Sequence[int]], Iterable[tuple[Sequence[int], Tensor]]]
"""Rows of the store -> batches of (rows, images (B, C, H, W))."""

OVERLAPS = (0.05, 0.12, 0.25, 1.0)
"""Upper ends of the ranges of Jaccard that pairs are drawn from in equal numbers, as far as there are such pairs."""
_CANDIDATES = 60


@dataclass(frozen=True)
class Splices:
    """S spliced neurons of a layer: parents (S, 2), scales p (S, 2), jaccard (S,)."""

    layer: LayerSpec
    parents: Ints
    scales: Floats
    jaccard: Floats

    def __len__(self) -> int:
        return len(self.parents)

    def take(self, some: Ints) -> Splices:
        """Some of them."""
        return Splices(self.layer, self.parents[some], self.scales[some], self.jaccard[some])

    def read(self, units: Tensor) -> Tensor:
        """(B, S, P) maps h of units (B, C, P)."""
        parents = torch.from_numpy(self.parents).to(units.device)
        weights = torch.from_numpy(1 / self.scales).to(units)
        first = units[:, parents[:, 0]] * weights[:, :1]
        return torch.relu(first + units[:, parents[:, 1]] * weights[:, 1:])


@dataclass(frozen=True)
class References:
    """rows (S, n) of the store, best first, and truth (S, n)."""

    rows: Ints
    truth: Ints


def draw_splices(store: ActivationStore, layer: str, lists: Bools, count: int, seed: int) -> Splices:
    """Pairs of live neurons over the whole range of overlaps, each at most once.

    Parameters
    ----------
    lists : (N,) the images that scales and overlaps are measured on.
    count : S at most.

    Raises DataError if fewer than two neurons of the layer are alive.
    """
    stats = store.stats(layer, lists)
    live = np.flatnonzero(~stats["dead"] & (stats["p99"] > 0))
    if len(live) < 2:
        raise DataError("too few live neurons to splice", where=layer, expected="≥ 2", got=len(live))
    rng = np.random.default_rng([seed, store.layer(layer).ordinal])
    drawn = np.sort(live[rng.integers(0, len(live), (_CANDIDATES * count, 2))], axis=1)
    _, first = np.unique(drawn, axis=0, return_index=True)
    drawn = drawn[np.sort(first)]
    drawn = drawn[drawn[:, 0] != drawn[:, 1]]
    members = store.top(layer, reference_count(int(lists.sum())), lists).members(store.images)
    both = (members[drawn[:, 0]] & members[drawn[:, 1]]).sum(1)
    overlap = both / (members[drawn[:, 0]] | members[drawn[:, 1]]).sum(1)
    kept = _spread(overlap, count)
    return _splices(store, layer, drawn[kept], stats["p99"], overlap[kept])


def self_splices(store: ActivationStore, layer: str, lists: Bools, channels: Ints) -> Splices:
    """Each neuron spliced with itself."""
    p99 = store.stats(layer, lists)["p99"]
    return _splices(store, layer, np.stack([channels, channels], 1), p99, np.ones(len(channels)))


def reference_count(images: int) -> int:
    """n: 100 references, a third of the images where these are few."""
    return max(2, min(100, images // 3))


def _splices(store: ActivationStore, layer: str, parents: Ints, p99: Floats, overlap: Floats) -> Splices:
    return Splices(store.layer(layer), parents.astype(np.int64), p99[parents].astype(np.float64), overlap)


def _spread(overlap: Floats, count: int) -> Ints:
    """Places of ``count`` pairs, as equally many of each range as there are, in the order they were drawn."""
    ranges = [np.flatnonzero(np.searchsorted(OVERLAPS, overlap) == k) for k in range(len(OVERLAPS))]
    kept: list[int] = []
    turn = 0
    while len(kept) < min(count, len(overlap)):
        kept += [int(own[turn]) for own in ranges if turn < len(own)]
        turn += 1
    return np.sort(np.array(kept[:count], np.int64))


def splice_references(
    trace: Trace,
    splices: Mapping[str, Splices],
    store: ActivationStore,
    rows: Ints,
    batches: Batches,
    count: int,
) -> dict[str, References]:
    """The ``count`` best images of every spliced neuron among ``rows``, in one pass over all layers.

    Equal activations are decided by image id, so that batches do not matter.
    """
    kept = {name: np.empty((len(own), 0), np.int64) for name, own in splices.items()}
    for part, x in batches([int(row) for row in rows]):
        for name, ranking in _rankings(trace, splices, x, store.plan.pool_share):
            keys = order_keys(np.ascontiguousarray(ranking.T), store.id_ranks[list(part)])
            kept[name] = largest(np.concatenate([kept[name], keys], axis=1), count)
    by_rank = np.argsort(store.id_ranks)
    return {
        name: _told(store, splices[name], by_rank[ranks_of_keys(keys)].astype(np.int64))
        for name, keys in kept.items()
    }


def _rankings(
    trace: Trace, splices: Mapping[str, Splices], x: Tensor, share: float
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    with torch.inference_mode():
        values = trace.values(x, [own.layer.node for own in splices.values()])
        for name, own in splices.items():
            maps = own.read(to_units(values[own.layer.node], own.layer))
            yield name, top_share_mean(maps, share, skip=own.layer.tokens_before).mean.numpy()


def _told(store: ActivationStore, own: Splices, rows: Ints) -> References:
    pooled = store.pooled(own.layer.name)
    spoke = [
        pooled[rows, own.parents[:, side, None]] / own.scales[:, side, None].astype(np.float64)
        for side in (0, 1)
    ]
    return References(rows, (spoke[1] > spoke[0]).astype(np.int64))
