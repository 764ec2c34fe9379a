"""Peaks over threshold: the cut-offs that GCC puts on the sensitivities of each source (methods 1.1).

Notation
--------
R, D : sources of one layer and channels of the next.
s : (R, D) sensitivities, unitless, >= 0; N : (R,) how many of a row are candidates.
q : percentile of the first cut, 0..100 (90).       p : quantile that the tail must pass, 0..1 (.95).
u : (R,) the q-th percentile of a row's candidates.       e : (M, R) exceedances s - u > 0 of the candidates
above u, a row's in a column of N_x, zeros below.
xi, sigma : (R,) shape and scale of a generalised Pareto law fitted to e with its location held at 0.
r : (R,) the cut-off; a target is kept where s > r.

The authors fit with ``scipy.stats.genpareto.fit(e, floc=0)``: Nelder-Mead from (xi, sigma) = (1, 1) with
absolute tolerances of 1e-4, which at sensitivities of 1e-3 stops visibly short of the maximum of the
likelihood. A better optimiser would therefore give other circuits: `ingest.numerics.tail` walks the very same
simplex, for all rows at once.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code; sigma clip and xi floor as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.numerics.tail import Array, Bools, Ints, fit_tails

XI_FLOOR = 1e-9
_MANY = 500


@dataclass(frozen=True)
class Cuts:
    """The cut-offs of R sources.

    threshold : (R,) r, or NaN where nothing can be kept (no candidates, no exceedance of use, or r < 0).
    fallback : (R,) the fit failed or was not finite, and the threshold is the 95th percentile instead.
    exceedances : (R,) N_x, 0 where no threshold was made.
    """

    threshold: Array
    fallback: Bools
    exceedances: Ints


def pot_thresholds(
    s: Array, candidates: Bools, percentile: float = 90.0, p: float = 0.95, eligible: Bools | None = None
) -> Cuts:
    """The cut-offs r of sources with sensitivities s (R, D) over their candidates (R, D), unitless.

    r = u + (sigma/xi) [ (N/N_x (1-p))^(-xi) - 1 ]  with  xi <- max(xi, 1e-9),  sigma <- min(sigma, std(e)).
    Where every exceedance is equal, std(e) = 0 and r = u whatever the fit says, so none is made.

    eligible : (R, D) targets that pass the other threshold. Where r >= u for certain and none of them exceeds u,
        nothing can be kept whatever r is: the fit is spared and the threshold is NaN.
    """
    counts = np.count_nonzero(candidates, axis=1)
    ranked = np.sort(np.where(candidates, s, np.inf), axis=1)
    u = _percentiles(ranked, counts, percentile)
    above = candidates & (s > u[:, None])
    exceedances = np.count_nonzero(above, axis=1)
    tail = counts / np.maximum(exceedances, 1) * (1 - p)
    wanted = exceedances > 0
    if eligible is not None:
        wanted &= (tail > 1) | (above & eligible).any(axis=1)
    rows = wanted.nonzero()[0]
    threshold = np.full(len(s), np.nan)
    fallback = np.zeros(len(s), dtype=np.bool_)
    if len(rows):
        e = _columns(s[rows] - u[rows, None], above[rows])
        r = u[rows] + _rises(e, exceedances[rows], tail[rows])
        fallback[rows] = ~np.isfinite(r)
        threshold[rows] = np.where(r >= 0, r, np.nan)
        lost = fallback.nonzero()[0]
        threshold[lost] = _percentiles(ranked[lost], counts[lost], 95.0)
    return Cuts(threshold, fallback, np.where(wanted, exceedances, 0))


def _percentiles(ranked: Array, counts: Ints, percentile: float) -> Array:
    """(R,) what ``np.percentile`` gives, bit by bit, on the first ``counts`` (R,) of sorted rows (R, D).

    NaN where a count is 0.
    """
    if not ranked.size:
        return np.full(len(ranked), np.nan)
    place = np.maximum(counts - 1, 0) * (percentile / 100)
    low = np.floor(place).astype(np.int64)
    rows, share = np.arange(len(ranked)), place - low
    a, b = ranked[rows, low], ranked[rows, np.clip(counts - 1, 0, low + 1)]
    step = np.subtract(b, a, out=np.full(len(ranked), np.nan), where=counts > 0)
    found: Array = np.where(share >= 0.5, b - step * (1 - share), a + step * share)
    return found


def _columns(values: Array, chosen: Bools) -> Array:
    """(M, R): the chosen of each row of values (R, D), in their order, as a column with zeros below."""
    row, target = chosen.nonzero()
    place = (np.cumsum(chosen, axis=1) - 1)[row, target]
    columns = np.zeros((int(place.max()) + 1, len(values)))
    columns[place, row] = values[row, target]
    return columns


def _rises(e: Array, counts: Ints, tail: Array) -> Array:
    """(R,) r - u from exceedances e (M, R), their counts N_x (R,) and N/N_x (1-p) (R,). NaN: the fit failed."""
    largest, mean = e.max(axis=0), e.sum(axis=0) / counts
    real = np.arange(len(e))[:, None] < counts
    rises = np.zeros(len(counts))
    fitted = (np.where(real, e, largest).min(axis=0) < largest).nonzero()[0]
    if len(fitted):
        e, counts, mean, tail, real = (
            e[:, fitted],
            counts[fitted],
            mean[fitted],
            tail[fitted],
            real[:, fitted],
        )
        deviation = np.sqrt((np.where(real, e - mean, 0.0) ** 2).sum(axis=0) / counts)
        xi, sigma = fit_tails(e, counts, _enough(e, counts, mean, deviation))
        xi, sigma = np.maximum(xi, XI_FLOOR), np.minimum(sigma, deviation)
        with np.errstate(all="ignore"):
            rises[fitted] = (sigma / xi) * (np.power(tail, -xi) - 1)
    return rises


def _enough(e: Array, counts: Ints, mean: Array, deviation: Array) -> Array:
    """(R,) a -log likelihood below which xi <= 0 and sigma >= std(e) for certain: floor and clip then decide r.

    No law with xi > 0 and none with sigma < std(e) gets as low, and the best vertex of a simplex only falls.
    A law that leaves exceedances outside its support pays more, unless they are very many (-inf then).
    """
    least = np.minimum(_least_heavy(e, counts), _least_narrow(e, counts, mean, deviation))
    return np.where(counts <= _MANY, least - 1e-6, -np.inf)


def _least_heavy(e: Array, counts: Ints) -> Array:
    """(R,) what the -log likelihood of laws with xi >= 0 cannot fall below: N_x + sum log e.

    Such a law is a mixture of exponential ones, whose densities at x are at most exp(-1)/x.
    """
    least: Array = counts + np.log(np.where(e > 0, e, 1.0)).sum(axis=0)
    return least


def _least_narrow(e: Array, counts: Ints, mean: Array, deviation: Array) -> Array:
    """(R,) what the -log likelihood of laws with xi < 0 and sigma < std(e) around all of e cannot fall below.

    With -xi <= sigma/max(e) and -log(1-z) >= z it is at least N_x log sigma + sum e (1/sigma - 1/max(e)), which
    falls in sigma up to the mean.
    """
    sigma = np.minimum(deviation, mean)
    least: Array = counts * (np.log(sigma) + mean / sigma - mean / e.max(axis=0))
    return least
