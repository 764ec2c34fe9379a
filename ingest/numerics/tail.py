"""Generalised Pareto laws fitted to many tails at once, each exactly as scipy fits one.

Notation
--------
R : tails at hand.      M : room for the exceedances of the longest.
e : (M, R) exceedances > 0, one tail a column, zeros below its end.      counts : (R,) N_x, how many are real.
xi, sigma : (R,) shape and scale of a law with its location held at 0.
f : (R,) -log likelihood with scipy's penalty.
simplex : (3, 3, R), for each of three vertices, best first: f, xi, sigma.

Source: ``scipy.stats.genpareto.fit(e, floc=0)``, that is Nelder-Mead from (xi, sigma) = (1, 1) with absolute
tolerances of 1e-4. All columns walk in step; which move a column makes is its own affair, and one that has
arrived leaves. The formulas of the vertices are scipy's to the last bit. Those of f are to within rounding, for
sums run down the columns and the logarithm is numpy's; a path would differ only where two values of f that
decide a move agree to some fifteen digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_PENALTY = 100 * float(np.log(np.finfo(np.float64).max))
_TOLERANCE = 1e-4
_LIMIT = 400  # scipy's fmin: 200 evaluations for each of the two parameters
_STEP = 0.05
_NARROW = 1 << 10
# from the centre away from the worst vertex: the reflection, then the inner, the outer contraction, the expansion
_REACH = np.array([[1.0], [-0.5], [0.5], [2.0]])
_down = np.add.reduce
_CELLS = 1 << 15  # a block's exceedances stay in the processor's cache


def fit_tails(e: Array, counts: Ints, enough: Array | None = None) -> tuple[Array, Array]:
    """Shapes and scales (xi, sigma), each (R,), as ``scipy.stats.genpareto.fit(e, floc=0)`` finds them.

    e : (M, R) exceedances, zeros below the first ``counts`` (R,) of a column; every count >= 1.
    enough : (R,) values of f; a column whose best vertex lies below its own may stop there. None: none may.
    NaNs stand where scipy raises: the simplex ended outside the law's parameters.
    """
    enough = np.full(len(counts), -np.inf) if enough is None else enough
    found = np.empty((2, len(counts)))
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        longest = int(counts[order[start]])
        columns = order[start : start + max(1, _CELLS // longest)]
        with np.errstate(all="ignore"):
            found[:, columns] = _walk(_Tails(e[:longest, columns], counts[columns]), enough[columns])
        start += len(columns)
    xi, sigma = found
    lost = ~(np.isfinite(xi) & (sigma > 0))
    return np.where(lost, np.nan, xi), np.where(lost, np.nan, sigma)


class _Tails:
    """The exceedances of the columns still walking, and their f."""

    def __init__(self, e: Array, counts: Ints) -> None:
        self.e = e
        self.counts = counts
        # scipy leaves a lone value outside the support in place, where its term, not finite, counts once more
        self.cost: Array = np.where(counts == 1, 2 * _PENALTY, _PENALTY)

    def subset(self, columns: Bools | Ints) -> _Tails:
        return _Tails(self.e[:, columns], self.counts[columns])

    def f(self, xi: Array, sigma: Array) -> Array:
        """f (K, R) of K points a column at (xi, sigma), each (K, R)."""
        y = self.e[:, None] / sigma
        outside = y > np.where(xi < 0, -1.0 / xi, np.inf)
        y *= xi
        np.copyto(y, 0.0, where=outside)
        np.log1p(y, out=y)
        f: Array = (xi + 1.0) * _down(y) / xi + _down(outside, dtype=np.float64) * self.cost
        f += self.counts * np.log(sigma)
        odd = ~np.isfinite(f)
        if np.count_nonzero(odd):
            f[odd] = np.inf
            odd &= np.isfinite(xi) & (sigma > 0)
            if np.count_nonzero(odd):
                f[odd] = self._odd(odd.nonzero()[1], xi[odd], sigma[odd])
        return f

    def _odd(self, columns: Ints, xi: Array, sigma: Array) -> Array:
        """f where the plain formula is not finite: as ``rv_continuous._penalized_nnlf``, term by term.

        A point outside the support of xi < 0 and a term that is not finite cost 100 log(float max) each.
        """
        counts = self.counts[columns]
        x = self.e[:, columns] / sigma
        outside = (xi < 0) & (x > -1.0 / xi)
        x[outside & (counts > 1)] = 0.0
        terms = np.where(xi == 0, -x, special.xlog1py(xi + 1.0, xi * x) / -xi)
        wrong = ~np.isfinite(terms)
        terms[wrong] = 0.0
        bad = _down(outside, dtype=np.int64) + _down(wrong, dtype=np.int64)
        f: Array = -_down(terms) + bad * _PENALTY + counts * np.log(sigma)
        return f


def _taken(vertices: Array, which: Ints) -> Array:
    """Of vertices (3, K, R) those that ``which`` (R,) or (J, R) names: (3, R) or (3, J, R)."""
    width = vertices.shape[2]
    taken: Array = vertices.reshape(3, -1).take(which * width + np.arange(width), axis=1)
    return taken


def _ranked(simplex: Array) -> Array:
    """Vertices by f; numpy's sort also where two are equal, because its order is part of scipy's walk."""
    return _taken(simplex, simplex[0].argsort(axis=0))


def _walk(tails: _Tails, enough: Array) -> Array:
    """Where the simplexes of all columns end: (xi, sigma) of the best vertex, (2, R)."""
    width = len(tails.counts)
    found = np.empty((2, width))
    simplex = np.empty((3, 3, width))
    simplex[1:] = np.array([[1.0, 1.0 + _STEP, 1.0], [1.0, 1.0, 1.0 + _STEP]])[:, :, None]
    simplex[0] = tails.f(simplex[1], simplex[2])
    walking, calls = np.arange(width), np.full(width, 3)
    while True:
        simplex = _ranked(simplex)
        done = _arrived(simplex) | (calls >= _LIMIT) | (simplex[0, 0] < enough)
        if np.count_nonzero(done):
            found[:, walking[done]] = simplex[1:, 0, done]
            on = ~done
            walking, calls, enough = walking[on], calls[on], enough[on]
            simplex, tails = simplex[..., on], tails.subset(on)
            if not len(walking):
                return found
        calls += _step(simplex, tails, _LIMIT - calls)


def _arrived(simplex: Array) -> Bools:
    """Whether the other vertices and their f are within the tolerance of the best."""
    flat: Bools = simplex[0, 2] - simplex[0, 0] <= _TOLERANCE
    if np.count_nonzero(flat):
        flat &= np.abs(simplex[1:, 1:] - simplex[1:, :1]).max(axis=(0, 1)) <= _TOLERANCE
    return flat


def _step(simplex: Array, tails: _Tails, left: Ints) -> Ints:
    """One reflection, expansion, contraction or shrink of every column, in place; the evaluations each took.

    A column's second point is evaluated even where scipy would not have asked for it, in a narrow block so are those
    that it might have asked for: a call costs more than its arithmetic. Only what scipy asks for is counted.

    left : (R,) evaluations a column may still make, >= 1. The move that would take more is dropped, as scipy
        drops it.
    """
    f0, f1, f2 = simplex[0]
    centre = (simplex[1:, :1] + simplex[1:, 1:2]) / 2
    options = np.empty((3, 4, simplex.shape[2]))
    options[1:] = (1.0 + _REACH) * centre - _REACH * simplex[1:, 2:]
    narrow = tails.e.size <= _NARROW
    asked = slice(None) if narrow else slice(1)
    options[0, asked] = tails.f(options[1, asked], options[2, asked])
    reflected = options[0, 0]
    best, nearer, good = reflected < f0, reflected < f1, reflected < f2
    second = _taken(options, np.add(best, good, dtype=np.int64) + 1)
    if not narrow:
        second[0] = tails.f(second[1, None], second[2, None])[0]
    settled = nearer & ~best
    better = np.where(good & ~best, second[0] <= reflected, second[0] < np.minimum(reflected, f2)) & ~settled
    calls: Ints = 2 - settled
    allowed = calls <= left
    shrunk = allowed & ~(nearer | better)
    np.copyto(simplex[:, 2], options[:, 0], where=nearer & allowed)
    np.copyto(simplex[:, 2], second, where=better & allowed)
    if np.count_nonzero(shrunk):
        columns = shrunk.nonzero()[0]
        simplex[..., columns] = _shrunk(simplex[..., columns], tails.subset(columns), (left - calls)[columns])
        calls[columns] += 2
    return calls


def _shrunk(simplex: Array, tails: _Tails, left: Ints) -> Array:
    """Both other vertices drawn half way to the best; where evaluations run out, f stays and then the vertex."""
    best, others = simplex[:, :1], simplex[:, 1:]
    halved = best + 0.5 * (others - best)
    halved[0] = tails.f(halved[1], halved[2])
    order = np.array([[1], [2]])
    halved[0] = np.where(left >= order, halved[0], others[0])
    halved[1:] = np.where(left >= order - 1, halved[1:], others[1:])
    return np.concatenate([best, halved], axis=1)
