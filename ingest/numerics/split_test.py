"""Does a neuron have two senses, or does every cloud fall into two parts when it is asked to?

Notation
--------
M neurons, n references each, G (M, n, n) their centred inner products, F folds.
μ0, μ1 : means of two clusters made *without* the references of a fold.
t : (M, n) place of each reference of that fold along μ1 − μ0, −1 at μ0 and +1 at μ1.
L, C, R : references with t in (−1.5, −0.5], (−0.5, 0.5] and (0.5, 1.5], three windows of one width.

Null hypothesis: along the direction of its own best split the neuron's references have one mode. A density with one
mode has, in the middle of three windows of one width, at least the mass of the poorer of its neighbours; so under the
null C, given C + L (or C + R, whichever side is the poorer), is binomial with a chance of at least 1/2. p is the larger
of the two one-sided binomial tails (an intersection–union test, Berger 1982): small only if *both* sides hold
significantly more references than the middle.

Nothing is assumed about shape, spread, skewness or tails. References are judged by clusters they had no part in, so
the split cannot profit from having been chosen. What remains approximate is that folds share references; the share of
false positives is measured on planted and permuted neurons (:func:`permuted`), and told with every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor

from ingest.numerics.kmeans_gram import kmeans

Array = NDArray[np.float64]
FOLDS = 5
HALF_WIDTH = 0.5


@dataclass(frozen=True)
class SplitTest:
    """p : (M,) of each neuron, 1 where there is nothing to tell.      windows : (M, 3) L, C and R."""

    p: Array
    windows: NDArray[np.int64]


def split_test(
    g: Tensor, present: Tensor, labels: Tensor, *, restarts: int = 10, seed: int = 0, folds: int = FOLDS
) -> SplitTest:
    """Test every neuron for two senses.

    Parameters
    ----------
    g : (M, n, n) as ``kmeans_gram.gram`` gives it.      present : (M, n) bool.
    labels : (M, n) the two clusters of all references; they only say which side is called right.
    restarts, seed, folds : of the clusters made without a fold; references go to folds by the seed.
    """
    t = held_out_places(g, present, labels, restarts=restarts, seed=seed, folds=folds)
    width = 2 * HALF_WIDTH
    windows = torch.stack(
        [((t > low) & (t <= low + width)).sum(1) for low in (-3 * HALF_WIDTH, -HALF_WIDTH, HALF_WIDTH)], 1
    )
    counts = windows.cpu().numpy().astype(np.int64)
    return SplitTest(dip_p(counts), counts)


def dip_p(windows: NDArray[np.int64]) -> Array:
    """(M,) p from L, C, R (M, 3): the larger of P(B(C + L, ½) ≥ L) and P(B(C + R, ½) ≥ R)."""
    left, middle, right = windows.T
    tails = [binom.sf(side - 1, side + middle, 0.5) for side in (left, right)]
    p: Array = np.maximum(*tails)
    return p


def held_out_places(
    g: Tensor, present: Tensor, labels: Tensor, *, restarts: int, seed: int, folds: int
) -> Tensor:
    """(M, n) t, NaN for absent references and where the others make no two clusters."""
    sets, n = present.shape
    generator = torch.Generator().manual_seed(seed)
    fold = (torch.randperm(n, generator=generator) % folds).to(g.device)
    t = torch.full((sets, n), torch.nan, dtype=torch.float64, device=g.device)
    for own in range(folds):
        held = fold == own
        train = present & ~held
        found = kmeans(g, 2, train, restarts=restarts, seed=seed + 1 + own)
        side = _same_way(found.labels, labels)
        z = torch.stack([(side == c).double() for c in (0, 1)], 2)
        sizes = z.sum(1)
        s = torch.bmm(g, z) / sizes.clamp(min=1).unsqueeze(1)
        q = (z * s).sum(1) / sizes.clamp(min=1)
        cross = (z[:, :, 0] * s[:, :, 1]).sum(1) / sizes[:, 0].clamp(min=1)
        apart = q.sum(1) - 2 * cross
        place = (2 * (s[:, :, 1] - s[:, :, 0]) - (q[:, 1] - q[:, 0]).unsqueeze(1)) / apart.unsqueeze(1)
        known = (apart > 0) & (sizes > 0).all(1)
        told = held.unsqueeze(0) & present & known.unsqueeze(1)
        t = torch.where(told, place, t)
    return t


def _same_way(side: Tensor, labels: Tensor) -> Tensor:
    """Labels 0 and 1 of ``side`` exchanged where that agrees better with ``labels``; -1 stays."""
    both = (side >= 0) & (labels >= 0)
    agree = (both & (side == labels)).sum(1)
    turn = (2 * agree < both.sum(1)).unsqueeze(1)
    return torch.where(turn & (side >= 0), 1 - side, side)


def permuted(vectors: Tensor, present: Tensor, seed: int = 0) -> Tensor:
    """A one-sense twin of every neuron: its own spectrum, no clusters; (M, n, D) like ``vectors``.

    Every reference becomes mean + Σ_i w_i (x_i − mean) / √m with w standard normal: a Gaussian cloud with the
    neuron's own mean and covariance, whatever the covariance is.
    """
    weight = present.to(vectors.dtype).unsqueeze(2)
    count = weight.sum(1, keepdim=True).clamp(min=1)
    mean = (vectors * weight).sum(1, keepdim=True) / count
    centred = (vectors - mean) * weight
    sets, n, _ = vectors.shape
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn((sets, n, n), generator=generator, dtype=vectors.dtype).to(vectors.device)
    return mean + torch.bmm(w, centred) / count.sqrt()


def benjamini_hochberg(p: Array) -> Array:
    """(M,) adjusted p values (Benjamini & Hochberg 1995): the least false discovery rate at which each passes."""
    if not len(p):
        return p
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(np.minimum(1.0, p[order] * len(p) / ranks))
    return q
