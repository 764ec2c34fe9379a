"""Peaks over threshold against scipy, and what the rule keeps."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from ingest.numerics import pot
from ingest.numerics.pot import fit_tail, pot_threshold

LAWS = {
    "exponential": lambda rng, n: rng.exponential(size=n),
    "pareto": lambda rng, n: rng.pareto(2.0, size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "uniform": lambda rng, n: rng.uniform(size=n),
    "half-normal": lambda rng, n: np.abs(rng.normal(size=n)),
}


def by_scipy(e):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            xi, _, sigma = stats.genpareto.fit(e, floc=0)
        except (stats.FitError, ValueError):
            return math.nan, math.nan
    return xi, sigma


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 20, 100])
def test_fit_is_scipys(law, size):
    """The simplex is scipy's, also where it runs out of evaluations on a likelihood without a maximum."""
    rng = np.random.default_rng([size, len(law)])
    for _ in range(4):
        e = LAWS[law](rng, size) * 10.0 ** rng.uniform(-6, 0)
        np.testing.assert_allclose(fit_tail(e), by_scipy(e), rtol=1e-9)


@pytest.mark.parametrize("law", ["exponential", "lognormal", "pareto"])
@pytest.mark.parametrize("size", [8, 40, 400])
def test_threshold_is_the_formula(law, size, literal_cut):
    rng = np.random.default_rng([size, len(law)])
    s = LAWS[law](rng, size)
    s /= s.sum()
    np.testing.assert_allclose(pot_threshold(s).threshold, literal_cut(list(s)), rtol=1e-9)


@pytest.mark.parametrize(
    ("percentile", "low", "high"), [(90, 0.045, 0.06), (80, 0.045, 0.07), (95, 0.05, 0.05)]
)
def test_rule_keeps_about_the_best_five_percent(percentile, low, high):
    shares = []
    for seed in range(10):
        s = np.random.default_rng(seed).exponential(size=400)
        shares.append(np.mean(s > pot_threshold(s, percentile).threshold))
    assert low <= np.mean(shares) <= high


def test_nothing_to_exceed_keeps_nothing():
    assert math.isnan(pot_threshold(np.empty(0)).threshold)
    assert math.isnan(pot_threshold(np.full(30, 0.25)).threshold)


def test_one_exceedance_keeps_that_one():
    s = np.arange(1.0, 9.0)
    cut = pot_threshold(s)
    assert (cut.exceedances, cut.fallback) == (1, False)
    assert list(s[s > cut.threshold]) == [8.0]


def test_two_equal_exceedances_need_no_fit(monkeypatch):
    monkeypatch.setattr(pot, "fit_tail", None)
    s = np.array([*np.linspace(0, 1, 18), 5.0, 5.0])
    cut = pot_threshold(s)
    assert cut.exceedances == 2
    assert cut.threshold == np.percentile(s, 90)


def test_failed_fit_falls_back_to_the_95th_percentile(monkeypatch):
    monkeypatch.setattr(pot, "fit_tail", lambda e: (math.nan, math.nan))
    s = np.random.default_rng(0).exponential(size=100)
    cut = pot_threshold(s)
    assert cut.fallback
    assert cut.threshold == np.percentile(s, 95)


def test_scale_of_the_scores_is_not_free():
    """The optimiser's tolerance is absolute: scaled scores may get another cut, so S_NS must come normalised."""
    s = np.random.default_rng(1).exponential(size=200) / 200
    assert pot_threshold(s).threshold != pytest.approx(pot_threshold(s * 1000).threshold / 1000, rel=1e-12)
