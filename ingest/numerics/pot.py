"""Peaks over threshold: the cut-off that GCC puts on the sensitivities of one source (methods 1.1).

Notation
--------
s : (N,) sensitivities of one source over its candidates, unitless, >= 0.
q : percentile of the first cut, 0..100 (90).       p : quantile that the tail must pass, 0..1 (.95).
u : the q-th percentile of s.                        e : (N_x,) exceedances s[s > u] - u, all > 0.
xi, sigma : shape and scale of a generalised Pareto law fitted to e with its location held at 0.
r : the cut-off; a target is kept where s > r.

The authors fit with ``scipy.stats.genpareto.fit(e, floc=0)``: Nelder-Mead from (xi, sigma) = (1, 1) with
absolute tolerances of 1e-4, which at sensitivities of 1e-3 stops visibly short of the maximum of the
likelihood. A better optimiser would therefore give other circuits. `fit_tail` walks the very same simplex
with the same arithmetic, without scipy's bookkeeping around it, and gives the same numbers several times
faster; a test compares the two.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code; sigma clip and xi floor as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

XI_FLOOR = 1e-9
_LOG_MAX = float(np.log(np.finfo(np.float64).max))
_TOLERANCE = 1e-4
_LIMIT = 400  # scipy's fmin: 200 iterations and 200 evaluations for each of the two parameters
_STEP = 0.05


@dataclass(frozen=True)
class Cut:
    """One source's cut-off.

    threshold : r, or NaN where nothing can be kept (no candidates, no exceedance of use, or r < 0).
    fallback : the fit failed or was not finite, and the threshold is the 95th percentile instead.
    exceedances : N_x, 0 where no threshold was made.
    """

    threshold: float
    fallback: bool
    exceedances: int


def negative_log_likelihood(xi: float, sigma: float, e: Array) -> float:
    """-log likelihood of a generalised Pareto law (location 0) on e (N_x,), with scipy's penalty.

    Points outside the support of xi < 0 cost 100 log(float max) each, as in
    ``rv_continuous._penalized_nnlf``.
    """
    if not math.isfinite(xi) or sigma <= 0:
        return math.inf
    x = e / sigma
    bad = 0
    if xi < 0:
        inside = x <= -1.0 / xi
        if not inside.all():
            bad = x.size - int(np.count_nonzero(inside))
            if x.size > 1:  # scipy leaves a lone value in place and so counts it twice
                x = x[inside]
    terms = special.xlog1py(xi + 1.0, xi * x) / -xi if xi != 0 else -x
    total = float(np.add.reduce(terms))
    if not math.isfinite(total):
        finite = np.isfinite(terms)
        bad += terms.size - int(np.count_nonzero(finite))
        total = float(np.add.reduce(terms[finite]))
    return -total + bad * _LOG_MAX * 100 + e.size * float(np.log(sigma))


def fit_tail(e: Array) -> tuple[float, float]:
    """Shape and scale (xi, sigma) as ``scipy.stats.genpareto.fit(e, floc=0)`` finds them.

    e : (N_x,) exceedances > 0. Returns NaNs where scipy raises: the simplex ended outside the law's
    parameters.
    """
    with np.errstate(all="ignore"):
        xi, sigma = _nelder_mead(e)
    return (xi, sigma) if math.isfinite(xi) and sigma > 0 else (math.nan, math.nan)


_Vertex = tuple[float, tuple[float, float]]


def _ranked(simplex: list[_Vertex]) -> list[_Vertex]:
    """The vertices by value; numpy's sort where two are equal, because its order is part of scipy's walk."""
    a, b, c = simplex[0][0], simplex[1][0], simplex[2][0]
    if len({a, b, c}) < 3:
        return [simplex[i] for i in np.argsort(np.array([a, b, c]))]
    return sorted(simplex, key=_value)


def _value(vertex: _Vertex) -> float:
    return vertex[0]


class _SpentError(Exception):
    """The evaluations allowed are used up; scipy then drops the move it was about to make."""


class _Likelihood:
    """The function to minimise, counting its evaluations."""

    def __init__(self, e: Array) -> None:
        self.e = e
        self.calls = 0

    def at(self, xi: float, sigma: float) -> _Vertex:
        if self.calls >= _LIMIT:
            raise _SpentError
        self.calls += 1
        return negative_log_likelihood(xi, sigma, self.e), (xi, sigma)


def _nelder_mead(e: Array) -> tuple[float, float]:
    """Two-parameter Nelder-Mead from (1, 1), step by step as ``scipy.optimize.fmin`` takes it."""
    law = _Likelihood(e)
    start = 1.0 + _STEP
    simplex = _ranked([law.at(1.0, 1.0), law.at(start, 1.0), law.at(1.0, start)])
    rounds = 1
    while law.calls < _LIMIT and rounds < _LIMIT:
        (f0, best), (f1, middle), (f2, worst) = simplex
        flat = abs(f0 - f1) <= _TOLERANCE and abs(f0 - f2) <= _TOLERANCE
        if flat and all(abs(v[i] - best[i]) <= _TOLERANCE for v in (middle, worst) for i in (0, 1)):
            break
        try:
            _step(simplex, law)
        except _SpentError:
            simplex = _ranked(simplex)
            break
        simplex = _ranked(simplex)
        rounds += 1
    return simplex[0][1]


def _step(simplex: list[_Vertex], law: _Likelihood) -> None:
    """One reflection, expansion, contraction or shrink, in place."""
    (f0, best), (f1, middle), (f2, worst) = simplex
    centre = ((best[0] + middle[0]) / 2, (best[1] + middle[1]) / 2)

    def towards(a: float, b: float) -> _Vertex:
        return law.at(a * centre[0] + b * worst[0], a * centre[1] + b * worst[1])

    reflected = towards(2.0, -1.0)
    if reflected[0] < f0:
        expanded = towards(3.0, -2.0)
        simplex[2] = expanded if expanded[0] < reflected[0] else reflected
        return
    if reflected[0] < f1:
        simplex[2] = reflected
        return
    if reflected[0] < f2:
        contracted = towards(1.5, -0.5)
        accepted = contracted[0] <= reflected[0]
    else:
        contracted = towards(0.5, 0.5)
        accepted = contracted[0] < f2
    if accepted:
        simplex[2] = contracted
        return
    for i, x in ((1, middle), (2, worst)):
        simplex[i] = law.at(best[0] + 0.5 * (x[0] - best[0]), best[1] + 0.5 * (x[1] - best[1]))


def pot_threshold(s: Array, percentile: float = 90.0, p: float = 0.95, eligible: Bools | None = None) -> Cut:
    """The cut-off r of one source's candidate sensitivities s (N,), unitless.

    r = u + (sigma/xi) [ (N/N_x (1-p))^(-xi) - 1 ]  with  xi <- max(xi, 1e-9),  sigma <- min(sigma, std(e)).
    Where every exceedance is equal, std(e) = 0 and r = u whatever the fit says, so none is made.

    eligible : (N,) targets that pass the other threshold. Where r >= u for certain and none of them exceeds u,
        nothing can be kept whatever r is: the fit is spared and the threshold is NaN.
    """
    nothing = Cut(math.nan, False, 0)
    if s.size == 0:
        return nothing
    u = float(np.percentile(s, percentile))
    above = s > u
    e = s[above] - u
    if e.size == 0:
        return nothing
    tail = s.size / e.size * (1 - p)
    if eligible is not None and tail <= 1 and not (above & eligible).any():
        return nothing
    deviation = float(np.std(e))
    if deviation == 0.0:
        return _cut(u, e.size)
    xi, sigma = fit_tail(e)
    xi, sigma = max(xi, XI_FLOOR), min(sigma, deviation)
    with np.errstate(all="ignore"):
        r = float(u + (sigma / xi) * (np.power(tail, -xi) - 1))
    if not math.isfinite(r):
        return Cut(float(np.percentile(s, 95.0)), True, e.size)
    return _cut(r, e.size)


def _cut(r: float, exceedances: int) -> Cut:
    return Cut(r if r >= 0 else math.nan, False, exceedances)
