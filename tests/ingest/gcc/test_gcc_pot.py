"""Peaks over threshold, all rows at once, against scipy row by row, and what the rule keeps."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import optimize, stats

from ingest.numerics import pot, tail
from ingest.numerics.pot import pot_thresholds
from ingest.numerics.tail import fit_tails

LAWS = {
    "exponential": lambda rng, n: rng.exponential(size=n),
    "pareto": lambda rng, n: rng.pareto(2.0, size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "uniform": lambda rng, n: rng.uniform(size=n),
    "half-normal": lambda rng, n: np.abs(rng.normal(size=n)),
    "ties": lambda rng, n: rng.integers(1, 6, size=n) / 8.0,
}


def by_scipy(e, **how):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            xi, _, sigma = stats.genpareto.fit(e, floc=0, **how)
        except (stats.FitError, ValueError):
            return math.nan, math.nan
    return xi, sigma


def as_columns(tails):
    counts = np.array([len(e) for e in tails])
    e = np.zeros((counts.max(), len(tails)))
    for column, values in enumerate(tails):
        e[: len(values), column] = values
    return e, counts


def candidates_of(s, mask):
    return [row[keep] for row, keep in zip(s, mask, strict=True)]


def one(s, *rule, **others):
    """The cuts of a single row of candidates."""
    cuts = pot_thresholds(s[None], np.ones((1, s.size), dtype=bool), *rule, **others)
    return cuts.threshold[0], bool(cuts.fallback[0]), int(cuts.exceedances[0])


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def mixed(rng):
    """Tails of all laws, 1 to 200 exceedances long, at scales from 1e-6 to 1, shuffled."""
    sizes = [1, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 40, 100, 200]
    made = [LAWS[law](rng, n) * 10.0 ** rng.uniform(-6, 0) for law in LAWS for n in sizes]
    return [made[i] for i in rng.permutation(len(made))]


def test_fits_are_scipys(mixed):
    """The simplexes are scipy's, also where they run out of evaluations on a likelihood without a maximum."""
    found = fit_tails(*as_columns(mixed))
    np.testing.assert_allclose(np.transpose(found), [by_scipy(e) for e in mixed], rtol=1e-9)


@pytest.mark.parametrize("limit", [3, 4, 5, 6, 9, 20, 31, 50, 75, 100])
def test_spent_evaluations_end_a_walk_as_in_scipy(mixed, monkeypatch, limit):
    """In the middle of a move, of a shrink, or between two."""

    def short(f, start, args, disp):
        return optimize.fmin(f, start, args=args, disp=disp, maxfun=limit)

    monkeypatch.setattr(tail, "_LIMIT", limit)
    tails = mixed[:40]
    expected = [by_scipy(e, optimizer=short) for e in tails]
    np.testing.assert_allclose(np.transpose(fit_tails(*as_columns(tails))), expected, rtol=1e-9)


def test_shrink_that_runs_out_keeps_what_was_not_evaluated():
    """As scipy: the vertex is moved first and evaluated then."""
    e = np.array([[0.2], [0.5], [1.5]])
    tails = tail._Tails(e.repeat(3, axis=1), np.array([3, 3, 3]))
    simplex = np.array([[[1.0], [2.0], [3.0]], [[0.5], [1.5], [0.7]], [[1.0], [2.0], [4.0]]]).repeat(
        3, axis=2
    )
    f, xi, sigma = tail._shrunk(simplex, tails, np.array([0, 1, 2]))
    first, second = (-stats.genpareto.logpdf(e, x, scale=s).sum() for x, s in ((1.0, 1.5), (0.6, 2.5)))
    np.testing.assert_allclose(f, [[1.0, 1.0, 1.0], [2.0, first, first], [3.0, 3.0, second]])
    np.testing.assert_allclose(xi, [[0.5, 0.5, 0.5], [1.0, 1.0, 1.0], [0.7, 0.6, 0.6]])
    np.testing.assert_allclose(sigma, [[1.0, 1.0, 1.0], [1.5, 1.5, 1.5], [4.0, 2.5, 2.5]])


@pytest.mark.parametrize(("name", "value"), [("_CELLS", 300), ("_NARROW", 0), ("_NARROW", 1 << 30)])
def test_blocks_do_not_change_the_fits(mixed, monkeypatch, name, value):
    expected = fit_tails(*as_columns(mixed))
    monkeypatch.setattr(tail, name, value)
    np.testing.assert_array_equal(fit_tails(*as_columns(mixed)), expected)


