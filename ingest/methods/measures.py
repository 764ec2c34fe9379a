"""Measured figures with intervals, and their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.address import canonical, short_id
from atlas.spool import Values
from ingest.numerics.resampling import draw_weights, interval

Array = NDArray[np.float64]
DRAWS = 1000


@dataclass(frozen=True)
class Measure:
    """One figure: its name, value, 95 % interval, the n images it rests on, and how it was measured."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class Resampling:
    """Intervals for values of n images by resampling the sources they were made from.

    groups : (n,) the sources of each image.
    """

    def __init__(self, groups: Sequence[Sequence[str]], seed: int = 0, draws: int = DRAWS) -> None:
        self._weights = draw_weights(groups, draws, seed)

    def mean(self, metric: str, values: Array, settings: Mapping[str, Any]) -> Measure:
        """The mean of (n,) values, NaNs left out."""
        known = ~np.isnan(values)
        value = float(values[known].mean()) if known.any() else float("nan")
        low, high = self.interval(values)
        return Measure(metric, value, low, high, int(known.sum()), settings)

    def interval(self, values: Array) -> tuple[float, float]:
        """95 % interval of the mean of (n,) values, NaNs left out."""
        return interval(values, self._weights)

    def ratio(self, metric: str, above: Array, below: Array, settings: Mapping[str, Any]) -> Measure:
        """The mean of (n,) values over the mean of others, paired; draws where that is no positive number are
        left out of the interval.
        """
        known = ~(np.isnan(above) | np.isnan(below))
        weights = self._weights[:, known]
        top, bottom = weights @ above[known], weights @ below[known]
        ratios = top[bottom > 0] / bottom[bottom > 0]
        low, high = np.percentile(ratios, [2.5, 97.5]) if len(ratios) else (np.nan, np.nan)
        total = below[known].sum()
        value = float(above[known].sum() / total) if total > 0 else float("nan")
        return Measure(metric, value, float(low), float(high), int(known.sum()), settings)


def measure_tables(
    measures: Sequence[Measure], run: str, about: str
) -> Iterator[tuple[str, Mapping[str, Values]]]:
    """Evaluation nodes of a run, about another run. Figures that are not numbers are left out."""
    kept = [m for m in measures if np.isfinite(m.value)]
    ids = [short_id("e", run, m.metric, canonical(m.settings)) for m in kept]
    yield (
        "Evaluation",
        {
            "id": ids,
            "metric": [m.metric for m in kept],
            "value": [m.value for m in kept],
            "low": [m.low if np.isfinite(m.low) else None for m in kept],
            "high": [m.high if np.isfinite(m.high) else None for m in kept],
            "n": [m.n for m in kept],
            "settings": [canonical(m.settings) for m in kept],
        },
    )
    yield "Evaluation-OF-Run", {"start": ids, "end": [about] * len(ids)}
