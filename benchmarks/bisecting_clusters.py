"""Spherical bisecting k-means of a layer's feature vectors against scikit-learn's BisectingKMeans on unit vectors.

Equal first: our spherical inertia, Σ (1 − ⟨x̂, c⟩), may be at most 1 % above the peer's. Both split the largest cluster.
"""

from __future__ import annotations

import torch
from sklearn.cluster import BisectingKMeans
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.harness import Case, Result, compare
from ingest.numerics.clustering import bisecting_kmeans

VECTORS, CHANNELS, CLUSTERS, DIRECTIONS = 50_000, 256, 512, 2000


def world(seed: int = 0) -> Tensor:
    """(N, C) vectors around directions of unlike weight, float32."""
    generator = torch.Generator().manual_seed(seed)
    directions = normalize(torch.randn(DIRECTIONS, CHANNELS, generator=generator), dim=1)
    weights = 1 / torch.arange(1, DIRECTIONS + 1).sqrt()
    own = torch.multinomial(weights, VECTORS, replacement=True, generator=generator)
    noise = torch.randn(VECTORS, CHANNELS, generator=generator) / CHANNELS**0.5
    return (directions[own] + 0.7 * noise) * (torch.rand(VECTORS, 1, generator=generator) + 0.5)


def spherical(unit: Tensor, labels: Tensor) -> float:
    """Inertia of a labelling with its best centroids: N − Σ ‖sum of a cluster‖."""
    sums = torch.zeros(int(labels.max()) + 1, unit.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, unit.double())
    return len(unit) - float(sums.norm(dim=1).sum())


def run() -> Result:
    """Target 2."""
    x = world()
    unit = normalize(x, dim=1)

    def peer() -> Tensor:
        model = BisectingKMeans(CLUSTERS, random_state=0, bisecting_strategy="largest_cluster")
        return torch.from_numpy(model.fit_predict(unit.numpy())).long()

    case = Case(
        name="bisecting_clusters",
        target="ratio ≥ 2",
        what=f"{VECTORS} vectors of {CHANNELS} channels into {CLUSTERS}; peer: BisectingKMeans on unit vectors; "
        "difference: how far our inertia is above the peer's",
        difference=lambda mine, theirs: max(0.0, spherical(unit, mine) / spherical(unit, theirs) - 1),
        tolerance=0.01,
        pairs=3,
    )
    return compare(case, lambda: bisecting_kmeans(x, CLUSTERS).labels, peer)
