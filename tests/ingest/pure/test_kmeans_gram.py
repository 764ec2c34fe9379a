"""Clusters in Gram space against scikit-learn and against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples
from torch import Tensor

from ingest.numerics.kmeans_gram import gram, kmeans


def blobs(sets: int, n: int, dimensions: int, centres: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points (sets, n, D) about well parted centres, and the centre of each."""
    rng = np.random.default_rng(seed)
    own = rng.integers(centres, size=(sets, n))
    means = rng.normal(size=(sets, centres, dimensions)) * 3
    points = means[np.arange(sets)[:, None], own] + rng.normal(size=(sets, n, dimensions)) * 0.3
    return torch.from_numpy(points), torch.from_numpy(own)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_inertia_is_no_worse_than_scikit_learns(k: int) -> None:
    rng = np.random.default_rng(k)
    vectors = torch.from_numpy(rng.random((12, 40, 30)) ** 3)
    found = kmeans(gram(vectors), k)
    for v, inertia, labels in zip(vectors.numpy(), found.inertia.tolist(), found.labels, strict=True):
        peer = KMeans(k, n_init=10, random_state=0).fit(v)
        assert inertia <= peer.inertia_ * 1.002
        means = np.stack([v[labels.numpy() == c].mean(0) for c in range(k)])
        assert inertia == pytest.approx(((v - means[labels]) ** 2).sum(), rel=1e-9)


def test_planted_centres_are_found_and_the_largest_cluster_comes_first() -> None:
    vectors, own = blobs(8, 60, 20, 3)
    found = kmeans(gram(vectors), 3)
    for labels, truth in zip(found.labels, own, strict=True):
        pairs = {(int(a), int(b)) for a, b in zip(labels, truth, strict=True)}
        assert len(pairs) == 3
    assert (found.sizes.diff(dim=1) <= 0).all()
    assert (found.sizes.sum(1) == 60).all()


def test_silhouettes_equal_scikit_learns() -> None:
    vectors, _ = blobs(4, 30, 10, 4)
    found = kmeans(gram(vectors), 3)
    for v, labels, own in zip(vectors.numpy(), found.labels.numpy(), found.silhouettes, strict=True):
        np.testing.assert_allclose(own, silhouette_samples(v, labels), atol=1e-7)


def test_absent_points_count_for_nothing() -> None:
    vectors, _ = blobs(5, 30, 10, 2)
    present = torch.ones(5, 30, dtype=torch.bool)
    present[:, 20:] = False
    noise = vectors.clone()
    noise[:, 20:] = 1000.0
    found = kmeans(gram(noise, present), 2, present)
    alone = kmeans(gram(vectors[:, :20]), 2)
    assert (found.labels[:, 20:] == -1).all()
    assert torch.equal(found.labels[:, :20], alone.labels)
    torch.testing.assert_close(found.inertia, alone.inertia)
    torch.testing.assert_close(found.silhouette, alone.silhouette)


def test_a_set_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(1)
    g = gram(torch.from_numpy(rng.random((9, 25, 12))))
    together, parted = kmeans(g, 4, seed=5), kmeans(g, 4, seed=5, chunk_bytes=1)
    assert torch.equal(together.labels, parted.labels)
    assert torch.equal(kmeans(g[3:4], 4, seed=5).labels, together.labels[3:4])


def test_identical_points_are_one_cluster() -> None:
    found = kmeans(gram(torch.ones(3, 12, 4)), 3)
    assert found.sizes.tolist() == [[12, 0, 0]] * 3
    assert not found.inertia.any()
    assert not found.silhouettes.any()


def test_two_distinct_points_leave_the_third_cluster_empty() -> None:
    vectors = torch.tensor([[[0.0, 1.0]] * 5 + [[3.0, 0.0]] * 3])
    assert kmeans(gram(vectors), 3).sizes.tolist() == [[5, 3, 0]]


@pytest.mark.parametrize("points", [0, 1, 2])
def test_fewer_points_than_clusters(points: int) -> None:
    present = torch.zeros(1, 6, dtype=torch.bool)
    present[0, :points] = True
    found = kmeans(gram(torch.rand(1, 6, 3), present), 4, present)
    assert int((found.labels >= 0).sum()) == points
    assert int(found.sizes.sum()) == points
    assert found.inertia.item() == pytest.approx(0, abs=1e-12)


def test_no_sets() -> None:
    assert kmeans(gram(torch.empty(0, 5, 3)), 2).labels.shape == (0, 5)
