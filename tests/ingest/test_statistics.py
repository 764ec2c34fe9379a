"""Statistics of units against their literal definitions."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.numerics.statistics import class_stats, join_units, midranks, unit_stats


@pytest.fixture
def activations() -> np.ndarray:
    """(500, 12) with many exact zeros, as behind a ReLU."""
    return np.maximum(np.random.default_rng(0).normal(0.2, 1, (500, 12)), 0).astype(np.float32)


def test_unit_statistics_are_the_literal_ones(activations: np.ndarray) -> None:
    exact = activations.astype(np.float64)
    stats = unit_stats(activations)
    np.testing.assert_allclose(stats["mean"], exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], exact.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(stats["max"], activations.max(axis=0))
    np.testing.assert_allclose(stats["p90"], np.quantile(exact, 0.9, axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["p99"], np.quantile(exact, 0.99, axis=0), rtol=1e-12)


def test_small_spread_on_a_large_mean_is_not_lost() -> None:
    values = (1000 + np.random.default_rng(1).normal(0, 1e-2, (9000, 1))).astype(np.float32)
    np.testing.assert_allclose(unit_stats(values)["std"], values.astype(np.float64).std(axis=0), rtol=1e-9)


def test_dead_is_constant_not_negative() -> None:
    rows = np.linspace(0, 1, 50, dtype=np.float32)
    columns = np.stack([np.zeros(50), np.full(50, -2), -1 - rows, np.where(rows == 1, 1e-6, 0)], axis=1)
    assert unit_stats(columns.astype(np.float32))["dead"].tolist() == [True, True, False, False]


def test_blocks_of_channels_join(activations: np.ndarray) -> None:
    whole = unit_stats(activations)
    joined = join_units([unit_stats(activations[:, :5]), unit_stats(activations[:, 5:])])
    for name in ("mean", "std", "max", "p90", "p99", "dead"):
        np.testing.assert_allclose(joined[name], whole[name], rtol=1e-13)


def test_one_image_is_enough() -> None:
    stats = unit_stats(np.array([[3.0, -1.0]], np.float32))
    assert stats["p99"].tolist() == [3.0, -1.0]
    assert stats["std"].tolist() == [0.0, 0.0]


def test_class_selectivity_is_the_share_of_won_pairs(activations: np.ndarray) -> None:
    y = np.random.default_rng(2).integers(-1, 4, len(activations))
    stats = class_stats(activations, y, 5)
    for k in range(4):
        own, other = activations[y == k], activations[(y != k) & (y >= 0)]
        np.testing.assert_allclose(stats["mean"][k], own.astype(np.float64).mean(axis=0), rtol=1e-12)
        won = (own[:, None] > other[None]) + 0.5 * (own[:, None] == other[None])
        np.testing.assert_allclose(stats["auc"][k], won.mean(axis=(0, 1)), rtol=1e-12)
    assert np.isnan(stats["mean"][4]).all()
    assert np.isnan(stats["auc"][4]).all()


def test_midranks_share_ties() -> None:
    assert midranks(np.array([2, 1, 2, 0], np.float32)).tolist() == [3.5, 2.0, 3.5, 1.0]
    assert midranks(np.empty(0, np.float32)).tolist() == []
