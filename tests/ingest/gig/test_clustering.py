"""Spherical bisecting k-means: planted directions, the literal walk, scikit-learn's inertia, degenerate layers."""

from __future__ import annotations

import heapq

import pytest
import torch
from sklearn.cluster import BisectingKMeans
from torch import Tensor
from torch.nn.functional import normalize

from atlas.errors import DataError
from ingest.numerics.clustering import bisecting_kmeans, spherical_inertia
from ingest.numerics.two_means import Search, Splitter, principal


def mixture(count: int, width: int, directions: int, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = normalize(torch.randn(directions, width, generator=generator, dtype=torch.float64), dim=1)
    own = torch.randint(0, directions, (count,), generator=generator)
    scale = 0.5 + torch.rand(count, 1, generator=generator, dtype=torch.float64) * 9
    x = (
        centres[own]
        + noise * torch.randn(count, width, generator=generator, dtype=torch.float64) / width**0.5
    )
    return x * scale, centres


def test_planted_directions_come_back():
    x, centres = mixture(600, 32, 8, 0.1)
    found = bisecting_kmeans(x, 8)
    cosine = found.centroids @ centres.T
    assert float(cosine.amax(0).min()) > 0.99
    assert int(found.sizes.sum()) == 600
    assert torch.allclose(found.centroids.norm(dim=1), torch.ones(8, dtype=torch.float64))


def test_inertia_is_that_of_its_definition():
    x, _ = mixture(300, 16, 10, 1.0)
    found = bisecting_kmeans(x, 7)
    literal = 0.0
    for k in range(7):
        own = normalize(x[found.labels == k], dim=1)
        centre = own.sum(0) / own.sum(0).norm()
        assert torch.allclose(found.centroids[k], centre, atol=1e-12)
        literal += float((1 - own @ centre).sum())
    assert found.inertia == pytest.approx(literal, rel=1e-9)
    assert spherical_inertia(x, found.centroids, found.labels) == pytest.approx(literal, rel=1e-9)


def peer_inertia(x: Tensor, seed: int) -> float:
    unit = normalize(x, dim=1)
    peer = BisectingKMeans(32, bisecting_strategy="largest_cluster", random_state=seed).fit(unit.numpy())
    labels = torch.from_numpy(peer.labels_).long()
    sums = torch.zeros(32, x.shape[1], dtype=torch.float64).index_add_(0, labels, unit)
    return spherical_inertia(x, normalize(sums, dim=1), labels)


@pytest.mark.parametrize("rank", [24, 8], ids=["spread over all channels", "few principal directions"])
def test_inertia_is_no_worse_than_scikit_learns(rank):
    """Both draw their first centres: the mean over seeds is compared."""
    ours, theirs = [], []
    for seed in range(6):
        x, _ = mixture(1500, 24, 60, 1.0, seed)
        x[:, rank:] *= 0.02
        ours.append(bisecting_kmeans(x, 32, seed).inertia)
        theirs.append(peer_inertia(x, seed))
    assert sum(ours) <= 1.01 * sum(theirs)


def test_large_clusters_are_split_by_their_principal_directions():
    x, _ = mixture(1500, 24, 60, 0.2)
    x[:, 8:] *= 0.02
    unit = normalize(x, dim=1)
    y = principal(unit, 0.99)
    assert y.shape[1] <= 8
    assert torch.allclose(y @ y.T, unit @ unit.T, atol=0.05)
    assert principal(normalize(mixture(1500, 24, 60, 1.0)[0], dim=1), 0.99) is None


def test_vectors_that_differ_only_outside_the_principal_directions_are_told_apart():
    x = torch.zeros(4000, 8, dtype=torch.float64)
    x[:, 0] = 1
    x[::2, 5] = 0.01
    found = bisecting_kmeans(x, 2, search=Search(sample=500))
    assert sorted(found.sizes.tolist()) == [2000, 2000]
    assert found.inertia == pytest.approx(0, abs=1e-9)


def test_many_at_once_is_the_walk_one_by_one():
    """The literal algorithm: pop the largest, split it alone, push its parts."""
    x, _ = mixture(400, 12, 40, 1.0)
    splitter = Splitter(normalize(x, dim=1), 5, Search())
    heap, made = [(-400, 0, (0, 400))], 1
    while len(heap) < 25:
        _, _, own = heapq.heappop(heap)
        for part in splitter.split([own])[0]:
            heapq.heappush(heap, (part[0] - part[1], made, part))
            made += 1
    literal = {tuple(splitter.rows[slice(*own)].tolist()) for _, _, own in heap}
    labels = bisecting_kmeans(x, 25, 5).labels
    assert {tuple(torch.nonzero(labels == k).flatten().tolist()) for k in range(25)} == literal


def test_a_large_cluster_is_tried_on_a_sample():
    x, centres = mixture(900, 16, 4, 0.1)
    found = bisecting_kmeans(x, 4, search=Search(sample=100))
    assert float((found.centroids @ centres.T).amax(0).min()) > 0.99


def test_the_same_seed_gives_the_same_clusters():
    x, _ = mixture(300, 8, 30, 1.0)
    one, two, other = (bisecting_kmeans(x, 20, seed) for seed in (3, 3, 4))
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.centroids, two.centroids)
    assert not torch.equal(one.labels, other.labels)


def test_scale_of_vectors_does_not_matter():
    x, _ = mixture(200, 8, 10, 1.0)
    powers = 2.0 ** torch.arange(200).remainder(5).double()
    assert torch.equal(bisecting_kmeans(x, 9).labels, bisecting_kmeans(x * powers[:, None], 9).labels)


def test_no_more_clusters_than_directions():
    x = torch.eye(4, dtype=torch.float64).repeat(5, 1) * torch.arange(1, 21)[:, None]
    found = bisecting_kmeans(x, 64)
    assert sorted(found.sizes.tolist()) == [5, 5, 5, 5]
    assert found.inertia == pytest.approx(0, abs=1e-12)


def test_constant_vectors_are_one_concept():
    found = bisecting_kmeans(torch.ones(10, 3, dtype=torch.float64), 4)
    assert found.sizes.tolist() == [10]
    assert torch.allclose(found.centroids, torch.full((1, 3), 3**-0.5, dtype=torch.float64))


def test_fewer_vectors_than_clusters():
    x, _ = mixture(5, 8, 5, 1.0)
    assert bisecting_kmeans(x, 20).sizes.tolist() == [1] * 5


def test_zero_vectors_belong_to_nothing():
    x, _ = mixture(20, 8, 4, 0.1)
    x[[3, 7]] = 0
    found = bisecting_kmeans(x, 4)
    assert torch.nonzero(found.labels < 0).flatten().tolist() == [3, 7]
    assert int(found.sizes.sum()) == 18


@pytest.mark.parametrize("x", [torch.zeros(5, 3), torch.zeros(0, 3)])
def test_nothing_but_zeros_is_a_clear_error(x):
    with pytest.raises(DataError, match="zero"):
        bisecting_kmeans(x, 2)


def test_a_vector_that_is_not_finite_is_a_clear_error():
    with pytest.raises(DataError, match="not finite"):
        bisecting_kmeans(torch.tensor([[1.0, float("nan")]]), 2)
