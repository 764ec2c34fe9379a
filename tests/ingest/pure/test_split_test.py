"""The test for two senses: its tails, its rate of false positives on clouds of one mode, its power on two."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
import pytest
import torch

from ingest.numerics.kmeans_gram import gram, kmeans
from ingest.numerics.split_test import benjamini_hochberg, dip_p, held_out_places, permuted, split_test

SETS, N, DIMENSIONS = 60, 100, 40
SPECTRUM = 1 / np.arange(1, DIMENSIONS + 1)
Array = np.ndarray
Cloud = Callable[[np.random.Generator], Array]


def p_of(points: Array) -> Array:
    vectors = torch.from_numpy(points)
    present = torch.ones(vectors.shape[:2], dtype=torch.bool)
    g = gram(vectors)
    return split_test(g, present, kmeans(g, 2, restarts=3).labels, restarts=3).p


def _line(values: Array, rng: np.random.Generator) -> Array:
    return np.concatenate([values[..., None], 0.01 * rng.normal(size=(SETS, N, DIMENSIONS - 1))], 2)


ONE_MODE: dict[str, Cloud] = {
    "gaussian": lambda rng: rng.normal(size=(SETS, N, DIMENSIONS)) * np.sqrt(SPECTRUM),
    "round": lambda rng: rng.normal(size=(SETS, N, DIMENSIONS)),
    "uniform": lambda rng: _line(rng.uniform(size=(SETS, N)), rng),
    "skewed": lambda rng: _line(rng.exponential(size=(SETS, N)), rng),
    "heavy tails": lambda rng: rng.standard_t(2, size=(SETS, N, DIMENSIONS)) * np.sqrt(SPECTRUM),
    "shares": lambda rng: rng.dirichlet(0.3 * np.ones(DIMENSIONS), size=(SETS, N)),
}


@pytest.mark.parametrize("name", ONE_MODE)
def test_one_mode_is_called_two_no_more_often_than_promised(name: str) -> None:
    p = p_of(ONE_MODE[name](np.random.default_rng(0)))
    assert (p < 0.05).mean() <= 0.05
    assert not (benjamini_hochberg(p) < 0.05).any()


def test_two_modes_are_found_and_their_twins_of_one_mode_are_not() -> None:
    rng = np.random.default_rng(1)
    second = rng.random((SETS, N)) < 0.3
    points = rng.normal(size=(SETS, N, DIMENSIONS)) * np.sqrt(SPECTRUM / SPECTRUM.sum())
    direction = rng.normal(size=(SETS, 1, DIMENSIONS))
    points += second[..., None] * 2 * direction / np.linalg.norm(direction, axis=2, keepdims=True)
    assert (benjamini_hochberg(p_of(points)) < 0.05).mean() > 0.95
    vectors = torch.from_numpy(points)
    twins = permuted(vectors, torch.ones(SETS, N, dtype=torch.bool)).numpy()
    assert (p_of(twins) < 0.05).mean() <= 0.05


def test_twins_keep_mean_and_covariance() -> None:
    rng = np.random.default_rng(2)
    one = torch.from_numpy(rng.exponential(size=(1, 50, 4)))
    present = torch.ones(1, 50, dtype=torch.bool)
    present[0, 40:] = False
    draws = torch.cat([permuted(one, present, seed)[0] for seed in range(400)])
    own = one[0, :40]
    torch.testing.assert_close(draws.mean(0), own.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(draws.T.cov(), own.T.cov(correction=0), atol=0.05, rtol=0.05)


def test_places_are_those_of_points_on_the_line_between_the_other_folds_means() -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(0, 0.1, (1, 15, 3)), rng.normal(2, 0.1, (1, 15, 3))], 1)
    vectors, present = torch.from_numpy(points), torch.ones(1, 30, dtype=torch.bool)
    g = gram(vectors)
    labels = torch.tensor([[0] * 15 + [1] * 15])
    t = held_out_places(g, present, labels, restarts=3, seed=0, folds=5)[0].numpy()
    fold = (torch.randperm(30, generator=torch.Generator().manual_seed(0)) % 5).numpy()
    for i in range(30):
        train = fold != fold[i]
        low, high = (points[0][train & (labels[0].numpy() == c)].mean(0) for c in (0, 1))
        assert t[i] == pytest.approx(
            2 * (points[0, i] - (low + high) / 2) @ (high - low) / ((high - low) ** 2).sum()
        )


def test_p_is_the_larger_of_two_binomial_tails() -> None:
    def tail(side: int, total: int) -> float:
        return sum(comb(total, i) for i in range(side, total + 1)) / 2**total

    windows = np.array([[40, 3, 20], [10, 10, 10], [0, 0, 0], [50, 5, 2]])
    expected = [max(tail(left, left + c), tail(right, right + c)) for left, c, right in windows.tolist()]
    np.testing.assert_allclose(dip_p(windows), expected)
    assert dip_p(windows)[2] == 1


@pytest.mark.parametrize("points", [0, 1, 3, 9])
def test_few_references_and_identical_ones_tell_nothing(points: int) -> None:
    present = torch.zeros(2, 12, dtype=torch.bool)
    present[:, :points] = True
    vectors = torch.rand(2, 12, 3)
    vectors[1] = 1
    g = gram(vectors, present)
    found = split_test(g, present, kmeans(g, 2, present).labels)
    assert np.isfinite(found.p).all()
    assert found.p[1] == 1
    assert (found.p > 0.05).all()


def test_adjusted_p_values() -> None:
    p = np.array([0.01, 0.5, 0.02, 0.04])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.04, 0.5, 0.04, 4 / 3 * 0.04])
    assert len(benjamini_hochberg(np.empty(0))) == 0
