"""Spherical bisecting k-means of a layer's feature vectors against scikit-learn's BisectingKMeans on unit vectors.

Equal first: our spherical inertia, Σ (1 − ⟨x̂, c⟩), may be at most 1 % above the peer's. Both split the largest cluster.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import BisectingKMeans
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.harness import Case, Result, compare
from ingest.demo.digits import draw_scenes, render, split_sources
from ingest.demo.network import WEIGHTS
from ingest.layers import choose_layers, to_units
from ingest.methods.feature_space import feature_space
from ingest.models import ModelSpec, load_model
from ingest.numerics.clustering import bisecting_kmeans
from ingest.numerics.two_means import Search

VECTORS, CLUSTERS = 50_000, 512
LAYER, IMAGES, BATCH = "layer2.1", 800, 50


@torch.no_grad()
def world(seed: int = 0) -> Tensor:
    """(N, C) centred feature vectors of the demo's network: all positions of one layer on canvases of two digits."""
    model = load_model(ModelSpec("ingest.demo.network:digit_pairs", checkpoint=WEIGHTS))
    (layer,) = choose_layers(model, LAYER)
    space = feature_space(model.trace, layer)
    scenes = draw_scenes(split_sources()["lists"], IMAGES, np.random.default_rng(seed))
    canvases = torch.from_numpy(render(scenes)).permute(0, 3, 1, 2).float() / 255
    parts = [
        to_units(model.trace.values(x, [space.node])[space.node], layer).transpose(1, 2).flatten(0, 1)
        for x in canvases.split(BATCH)
    ]
    return torch.cat(parts)[:VECTORS] - space.centre


def spherical(unit: Tensor, labels: Tensor) -> float:
    """Inertia of a labelling with its best centroids: N − Σ ‖sum of a cluster‖."""
    sums = torch.zeros(int(labels.max()) + 1, unit.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, unit.double())
    return len(unit) - float(sums.norm(dim=1).sum())


def run() -> list[Result]:
    """Two results, against the peer's default of one start and against as many restarts as ours; target 2."""
    x = world()
    unit = normalize(x, dim=1)
    return [_against(x, unit, starts) for starts in (1, Search().restarts)]


def _against(x: Tensor, unit: Tensor, starts: int) -> Result:
    def peer() -> Tensor:
        model = BisectingKMeans(CLUSTERS, random_state=0, bisecting_strategy="largest_cluster", n_init=starts)
        return torch.from_numpy(model.fit_predict(unit.numpy())).long()

    case = Case(
        name=f"bisecting_clusters_{starts}",
        target="ratio ≥ 2",
        what=f"{len(x)} vectors of {x.shape[1]} channels, a layer of the demo, into {CLUSTERS}; "
        f"peer: BisectingKMeans(n_init={starts}) on unit vectors, its inertia over ours "
        f"{spherical(unit, peer()) / spherical(unit, bisecting_kmeans(x, CLUSTERS).labels):.3f}; "
        "difference: how far our inertia is above the peer's",
        difference=lambda mine, theirs: max(0.0, spherical(unit, mine) / spherical(unit, theirs) - 1),
        tolerance=0.01,
        pairs=3,
    )
    return compare(case, lambda: bisecting_kmeans(x, CLUSTERS).labels, peer)
