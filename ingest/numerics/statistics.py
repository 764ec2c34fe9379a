"""Statistics of units over images.

Notation
--------
n images, c channels, k classes. ``A`` (n, c) float32 ranking activations of some channels on all images of a
set; ``y`` (n,) class of each image, -1 for none. Everything is accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A unit whose values differ by no more than this share of the largest magnitude tells no two images apart.
DEAD_RANGE = 1e-6
_ROWS = 4096


class UnitStats(TypedDict):
    """Per channel, each (c,): moments (``std`` of the population), quantiles (linear between order
    statistics), and ``dead``: constant over the images, within ``DEAD_RANGE`` of the largest magnitude.

    A unit that is negative everywhere but varies is not dead."""

    mean: Floats
    std: Floats
    max: NDArray[np.float32]
    p90: Floats
    p99: Floats
    dead: NDArray[np.bool_]


class ClassStats(TypedDict):
    """``mean`` and ``auc``, each (k, c): mean activation on a class's images, and the probability that an
    image of the class activates the channel more than a labelled image of another class (ties count half).

    NaN for a class without images; ``auc`` also where no other class has any."""

    mean: Floats
    auc: Floats


def unit_stats(A: NDArray[np.float32]) -> UnitStats:
    """Statistics of each channel of ``A`` (n, c), n ≥ 1. Two passes, so no cancellation."""
    n = len(A)
    mean = A.sum(axis=0, dtype=np.float64) / n
    spread = np.zeros(A.shape[1])
    for start in range(0, n, _ROWS):
        spread += ((A[start : start + _ROWS] - mean) ** 2).sum(axis=0)
    low, high = A.min(axis=0), A.max(axis=0)
    columns = np.ascontiguousarray(A.T)
    p90, p99 = (quantile(columns, q) for q in (0.90, 0.99))
    magnitude = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    dead = high.astype(np.float64) - low <= DEAD_RANGE * magnitude
    return UnitStats(mean=mean, std=np.sqrt(spread / n), max=high, p90=p90, p99=p99, dead=dead)


def join_units(parts: Sequence[UnitStats]) -> UnitStats:
    """Statistics of blocks of channels as those of all of them, in order."""
    return UnitStats(
        mean=np.concatenate([part["mean"] for part in parts]),
        std=np.concatenate([part["std"] for part in parts]),
        max=np.concatenate([part["max"] for part in parts]),
        p90=np.concatenate([part["p90"] for part in parts]),
        p99=np.concatenate([part["p99"] for part in parts]),
        dead=np.concatenate([part["dead"] for part in parts]),
    )


def quantile(columns: NDArray[np.float32], q: float) -> Floats:
    """q-quantile of each row, linear between the two order statistics around q·(n-1).

    Partitions ``columns`` (c, n) in place. Returns (c,).
    """
    n = columns.shape[1]
    below = int(q * (n - 1))
    weight = q * (n - 1) - below
    columns.partition([below, min(below + 1, n - 1)], axis=1)
    left = columns[:, below].astype(np.float64)
    right = columns[:, min(below + 1, n - 1)].astype(np.float64)
    between: Floats = left + weight * (right - left)
    return between


def class_stats(A: NDArray[np.float32], y: NDArray[np.int64], classes: int) -> ClassStats:
    """Class means and class selectivity of each channel.

    Parameters
    ----------
    A : (n, c).
    y : (n,) class in [0, classes), or -1; images without a class are left out.
    classes : k.

    Notes
    -----
    AUC is the Mann-Whitney statistic: with midranks r over the N labelled images and n_k of class k,
    AUC_k = (Σ_{i in k} r_i - n_k (n_k + 1)/2) / (n_k (N - n_k)).
    """
    labelled = y >= 0
    A, y = A[labelled], y[labelled]
    counts = np.bincount(y, minlength=classes).astype(np.float64)[:, None]
    order = np.argsort(y, kind="stable")
    mean = _class_sums(A[order], y[order], classes)
    ranks = np.empty((classes, A.shape[1]))
    for channel in range(A.shape[1]):
        ranks[:, channel] = np.bincount(y, weights=midranks(A[:, channel]), minlength=classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean /= counts
        auc = (ranks - counts * (counts + 1) / 2) / (counts * (len(y) - counts))
    mean[counts[:, 0] == 0] = np.nan
    return ClassStats(mean=mean, auc=auc)


def _class_sums(A: NDArray[np.float32], y: NDArray[np.int64], classes: int) -> Floats:
    sums = np.zeros((classes, A.shape[1]))
    starts = np.searchsorted(y, np.arange(classes + 1))
    for k in range(classes):
        sums[k] = A[starts[k] : starts[k + 1]].sum(axis=0, dtype=np.float64)
    return sums


def midranks(values: NDArray[np.float32]) -> Floats:
    """Ranks from 1, equal values sharing the mean of their ranks. ``values`` (n,), result (n,)."""
    n = len(values)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = (
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if n else np.empty(0, np.int64)
    )
    ends = np.append(first[1:], n)
    ranks = np.empty(n)
    ranks[order] = np.repeat((first + 1 + ends) / 2, ends - first)
    return ranks
