"""A linear probe: what can be read off a layer's pooled activations by one direction per concept.

Notation: n images, C channels, K concepts; X (n, C) pooled activations; Y (n, K), 1 where the image has the concept,
else 0; Z = (X − mean) / std, channels that do not vary at zero.

Ridge regression of the centred Y on Z, w = (ZᵀZ + λ n I)⁻¹ Zᵀ (Y − mean Y), solved in images where n < C
(w = Zᵀ (ZZᵀ + λ n I)⁻¹ (Y − mean Y), the same numbers). What a probe reads is its score Z w; how well, the area under
the ROC curve, which needs no threshold and does not hang on how common a concept is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from ingest.numerics.statistics import midranks

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
PENALTY = 0.1


@dataclass(frozen=True)
class Probe:
    """Fitted directions: mean and scale (C,) of the channels, weights (C, K)."""

    mean: Array
    scale: Array
    weights: Array

    def scores(self, x: NDArray[np.floating]) -> Array:
        """(n, K) scores of images x (n, C): larger where the concept is read more strongly."""
        found: Array = (np.asarray(x, np.float64) - self.mean) * self.scale @ self.weights
        return found


def fit_probe(x: NDArray[np.floating], concepts: Bools, penalty: float = PENALTY) -> Probe:
    """Fit a probe of every concept at once.

    Parameters
    ----------
    x : (n, C) pooled activations.
    concepts : (n, K) which image has which.
    penalty : λ > 0, per image.

    Raises DataError without two images.
    """
    if len(x) < 2:
        raise DataError("a probe needs images to learn from", expected=">= 2", got=len(x))
    x = np.asarray(x, np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    scale = np.where(std > 0, 1 / np.where(std > 0, std, 1), 0.0)
    z = (x - mean) * scale
    y = concepts - concepts.mean(axis=0)
    ridge = penalty * len(x)
    if len(x) < x.shape[1]:
        weights = z.T @ np.linalg.solve(z @ z.T + ridge * np.eye(len(x)), y)
    else:
        weights = np.linalg.solve(z.T @ z + ridge * np.eye(x.shape[1]), z.T @ y)
    return Probe(mean, scale, weights)


def auc(scores: Array, has: Bools) -> float:
    """Probability that an image with the concept scores above one without, ties half; scores, has (n,).

    NaN where one of the two groups is empty.
    """
    inside, outside = int(has.sum()), int((~has).sum())
    if not inside or not outside:
        return float("nan")
    ranks = midranks(np.asarray(scores))
    return float((ranks[has].sum() - inside * (inside + 1) / 2) / (inside * outside))
