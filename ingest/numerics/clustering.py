"""Spherical bisecting k-means: directions that many feature vectors share (methods 4.1, appendix B of the paper).

Notation
--------
X : (N, C) feature vectors, already centred; x̂ = x / ‖x‖. Zero vectors have no direction and are left out.
K : clusters wished for.      c_k : (C,) centroid, the L2-normalised sum of its cluster's x̂.
inertia : Σ (1 − ⟨x̂, c⟩) over vectors and their own centroids, unitless.
split : the vectors of one cluster parted in two by spherical 2-means, R restarts, the best by inertia.

Starting from one cluster, the largest by count (ties: the one that was made first) is split until there are K or
none can be split: vectors of one direction stay together, so K is at most the number of distinct directions.

Fast form: what a split gives depends on its own members and the seed alone, so many clusters are split at once
(`ingest.numerics.two_means`); then the queue is walked in the literal order. Splits that the walk does not reach are
thrown away, and the walk is the sequential one.

Source: GIG (arXiv 2409.01610), appendix B; Steinbach et al. 2000 for bisecting. Departures: the paper is silent on
seeds, restarts and iterations.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.errors import DataError
from ingest.numerics.two_means import Search, Slice, Splitter


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
    splitter = Splitter(unit, seed, search or Search())
    members = _walk(splitter, len(unit), clusters)
    labels = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
    for number, (start, stop) in enumerate(members):
        labels[kept[splitter.rows[start:stop]]] = number
    sums = torch.stack([splitter.members(own).sum(0) for own in members])
    sizes = torch.tensor([stop - start for start, stop in members], device=x.device)
    lengths = sums.norm(dim=1, keepdim=True)
    inertia = float((sizes.double() - lengths[:, 0].double()).sum())
    centroids = sums / lengths.clamp(min=torch.finfo(x.dtype).tiny)
    return Clusters(centroids, labels, sizes, max(0.0, inertia))


def spherical_inertia(x: Tensor, centroids: Tensor, labels: Tensor) -> float:
    """Σ (1 − ⟨x̂, c⟩) over vectors (N, C) with a label ≥ 0 in (N,); centroids (K, C) unit."""
    own = labels >= 0
    unit = torch.nn.functional.normalize(x[own], dim=1)
    return float((1 - (unit * centroids[labels[own]]).sum(1)).double().sum())


def _walk(splitter: Splitter, count: int, clusters: int) -> list[Slice]:
    """The clusters: the largest is split, from splits that are made many at a time."""
    heap: list[tuple[int, int, Slice]] = [(-count, 0, (0, count))]
    ready: dict[Slice, tuple[Slice, Slice] | None] = {}
    final: list[tuple[int, Slice]] = []
    made = 1
    while heap and len(heap) + len(final) < clusters:
        missing = clusters - len(heap) - len(final)
        if heap[0][2] not in ready:
            open_ = (entry[2] for entry in heapq.nsmallest(missing, heap))
            _split_ahead(splitter, [own for own in open_ if own not in ready], missing, ready)
        _, number, own = heapq.heappop(heap)
        parts = ready.pop(own)
        if parts is None:
            final.append((number, own))
            continue
        # The larger part is made first, and of equals the one made first is split first.
        for part in parts:
            heapq.heappush(heap, (part[0] - part[1], made, part))
            made += 1
    return [
        own for _, own in sorted([*final, *((number, own) for _, number, own in heap)], key=lambda e: e[0])
    ]


def _split_ahead(
    splitter: Splitter, clusters: list[Slice], missing: int, ready: dict[Slice, tuple[Slice, Slice] | None]
) -> None:
    """Split clusters, and what becomes of them while it is more than half of the largest, as the walk soon will."""
    floor = max(stop - start for start, stop in clusters) // 2
    while clusters:
        found = dict(zip(clusters, splitter.split(clusters), strict=True))
        ready |= found
        parts = [part for pair in found.values() if pair is not None for part in pair]
        large = sorted((part for part in parts if part[1] - part[0] > floor), key=lambda p: p[0] - p[1])
        clusters = large[: max(0, missing - len(ready))]
