"""Intervals by resampling the sources that images were made from, not the images.

Notation
--------
n : images.      G : distinct sources; an image has one or more (two digits on a canvas).
A draw takes G sources with replacement; an image counts as often as the product of its sources' counts, so images
that share a source move together (the pigeonhole bootstrap, Owen 2007, Annals of Applied Statistics 1:386).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def draw_weights(groups: Sequence[Sequence[str]], draws: int, seed: int) -> Array:
    """(draws, n) how often each image counts in each draw."""
    names = sorted({name for own in groups for name in own})
    place = {name: i for i, name in enumerate(names)}
    rng = np.random.default_rng(seed)
    times = np.stack(
        [np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(draws)]
    )
    weights = np.ones((draws, len(groups)))
    for i, own in enumerate(groups):
        for name in set(own):
            weights[:, i] *= times[:, place[name]]
    return weights


def interval(values: Array, weights: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean of values (n,) under weights (draws, n); NaN values are left out.

    NaNs come back where no draw holds an image with a value.
    """
    known = ~np.isnan(values)
    total = weights[:, known].sum(axis=1)
    used = total > 0
    if not used.any():
        return float("nan"), float("nan")
    means = weights[used][:, known] @ values[known] / total[used]
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
