"""Figures of how well clusters of references meet the truth, with intervals over neurons and images at once.

Notation
--------
S neurons, n references each; M draws. A draw resamples what the neurons were made from (a spliced neuron: its parents)
and what the images were made from, both with replacement: an index of a draw is the mean over the neurons, as often
as the draw holds them, of the adjusted Rand index over the references, as often as it holds those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.measures import Measure
from ingest.numerics.partition import adjusted_rand
from ingest.numerics.resampling import draw_weights

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
DRAWS = 300
_BLOCK = 16


@dataclass(frozen=True)
class Drawn:
    """Bootstrap draws for one set of neurons.

    images : (M, N) how often each image of the store is drawn.      neurons : (M, S) the same of each neuron.
    """

    images: Array
    neurons: Array


def draw(
    neurons: Sequence[Sequence[str]], images: Sequence[Sequence[str]], rows: Ints, total: int, seed: int
) -> Drawn:
    """Draws for neurons and images given by what they were made from.

    Parameters
    ----------
    images : sources of each of ``rows`` of a store of ``total`` images; the others are never drawn.
    """
    weights = np.zeros((DRAWS, total))
    weights[:, rows] = draw_weights(images, DRAWS, seed)
    return Drawn(weights, draw_weights(neurons, DRAWS, seed + 1))


@dataclass(frozen=True)
class Agreement:
    """Clusters (S, n) against truth (S, n), -1 where the truth is silent, for references ``rows`` (S, n)."""

    clusters: Tensor
    truth: Ints
    rows: Ints
    drawn: Drawn

    @cached_property
    def values(self) -> Array:
        """(S,) adjusted Rand index of each neuron."""
        return self._index(np.ones((1, self.drawn.images.shape[1])))[:, 0]

    @cached_property
    def draws(self) -> Array:
        """(S, M) the same in each draw."""
        return self._index(self.drawn.images)

    def measure(
        self,
        metric: str,
        settings: Mapping[str, Any],
        kept: Bools | None = None,
        less: Agreement | None = None,
    ) -> Measure:
        """Mean over the neurons ``kept``, all by default; ``less``: what the same neurons' other clusters reach."""
        known = np.ones(len(self.rows), bool) if kept is None else kept
        return over_layers(metric, settings, [self], [known], None if less is None else [less])

    def _index(self, weights: Array) -> Array:
        told = torch.from_numpy(self.truth).clamp(min=0)
        known = torch.from_numpy(self.truth >= 0).double()
        parts = []
        for start in range(0, len(self.rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            own = torch.from_numpy(weights[:, self.rows[part]]).transpose(0, 1)
            parts.append(adjusted_rand(self.clusters[part], told[part], own * known[part, None]))
        index: Array = torch.cat(parts).numpy()
        return index


def over_layers(
    metric: str,
    settings: Mapping[str, Any],
    parts: Sequence[Agreement],
    kept: Sequence[Bools],
    less: Sequence[Agreement] | None = None,
) -> Measure:
    """Mean over the neurons kept of several layers, whose images are drawn alike; ``less`` as in ``measure``."""
    known = np.concatenate(kept)
    values = np.concatenate([one.values for one in parts])
    draws = np.concatenate([one.draws for one in parts])
    if less is not None:
        values = values - np.concatenate([one.values for one in less])
        draws = draws - np.concatenate([one.draws for one in less])
    known = known & np.isfinite(values)
    if not known.any():
        return Measure(metric, float("nan"), float("nan"), float("nan"), 0, settings)
    neurons = np.concatenate([one.drawn.neurons for one in parts], axis=1)
    low, high = _interval(draws[known], neurons[:, known].T)
    return Measure(metric, float(values[known].mean()), low, high, int(known.sum()), settings)


def _interval(values: Array, weights: Array) -> tuple[float, float]:
    """95 % interval of the weighted means over axis 0 of (S, M) values; NaNs are left out of their draw."""
    used = np.where(np.isfinite(values), weights, 0)
    total = used.sum(0)
    means = (np.nan_to_num(values) * used).sum(0)[total > 0] / total[total > 0]
    if not len(means):
        return float("nan"), float("nan")
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mean_over(metric: str, values: Array, neurons: Array, settings: Mapping[str, Any]) -> Measure:
    """Mean of (S,) values with an interval over neurons drawn (M, S)."""
    known = np.isfinite(values)
    if not known.any():
        return Measure(metric, float("nan"), float("nan"), float("nan"), 0, settings)
    spread = np.repeat(values[known, None], len(neurons), axis=1)
    low, high = _interval(spread, neurons[:, known].T)
    return Measure(metric, float(values[known].mean()), low, high, int(known.sum()), settings)
