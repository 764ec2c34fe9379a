"""Whether classes that have something in common overlap more than classes that have not.

Notation
--------
S : classes.   J (S, S) overlaps, symmetric.   T (S, S) bool, whether two classes are related.
AUROC : probability that a related pair overlaps more than an unrelated one, ties counting half.

Pairs of classes are not independent, since a class is in many, so the null is made by permuting which class has which
relations, rows and columns of T together (Mantel 1967, Cancer Research 27:209).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.numerics.cla_circuit import Array, Members
from ingest.numerics.statistics import midranks

Bools = NDArray[np.bool_]


def jaccard_matrix(circuits: Sequence[Members], layers: Sequence[int] | None = None) -> Array:
    """(S, S) Jaccard of circuits over all layers, or some; 0 for two empty ones."""
    chosen = range(len(circuits[0])) if layers is None else layers
    nodes = sorted({(layer, c) for own in circuits for layer in chosen for c in own[layer]})
    place = {node: n for n, node in enumerate(nodes)}
    marks = np.zeros((len(circuits), len(nodes)))
    for row, own in enumerate(circuits):
        marks[row, [place[layer, c] for layer in chosen for c in own[layer]]] = 1
    shared = marks @ marks.T
    sizes = marks.sum(axis=1)
    either = sizes[:, None] + sizes[None] - shared
    found: Array = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    return found


def pair_auroc(overlaps: Array, related: Bools) -> float:
    """AUROC of J for T over the pairs above the diagonal; NaN unless there are pairs of both kinds."""
    upper = np.triu_indices(len(overlaps), 1)
    return _auroc(midranks(overlaps[upper].astype(np.float32)), related[upper])


def permuted(overlaps: Array, related: Bools, draws: int, seed: int) -> tuple[float, float]:
    """p value of the AUROC against permuted classes, and the 95th percentile of theirs; NaN without both kinds."""
    upper = np.triu_indices(len(overlaps), 1)
    ranks = midranks(overlaps[upper].astype(np.float32))
    own = _auroc(ranks, related[upper])
    if np.isnan(own):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        order = rng.permutation(len(related))
        found[draw] = _auroc(ranks, related[np.ix_(order, order)][upper])
    return float((1 + (found >= own).sum()) / (1 + draws)), float(np.percentile(found, 95))


def _auroc(ranks: Array, positive: Bools) -> float:
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
