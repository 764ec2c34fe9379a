"""Neurons split into senses: how many, whether at all, and what tells them apart.

Notation: c neurons, n references each, known (c, n) which of them there are; K the most senses tried; m neurons that
may be polysemantic (p ≤ level and no sense of the two-way split too small), for which more is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.pure_job import PureParameters
from ingest.numerics.kmeans_gram import Clusters, gram, kmeans
from ingest.numerics.split_test import split_test

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Tests:
    """Of every neuron of a block, (c,) each.

    channel.      references : how many there are.      p : of the test for two senses, NaN with too few references.
    silhouette : of the split it would have, NaN likewise.      smallest : references in the smaller of two senses.
    senses : how many that split has.
    """

    channel: Ints
    references: Ints
    p: Array
    silhouette: Array
    smallest: Ints
    senses: Ints


@dataclass(frozen=True)
class Senses:
    """Of the m neurons that may be polysemantic.

    channel (m,).      labels (m, n) sense of each reference, -1 for none.
    fit, silhouettes (m, n) : cosine to the own centroid, both seen from the neuron's mean vector; silhouette.
    rank (m, n) : place of a reference in its sense, nearest to the centroid first, from 1; 0 for none.
    centroids (m, K, D).      feeds, spread (m, K, C_lo) : mean and population deviation of the authors' vectors.
    """

    channel: Ints
    labels: Ints
    fit: Floats
    silhouettes: Floats
    rank: Ints
    centroids: Floats
    feeds: Floats
    spread: Floats

    def columns(self) -> dict[str, Any]:
        """As a note of a shard."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Senses:
        """Undo :meth:`columns`."""
        return cls(**{f.name: np.asarray(columns[f.name]) for f in fields(cls)})

    def take(self, keep: Bools) -> Senses:
        """Some of the neurons."""
        return Senses(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


def split(
    channels: Ints, v: Tensor, vectors: Tensor, known: Bools, parameters: PureParameters, seed: int
) -> tuple[Tests, Senses]:
    """Split a block of neurons.

    Parameters
    ----------
    channels : (c,).
    v : (c, n, C_lo) the authors' vectors.      vectors : (c, n, D) those that are clustered.
    known : (c, n).
    parameters, seed : of the run.
    """
    present = torch.from_numpy(known).to(vectors.device)
    g = gram(vectors, present)
    tries = {
        k: kmeans(g, k, present, restarts=parameters.restarts, seed=seed)
        for k in sorted({2, *parameters.counts})
    }
    labels, senses, silhouette = _choose([tries[k] for k in parameters.counts], parameters.least)
    count = known.sum(1)
    enough = count >= 2 * parameters.least
    smallest = tries[2].sizes.min(1).values.cpu().numpy()
    p = np.full(len(channels), np.nan)
    if enough.any():
        at = torch.from_numpy(np.flatnonzero(enough)).to(g.device)
        restarts = max(1, parameters.restarts // 2)
        found = split_test(g[at], present[at], tries[2].labels[at], restarts=restarts, seed=seed)
        p[enough] = found.p
    tests = Tests(
        channels,
        count.astype(np.int64),
        p,
        np.where(enough, silhouette, np.nan),
        np.where(enough, smallest, 0),
        np.where(enough, senses, np.minimum(count, 1)),
    )
    keep = candidates(tests, parameters)
    return tests, _details(channels, v, vectors, labels, g, keep, max(parameters.counts))


def candidates(tests: Tests, parameters: PureParameters) -> Bools:
    """(c,) neurons that pass if the adjusted p does: a false discovery rate is no smaller than p itself."""
    with np.errstate(invalid="ignore"):
        passed: Bools = (tests.p <= parameters.level) & (tests.smallest >= parameters.least)
    return passed


def _choose(tries: Sequence[Clusters], least: int) -> tuple[Tensor, Ints, Array]:
    """Per neuron the split with the largest silhouette among those without a sense too small, else the first."""
    scores = torch.stack(
        [t.silhouette.masked_fill(t.sizes.min(1).values < least, -torch.inf) for t in tries], 1
    )
    scores[:, 0] = torch.where(scores.isfinite().any(1), scores[:, 0], 0.0)
    best = scores.nan_to_num(-torch.inf).argmax(1)
    rows = torch.arange(len(best), device=best.device)
    labels = torch.stack([t.labels for t in tries], 1)[rows, best]
    silhouette = torch.stack([t.silhouette for t in tries], 1)[rows, best]
    counts = np.array([t.k for t in tries])[best.cpu().numpy()]
    return labels, counts.astype(np.int64), silhouette.double().cpu().numpy()


def _details(
    channels: Ints, v: Tensor, vectors: Tensor, labels: Tensor, g: Tensor, keep: Bools, most: int
) -> Senses:
    from ingest.numerics.kmeans_gram import silhouettes

    at = torch.from_numpy(np.flatnonzero(keep)).to(g.device)
    labels, own = labels[at], vectors[at]
    z = (labels.unsqueeze(2) == torch.arange(most, device=g.device)).to(own.dtype)
    sizes = z.sum(1).clamp(min=1).unsqueeze(2)
    centroids = torch.bmm(z.transpose(1, 2), own) / sizes
    feeds = torch.bmm(z.transpose(1, 2), v[at]) / sizes
    squares = torch.bmm(z.transpose(1, 2), v[at] ** 2) / sizes
    known = (labels >= 0).to(own.dtype).unsqueeze(2)
    mean = (own * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
    mine = torch.bmm(z, centroids)
    fit = torch.cosine_similarity(own - mean, mine - mean, dim=2)
    away = (own - mine).norm(dim=2)
    return Senses(
        channels[keep],
        labels.cpu().numpy(),
        fit.float().cpu().numpy(),
        silhouettes(g[at], labels, most).float().cpu().numpy(),
        _ranks(away, labels).cpu().numpy(),
        centroids.float().cpu().numpy(),
        feeds.float().cpu().numpy(),
        (squares - feeds**2).clamp(min=0).sqrt().float().cpu().numpy(),
    )


def _ranks(away: Tensor, labels: Tensor) -> Tensor:
    """(m, n) place of each point within its label by ascending distance, ties by place; 0 where there is none."""
    n = labels.shape[1]
    order = torch.argsort(away, dim=1, stable=True)
    sorted_labels = labels.gather(1, order)
    same = sorted_labels.unsqueeze(2) == sorted_labels.unsqueeze(1)
    earlier = torch.ones(n, n, dtype=torch.bool, device=labels.device).tril()
    places = (same & earlier).sum(2)
    ranks = torch.empty_like(places).scatter_(1, order, places)
    return ranks.masked_fill(labels < 0, 0)
