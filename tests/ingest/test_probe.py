"""The probe against the regression written out and against scikit-learn, the curve's area against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from atlas.errors import DataError
from ingest.numerics.probe import auc, fit_probe


@pytest.mark.parametrize(("n", "channels"), [(40, 7), (12, 30)])
def test_probe_is_ridge_regression_of_standardised_channels(n: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, channels)) * rng.uniform(0.1, 5, channels) + 3
    x[:, 2] = 1.5  # a dead channel
    y = rng.random((n, 3)) < 0.4
    probe = fit_probe(x, y, penalty=0.2)
    std = np.where(x.std(0) > 1e-12, x.std(0), np.inf)
    z = (x - x.mean(0)) / std
    literal = np.linalg.inv(z.T @ z + 0.2 * n * np.eye(channels)) @ z.T @ (y - y.mean(0))
    np.testing.assert_allclose(probe.weights, literal, atol=1e-10)
    reference = Ridge(alpha=0.2 * n).fit(z, y.astype(float))
    np.testing.assert_allclose(probe.scores(x) + y.mean(0), reference.predict(z), atol=1e-9)
    assert not probe.weights[2].any()


def test_auc_counts_pairs_and_halves_ties() -> None:
    rng = np.random.default_rng(1)
    scores, has = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.3
    pairs = scores[has][:, None] - scores[~has][None, :]
    assert auc(scores, has) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auc(scores, has) == pytest.approx(roc_auc_score(has, scores))
    assert np.isnan(auc(scores, np.zeros(50, bool)))


def test_one_image_is_refused() -> None:
    with pytest.raises(DataError, match="needs images"):
        fit_probe(np.ones((1, 3)), np.ones((1, 1), bool))
