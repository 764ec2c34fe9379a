"""Partitions of references: each formula against its literal form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from ingest.numerics.partition import adjusted_rand, alignment, distances, intra_inter, overall

NEURONS, REFERENCES, LENGTH = 4, 9, 5


@pytest.fixture
def world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(NEURONS, REFERENCES, LENGTH, generator=draw, dtype=torch.float64)
    vectors[0, 1] = vectors[0, 0]
    z = torch.randint(0, 3, (NEURONS, REFERENCES), generator=draw)
    truth = torch.randint(0, 2, (NEURONS, REFERENCES), generator=draw)
    return vectors, z, truth


def test_distances_are_euclidean(world: tuple[torch.Tensor, ...]) -> None:
    vectors, _, _ = world
    literal = (vectors[:, :, None] - vectors[:, None]).square().sum(-1).sqrt()
    torch.testing.assert_close(distances(vectors), literal)
    assert (distances(vectors).diagonal(dim1=1, dim2=2) == 0).all()


def test_distances_within_and_between(world: tuple[torch.Tensor, ...]) -> None:
    vectors, z, _ = world
    D = distances(vectors)
    intra, inter = intra_inter(D, z)
    for s in range(NEURONS):
        pairs = list(itertools.combinations(range(REFERENCES), 2))
        same = [float(D[s, a, b]) for a, b in pairs if z[s, a] == z[s, b]]
        other = [float(D[s, a, b]) for a, b in pairs if z[s, a] != z[s, b]]
        assert intra[s] == pytest.approx(np.mean(same))
        assert inter[s] == pytest.approx(np.mean(other))
        assert overall(D)[s] == pytest.approx(np.mean(same + other))


def test_a_kind_without_pairs_copies_the_other(world: tuple[torch.Tensor, ...]) -> None:
    D = distances(world[0])
    one = torch.zeros(NEURONS, REFERENCES, dtype=torch.int64)
    intra, inter = intra_inter(D, one)
    torch.testing.assert_close(inter, intra)
    intra, inter = intra_inter(D, torch.arange(REFERENCES).expand(NEURONS, -1))
    torch.testing.assert_close(intra, inter)
    torch.testing.assert_close(inter, overall(D))


def test_alignment_is_pearson_without_zeros(world: tuple[torch.Tensor, ...]) -> None:
    left = distances(world[0])
    right = distances(world[0] ** 2 + 1)
    groups = torch.tensor([[0, 2], [1, 3], [0, 1]])
    found = alignment(left, right, groups)
    for group, value in zip(groups.tolist(), found.tolist(), strict=True):
        a, b = [], []
        for s in group:
            for i, j in itertools.combinations(range(REFERENCES), 2):
                if left[s, i, j] != 0 and right[s, i, j] != 0:
                    a.append(float(left[s, i, j]))
                    b.append(float(right[s, i, j]))
        assert value == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert len(a) < 2 * REFERENCES * (REFERENCES - 1) / 2 or 0 not in group
    torch.testing.assert_close(alignment(left, 3 * left, groups), torch.ones(3, dtype=torch.float64))
    assert alignment(left, torch.ones_like(left), groups).isnan().all()


def test_adjusted_rand_is_scikit_learns(world: tuple[torch.Tensor, ...]) -> None:
    _, z, truth = world
    found = adjusted_rand(z, truth)
    literal = [adjusted_rand_score(t, c) for t, c in zip(truth.tolist(), z.tolist(), strict=True)]
    np.testing.assert_allclose(found, literal)
    assert (adjusted_rand(truth, 1 - truth) == 1).all()


def test_adjusted_rand_of_trivial_partitions() -> None:
    one, each = torch.zeros(1, 4, dtype=torch.int64), torch.arange(4)[None]
    assert adjusted_rand(one, one).item() == 1
    assert adjusted_rand(each, each).item() == 1
    assert adjusted_rand(one, each).item() == 0


def test_weighted_rand_counts_pairs_of_different_references(world: tuple[torch.Tensor, ...]) -> None:
    _, z, truth = world
    weights = torch.randint(0, 3, (NEURONS, 2, REFERENCES), generator=torch.Generator().manual_seed(1))
    found = adjusted_rand(z, truth, weights)
    for s in range(NEURONS):
        for m in range(2):
            both = own = true = total = 0.0
            for i, j in itertools.combinations(range(REFERENCES), 2):
                pair = float(weights[s, m, i] * weights[s, m, j])
                own += pair * float(z[s, i] == z[s, j])
                true += pair * float(truth[s, i] == truth[s, j])
                both += pair * float(z[s, i] == z[s, j] and truth[s, i] == truth[s, j])
                total += pair
            expected = own * true / total
            assert found[s, m] == pytest.approx((both - expected) / ((own + true) / 2 - expected))
    ones = torch.ones(NEURONS, 1, REFERENCES)
    torch.testing.assert_close(adjusted_rand(z, truth, ones)[:, 0], adjusted_rand(z, truth))


def test_a_draw_without_references_is_no_number() -> None:
    z = torch.tensor([[0, 1, 1]])
    assert adjusted_rand(z, z, torch.zeros(1, 1, 3)).isnan().all()
