"""The traversal answer on arrays: what the Cypher query does, without a database.

Notation
--------
L : layers.      candidates of a source : its stored targets of positive score whose mask list holds the query.
k : ceil(share · number of candidates), kept per source, strongest first, ties by channel.
τ : max(floor, Σ overlap of the candidates / number of the layer's channels in the query's mask); strict.

Peaks over threshold keeps about the best 5 % of a source's candidates, and a candidate has a sensitivity that is
not zero; so share = .05 of the stored candidates is the paper's rule as far as stored averages can say it. Reading
it as 5 % of the *mask* (about half of which a source does not raise at all) keeps twice as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Triple = tuple[int, int, int]
"""(layer of the source, source channel, target channel)."""


class Stored(Protocol):
    """Stored edges of one pair of layers, arrays of one length."""

    @property
    def layer(self) -> int: ...
    @property
    def source(self) -> Ints: ...
    @property
    def target(self) -> Ints: ...
    @property
    def sensitivity(self) -> Array: ...
    @property
    def overlap(self) -> Array: ...
    @property
    def identity(self) -> Bools: ...


@dataclass(frozen=True)
class Rule:
    """``by`` what a source's candidates are ranked, the ``share`` of them kept, and the least ``floor`` of τ.

    ``overlap`` ranks by S_SF alone: the baseline that knows nothing of the model's inside.
    """

    share: float = 0.05
    by: Literal["sensitivity", "overlap"] = "sensitivity"
    floor: float = 0.1


class FlowIndex:
    """Stored edges of all pairs, found by their source."""

    def __init__(self, flows: Sequence[Stored]) -> None:
        self._pairs = {flow.layer: _sorted(flow) for flow in flows}

    def traverse(self, roots: Sequence[Ints], masked: Sequence[Bools], rule: Rule) -> set[Triple]:
        """Edges reached from the roots.

        Parameters
        ----------
        roots : per layer the channels whose root list holds the query.
        masked : per layer (C,) whether the mask list holds it.
        """
        edges: set[Triple] = set()
        reached = np.empty(0, np.int64)
        for layer in range(len(roots) - 1):
            sources = np.union1d(roots[layer], reached)
            kept = [
                (int(source), self._targets(layer, int(source), masked[layer + 1], rule))
                for source in sources
            ]
            edges |= {(layer, source, int(target)) for source, targets in kept for target in targets}
            reached = np.unique(np.concatenate([np.empty(0, np.int64), *(targets for _, targets in kept)]))
        return edges

    def identities(self) -> set[Triple]:
        """The stored edges that are carried on by a shortcut."""
        return {
            (layer, int(source), int(target))
            for layer, pair in self._pairs.items()
            for source, target in zip(pair.source[pair.identity], pair.target[pair.identity], strict=True)
        }

    def holds(self, edges: set[Triple]) -> int:
        """How many of some edges are stored."""
        stored = {
            (layer, int(source), int(target))
            for layer, pair in self._pairs.items()
            for source, target in zip(pair.source, pair.target, strict=True)
        }
        return len(edges & stored)

    def _targets(self, layer: int, source: int, masked: Bools, rule: Rule) -> Ints:
        pair = self._pairs.get(layer)
        if pair is None:
            return np.empty(0, np.int64)
        low, high = np.searchsorted(pair.source, [source, source + 1])
        target, overlap = pair.target[low:high], pair.overlap[low:high]
        score = (pair.sensitivity if rule.by == "sensitivity" else pair.overlap)[low:high]
        index = np.flatnonzero(masked[target] & (score > 0))
        tau = max(rule.floor, overlap[index].sum() / max(1, int(masked.sum())))
        order = index[np.lexsort((target[index], -score[index]))]
        best = order[: math.ceil(rule.share * len(index) - 1e-9)]
        kept: Ints = target[best[overlap[best] > tau]]
        return kept


@dataclass(frozen=True)
class _Sorted:
    source: Ints
    target: Ints
    sensitivity: Array
    overlap: Array
    identity: Bools


def _sorted(flow: Stored) -> _Sorted:
    order = np.argsort(flow.source, kind="stable")
    return _Sorted(
        flow.source[order],
        flow.target[order],
        flow.sensitivity[order],
        flow.overlap[order],
        flow.identity[order],
    )


@dataclass(frozen=True)
class Agreement:
    """Found against true sets; all NaN where nothing is true, precision NaN where nothing is found."""

    precision: float
    recall: float
    f1: float


def agreement(
    found: set[Triple] | set[tuple[int, int]], true: set[Triple] | set[tuple[int, int]]
) -> Agreement:
    """Precision, recall and F1 of a set."""
    if not true:
        return Agreement(math.nan, math.nan, math.nan)
    both = len(set(found) & set(true))
    precision = both / len(found) if found else math.nan
    return Agreement(precision, both / len(true), 2 * both / (len(found) + len(true)))