def test_a_fit_does_not_depend_on_its_neighbours(mixed):
    xi, sigma = fit_tails(*as_columns(mixed))
    for i in range(0, len(mixed), 5):
        np.testing.assert_allclose(
            np.ravel(fit_tails(*as_columns(mixed[i : i + 1]))), [xi[i], sigma[i]], rtol=1e-12
        )


def test_scipys_refusal_is_nan(monkeypatch):
    monkeypatch.setattr(tail, "_walk", lambda tails, enough: np.array([[0.5, np.inf, 0.5], [1.0, 1.0, -1.0]]))
    xi, sigma = fit_tails(np.ones((1, 3)), np.ones(3, dtype=np.int64))
    np.testing.assert_array_equal(np.isnan(xi), [False, True, True])
    np.testing.assert_array_equal(np.isnan(sigma), [False, True, True])


def test_leaving_early_changes_no_threshold(mixed, monkeypatch):
    """A walk may stop where xi <= 0 and sigma >= std(e) are certain."""
    e, counts = as_columns([e for e in mixed if np.ptp(e) > 0])
    steps, step = [], tail._step
    monkeypatch.setattr(tail, "_step", lambda s, *rest: steps.append(s.shape[2]) or step(s, *rest))
    rises = pot._rises(e, counts, np.full(len(counts), 0.5))
    early = sum(steps)
    monkeypatch.setattr(pot, "_enough", lambda e, counts, *rest: np.full(len(counts), -np.inf))
    np.testing.assert_array_equal(pot._rises(e, counts, np.full(len(counts), 0.5)), rises)
    assert early < 0.8 * (sum(steps) - early)


def test_bounds_lie_below_their_laws(mixed, rng):
    """-log likelihoods of random laws that decide a threshold by themselves, against what they cannot reach."""
    for e in (e for e in mixed if np.ptp(e) > 0):
        mean, std, column, count = np.array([e.mean()]), np.array([e.std()]), e[:, None], np.array([e.size])
        heavy = [(10.0 ** rng.uniform(-3, 1), e.mean() * 10.0 ** rng.uniform(-2, 1)) for _ in range(30)]
        scales = [e.std() * share for share in (*rng.uniform(0.05, 1, size=20), *[0.999] * 10)]
        narrow = [(-(rng.random() ** 4) * sigma / e.max(), sigma) for sigma in scales]
        for laws, bound in (
            (heavy, pot._least_heavy(column, count)[0]),
            (narrow, pot._least_narrow(column, count, mean, std)[0]),
        ):
            reached = [-stats.genpareto.logpdf(e, xi, scale=sigma).sum() for xi, sigma in laws]
            assert min(reached) >= bound - 1e-9 * abs(bound)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("width", [8, 40, 400])
def test_thresholds_are_the_formula(law, width, literal_cut):
    """Rows with candidates of their own, among them none, one and all."""
    rng = np.random.default_rng([width, len(law)])
    s = LAWS[law](rng, (16, width))
    s *= 10.0 ** rng.uniform(-4, 0, size=(16, 1)) / s.sum(axis=1, keepdims=True)
    mask = rng.random((16, width)) < np.linspace(0, 1, 16)[:, None]
    mask[1] = np.arange(width) == 3
    mask[-1] = True
    s[~mask & (rng.random(s.shape) < 0.3)] = np.nan
    cuts = pot_thresholds(s, mask)
    expected = np.array([literal_cut(list(row)) for row in candidates_of(s, mask)])
    np.testing.assert_allclose(cuts.threshold, expected, rtol=1e-9)
    kept = mask & (s > cuts.threshold[:, None])
    np.testing.assert_array_equal(kept, mask & (s > expected[:, None]))
    for row, count in zip(candidates_of(s, mask), cuts.exceedances, strict=True):
        assert count == (np.count_nonzero(row > np.percentile(row, 90)) if row.size else 0)


