"""Spherical bisecting k-means: directions that many feature vectors share (methods 4.1, appendix B of the paper).

Notation
--------
X : (N, C) feature vectors, already centred; x̂ = x / ‖x‖. Zero vectors have no direction and are left out.
K : clusters wished for.      c_k : (C,) centroid, the L2-normalised sum of its cluster's x̂.
inertia : Σ (1 − ⟨x̂, c⟩) over vectors and their own centroids, unitless.
split : the vectors of one cluster parted in two by spherical 2-means, R restarts, the best by inertia.

Starting from one cluster, the largest by count (ties: the one that was made first) is split until there are K or
none can be split: vectors of one direction stay together, so K is at most the number of distinct directions.

Fast form: what a split gives depends on its own members and the seed alone, so many clusters are split at once,
padded to one (G, m, C) block, all restarts in two matrix products an iteration; then the queue is walked in the
literal order. Splits that the walk does not reach are thrown away, and the walk is the sequential one.

Source: GIG (arXiv 2409.01610), appendix B; Steinbach et al. 2000 for bisecting. Departures: the paper is silent on
seeds, restarts and iterations; here the first centre is a member drawn evenly, the second one drawn by 1 − ⟨x̂, c⟩.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError

Ints = NDArray[np.int64]
SAME = 1e-6
"""Two directions closer than this in 1 − ⟨x̂, ŷ⟩ are one."""
CACHED_BYTES = 2 * 2**20
CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Clusters:
    """K' ≤ K clusters of N vectors, in the order in which the walk made them.

    centroids : (K', C) unit vectors, dtype and device of X.      labels : (N,) int64, −1 for zero vectors.
    sizes : (K',) members.      inertia : spherical inertia, float.
    """

    centroids: Tensor
    labels: Tensor
    sizes: Tensor
    inertia: float


@dataclass(frozen=True)
class Search:
    """How a split is searched for.

    restarts : first centres tried.      iterations : of Lloyd, at most.
    gain : least fall of the inertia, as a share of it, that is worth another iteration.
    sample : members that restarts are tried on; only the best goes on over all members of a larger cluster.
    chunk_bytes : of one padded block; 0 is what a processor's cache holds, or 256 MiB on a GPU.
    """

    restarts: int = 5
    iterations: int = 20
    gain: float = 1e-3
    sample: int = 4096
    chunk_bytes: int = 0


def bisecting_kmeans(x: Tensor, clusters: int, seed: int = 0, search: Search | None = None) -> Clusters:
    """Part vectors into K clusters of similar direction.

    Parameters
    ----------
    x : (N, C) on any device; float32 or float64.
    clusters : K ≥ 1.

    Raises
    ------
    DataError : no vector that is finite and not zero, or K < 1.

    Memory: two copies of X and a block; nothing of size N × K.
    """
    if clusters < 1:
        raise DataError("a dictionary needs a concept", expected=">= 1", got=clusters)
    norms = x.norm(dim=1)
    if not bool(norms.isfinite().all()):
        raise DataError("a feature vector is not finite", expected="finite numbers", got="NaN or infinity")
    kept = torch.nonzero(norms > 0).flatten()
    if not len(kept):
        raise DataError(
            "all feature vectors of the layer are zero",
            expected="a vector with a direction",
            got=f"{len(x)} zero vectors",
            next_step="leave this layer out with --layers, it says nothing on these images",
        )
    unit = x / norms[:, None] if len(kept) == len(x) else x[kept] / norms[kept, None]
    splitter = _Splitter(unit, seed, search or Search())
    members = _walk(splitter, len(unit), clusters)
    labels = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
    for number, own in enumerate(members):
        labels[kept[own]] = number
    sums = torch.zeros(len(members), x.shape[1], dtype=x.dtype, device=x.device)
    sums.index_add_(0, labels[kept], unit)
    sizes = torch.bincount(labels[kept], minlength=len(members))
    lengths = sums.norm(dim=1, keepdim=True)
    inertia = float((sizes.double() - lengths[:, 0].double()).sum())
    centroids = sums / lengths.clamp(min=torch.finfo(x.dtype).tiny)
    return Clusters(centroids, labels, sizes, max(0.0, inertia))


def spherical_inertia(x: Tensor, centroids: Tensor, labels: Tensor) -> float:
    """Σ (1 − ⟨x̂, c⟩) over vectors (N, C) with a label ≥ 0 in (N,); centroids (K, C) unit."""
    own = labels >= 0
    unit = torch.nn.functional.normalize(x[own], dim=1)
    return float((1 - (unit * centroids[labels[own]]).sum(1)).double().sum())


def _walk(splitter: _Splitter, count: int, clusters: int) -> list[Tensor]:
    """Members of each cluster: the largest is split, from splits that are made many at a time."""
    whole = torch.arange(count, device=splitter.unit.device)
    heap: list[tuple[int, int, Tensor]] = [(-count, 0, whole)]
    ready: dict[int, tuple[Tensor, Tensor] | None] = {}
    final: list[tuple[int, Tensor]] = []
    made = 1
    while heap and len(heap) + len(final) < clusters:
        missing = clusters - len(heap) - len(final)
        if heap[0][1] not in ready:
            open_ = [entry for entry in heapq.nsmallest(missing, heap) if entry[1] not in ready]
            ready |= dict(
                zip((entry[1] for entry in open_), splitter.split([entry[2] for entry in open_]), strict=True)
            )
        _, number, own = heapq.heappop(heap)
        parts = ready.pop(number)
        if parts is None:
            final.append((number, own))
            continue
        # The larger part is made first, and of equals the one made first is split first.
        for part in parts:
            heapq.heappush(heap, (-len(part), made, part))
            made += 1
    return [
        own for _, own in sorted([*final, *((number, own) for _, number, own in heap)], key=lambda e: e[0])
    ]


class _Splitter:
    """Splits clusters of unit vectors (N, C), many at once."""

    def __init__(self, unit: Tensor, seed: int, search: Search) -> None:
        self.unit = unit
        self._seed = seed
        self._search = search

    def split(self, clusters: list[Tensor]) -> list[tuple[Tensor, Tensor] | None]:
        """Per cluster (ascending rows) its two parts, the larger first, or None if it has one direction."""
        done: list[tuple[Tensor, Tensor] | None] = [None] * len(clusters)
        for block in self._blocks(clusters):
            parts = self._two_means([clusters[i] for i in block])
            for i, found in zip(block, parts, strict=True):
                done[i] = found
        return done

    def _blocks(self, clusters: list[Tensor]) -> Iterator[list[int]]:
        """Clusters of two members or more, in blocks of like sizes within the budget."""
        row = self.unit.shape[1] * self.unit.element_size()
        cached = CACHED_BYTES if self.unit.device.type == "cpu" else CHUNK_BYTES
        budget = self._search.chunk_bytes or cached
        order = sorted(
            (i for i in range(len(clusters)) if len(clusters[i]) > 1), key=lambda i: -len(clusters[i])
        )
        block: list[int] = []
        for i in order:
            widest = len(clusters[block[0]]) if block else 0
            room = (len(block) + 1) * widest * row <= budget
            if block and not (room and 4 * len(clusters[i]) >= 3 * widest - 4):
                yield block
                block = []
            block.append(i)
        if block:
            yield block

    def _two_means(self, clusters: list[Tensor]) -> list[tuple[Tensor, Tensor] | None]:
        sizes = [len(own) for own in clusters]
        x = self._padded(clusters)
        inside = torch.arange(x.shape[1], device=x.device) < torch.tensor(sizes, device=x.device)[:, None]
        draws = self._draws(clusters)
        if len(clusters) == 1 and sizes[0] > self._search.sample:
            # A large cluster: its restarts are tried on every n-th member.
            part = x[:, :: -(-sizes[0] // self._search.sample)]
            first, second, spread = _centres(part, inside[:, : part.shape[1]], draws)
            tried = self._lloyd(part, inside[:, : part.shape[1]], first - second)
            difference = _difference(tried.one, part.sum(1, keepdim=True))
        else:
            first, second, spread = _centres(x, inside, draws)
            difference = first - second
        found = self._lloyd(x, inside, difference)
        parts: list[tuple[Tensor, Tensor] | None] = []
        for g, own in enumerate(clusters):
            mark = found.side[g, : len(own)]
            pair = (own[mark], own[~mark])
            whole = float(spread[g]) <= SAME or not len(pair[0]) or not len(pair[1])
            parts.append(None if whole else pair if len(pair[0]) >= len(pair[1]) else (pair[1], pair[0]))
        return parts

    def _padded(self, clusters: list[Tensor]) -> Tensor:
        """(G, m, C) members, zero rows behind them."""
        sizes = {len(own) for own in clusters}
        if len(sizes) == 1:
            rows = torch.index_select(self.unit, 0, torch.cat(clusters))
            return rows.view(len(clusters), sizes.pop(), -1)
        x = self.unit.new_zeros(len(clusters), max(sizes), self.unit.shape[1])
        for g, own in enumerate(clusters):
            torch.index_select(self.unit, 0, own, out=x[g, : len(own)])
        return x

    def _lloyd(self, x: Tensor, inside: Tensor, difference: Tensor) -> _Split:
        """The best restart of each cluster.

        x : (G, m, C), zero rows where not ``inside`` (G, m).      difference : (G, R, C) of the two centres.
        """
        total, sizes = x.sum(1, keepdim=True), inside.sum(1)
        before = x.new_full((len(x),), -1.0)
        for _ in range(self._search.iterations):
            side = ((difference @ x.transpose(1, 2)) > 0) & inside[:, None]
            one = side.to(x.dtype) @ x
            quality = one.norm(dim=2) + (total - one).norm(dim=2)
            reached = quality.amax(1)
            # Each cluster stops by itself: what it becomes does not depend on those beside it.
            moving = reached - before > self._search.gain * (sizes - reached)
            if not bool(moving.any()):
                break
            before = torch.where(moving, reached, before)
            difference = torch.where(moving[:, None, None], _difference(one, total), difference)
        # A side without members is no split; another restart may have one.
        count = side.sum(2)
        empty = (count == 0) | (count == sizes[:, None])
        best = quality.masked_fill(empty, -1).argmax(1)
        rows = torch.arange(len(x), device=x.device)
        return _Split(side[rows, best], one[rows, best][:, None])

    def _draws(self, clusters: list[Tensor]) -> Tensor:
        """(G, R, 2) numbers that depend on a cluster's first member, its size and the seed."""
        first = torch.stack([own[0] for own in clusters]).cpu().numpy().astype(np.uint64)
        size = np.array([len(own) for own in clusters], np.uint64)
        start = np.uint64(self._seed * 0x9E3779B97F4A7C15 % 2**64)
        base = _mix(_mix(first ^ start) ^ size)
        turns = np.arange(2 * self._search.restarts, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        bits = _mix(base[:, None] + turns) >> np.uint64(11)
        numbers = (bits.astype(np.float64) / 2.0**53).reshape(len(clusters), -1, 2)
        return torch.from_numpy(numbers).to(self.unit.device, self.unit.dtype)


@dataclass(frozen=True)
class _Split:
    """One side of G clusters: its members (G, m), their sum (G, 1, C)."""

    side: Tensor
    one: Tensor


def _difference(one: Tensor, total: Tensor) -> Tensor:
    """Unit sums of both sides, one less the other."""
    normalize = torch.nn.functional.normalize
    return normalize(one, dim=2) - normalize(total - one, dim=2)


def _centres(x: Tensor, inside: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two members per restart, (G, R, C) each, and (G,) the largest 1 − ⟨first, member⟩ seen.

    The first is drawn evenly, the second with a weight of 1 − ⟨first, member⟩.
    """
    rows = torch.arange(len(x), device=x.device)[:, None]
    sizes = inside.sum(1, keepdim=True)
    first = x[rows, (draws[..., 0] * sizes).long().clamp(max=x.shape[1] - 1)]
    apart = (1 - first @ x.transpose(1, 2)).clamp(min=0) * inside[:, None]
    apart = apart.masked_fill(apart <= SAME, 0)
    sums = apart.double().cumsum(2)
    wished = draws[..., 1:].double() * sums[..., -1:]
    at = torch.searchsorted(sums, wished, right=True).squeeze(2).clamp(max=x.shape[1] - 1)
    return first, x[rows, at], apart.amax((1, 2))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: bits of neighbouring numbers become unlike."""
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