@pytest.mark.parametrize("percentile", [0.0, 37.5, 80.0, 90.0, 95.0, 100.0])
def test_percentiles_are_numpys(percentile, rng):
    counts = np.arange(1, 41)
    s = np.where(np.arange(40) < counts[:, None], rng.lognormal(size=(40, 40)), np.inf)
    expected = [np.percentile(row[:n], percentile) for row, n in zip(s, counts, strict=True)]
    np.testing.assert_array_equal(pot._percentiles(np.sort(s, axis=1), counts, percentile), expected)


@pytest.mark.parametrize(
    ("percentile", "low", "high"), [(90, 0.045, 0.06), (80, 0.045, 0.07), (95, 0.05, 0.05)]
)
def test_rule_keeps_about_the_best_five_percent(percentile, low, high):
    s = np.random.default_rng(0).exponential(size=(10, 400))
    cuts = pot_thresholds(s, np.ones_like(s, dtype=bool), percentile)
    assert low <= np.mean(s > cuts.threshold[:, None]) <= high


def test_nothing_to_exceed_keeps_nothing():
    assert one(np.full(30, 0.25)) == (pytest.approx(math.nan, nan_ok=True), False, 0)
    assert math.isnan(one(np.empty(0))[0])
    none = pot_thresholds(np.ones((2, 5)), np.zeros((2, 5), dtype=bool))
    assert np.isnan(none.threshold).all()
    assert pot_thresholds(np.empty((0, 5)), np.empty((0, 5), dtype=bool)).threshold.shape == (0,)


def test_one_exceedance_keeps_that_one():
    s = np.arange(1.0, 9.0)
    threshold, fallback, exceedances = one(s)
    assert (exceedances, fallback) == (1, False)
    assert list(s[s > threshold]) == [8.0]


def test_two_equal_exceedances_need_no_fit(monkeypatch):
    monkeypatch.setattr(pot, "fit_tails", None)
    s = np.array([*np.linspace(0, 1, 18), 5.0, 5.0])
    assert one(s) == (np.percentile(s, 90), False, 2)


def test_rows_that_can_keep_nothing_are_not_fitted(rng, monkeypatch):
    """Where r >= u for certain, a row without an eligible target above u is spared; the others get the same cuts."""
    s = rng.exponential(size=(6, 100))
    everything = np.ones_like(s, dtype=bool)
    whole = pot_thresholds(s, everything)
    eligible = s < np.median(s, axis=1, keepdims=True)
    eligible[::2] = True
    fitted = []
    monkeypatch.setattr(pot, "fit_tails", lambda e, *rest: fitted.append(e.shape[1]) or fit_tails(e, *rest))
    cuts = pot_thresholds(s, everything, eligible=eligible)
    assert fitted == [3]
    np.testing.assert_array_equal(cuts.threshold[::2], whole.threshold[::2])
    assert np.isnan(cuts.threshold[1::2]).all()
    np.testing.assert_array_equal(cuts.exceedances, [10, 0] * 3)


def test_rows_whose_cut_may_lie_below_u_are_fitted_for_any_target():
    """Ties at u leave three exceedances of a hundred: r < u, and the ties pass."""
    s = np.concatenate([np.linspace(0, 1, 85), np.full(12, 2.0), [2.5, 2.9, 3.7]])
    threshold, _, exceedances = one(s, eligible=(s <= 2.0)[None])
    assert (threshold, exceedances) == (one(s)[0], 3)
    assert threshold < 2.0


def test_failed_fit_falls_back_to_the_95th_percentile(rng, monkeypatch):
    def half(e, counts, enough):
        xi, sigma = fit_tails(e, counts, enough)
        xi[1] = sigma[1] = np.nan
        return xi, sigma

    s = rng.exponential(size=(2, 100))
    whole = pot_thresholds(s, np.ones_like(s, dtype=bool))
    monkeypatch.setattr(pot, "fit_tails", half)
    cuts = pot_thresholds(s, np.ones_like(s, dtype=bool))
    assert cuts.fallback.tolist() == [False, True]
    assert cuts.threshold.tolist() == [whole.threshold[0], np.percentile(s[1], 95)]


def test_scale_of_the_scores_is_not_free():
    """The optimiser's tolerance is absolute: scaled scores may get another cut, so S_NS must come normalised."""
    s = np.random.default_rng(1).exponential(size=200) / 200
    assert one(s)[0] != pytest.approx(one(s * 1000)[0] / 1000, rel=1e-12)
