"""The circuit of a set of images: k channels a layer that attribute most to each other, found by sweeps.

Notation
--------
L layers of C_l channels; A_l (C_l, C_{l+1}) scores between layer l and l + 1, ≥ 0.
S_l : members of layer l, k_l at most.
Total of a circuit: Σ_l Σ_{m ∈ S_l, n ∈ S_{l+1}} A_l(m, n).

Init: the last layer's top k by Σ_m A(m, n), then backward each layer's top k by its scores to the members above.
Sweep: layer by layer from the first, S_l becomes the top k by
Σ_{n ∈ S_{l+1}} A_l(m, n) + Σ_{p ∈ S_{l−1}} A_{l−1}(p, m); no step lowers the total. Sweeps end when one changes
nothing; else, at a cycle or at the cap, the best total seen is taken. Ties go to the lower index. A channel whose sum
is zero is no member, so a dead layer has none, and the layer below it begins anew, by Σ_m A(m, n), as a last layer.

Source: Automatic Discovery of Visual Circuits (arXiv 2404.14349), section 3; cap, cycle, ties and the contrast are ours
(methods, open choices 9-12).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Members = tuple[tuple[int, ...], ...]
"""Per layer the channels, ascending."""

CAP = 20


@dataclass(frozen=True)
class Settled:
    """Where sweeps ended: after how many, and whether the last one changed nothing."""

    members: Members
    sweeps: int
    stable: bool


@dataclass(frozen=True)
class ClaCircuit:
    """Members per layer with their two-sided sums, the circuit's total, and how the sweeps ended."""

    members: Members
    scores: tuple[Array, ...]
    total: float
    sweeps: int
    stable: bool

    @property
    def size(self) -> int:
        """Number of nodes."""
        return sum(map(len, self.members))

    def edges(self) -> int:
        """Number of pairs of members of adjacent layers."""
        return sum(len(a) * len(b) for a, b in pairwise(self.members))


def layer_sizes(widths: Sequence[int], k: int, share: float = 0.0) -> tuple[int, ...]:
    """Members per layer: k, or ⌈share · C⌉ if the share is positive, and never more than the layer has.

    Raises DataError unless k ≥ 1 and 0 ≤ share ≤ 1.
    """
    if k < 1 or not 0 <= share <= 1:
        raise DataError(
            "no such size of a circuit",
            where="cla.k, cla.k_share",
            expected="k >= 1 and a share in [0, 1]",
            got=f"{k}, {share}",
        )
    return tuple(min(c, math.ceil(share * c) if share > 0 else k) for c in widths)


def find_circuit(
    scores: Sequence[Array], sizes: Sequence[int], last: Array | None = None, cap: int = CAP
) -> ClaCircuit:
    """The circuit of L layers.

    Parameters
    ----------
    scores : L − 1 matrices A_l (C_l, C_{l+1}), ≥ 0.
    sizes : (L,) members at most.
    last : (C_{L−1},) what the last layer is first chosen by, if not Σ_m A(m, n).
    cap : sweeps at most; 0 leaves the first choice.
    """
    start = _initial(scores, sizes, last)
    settled = settle(start, lambda s: _sweep(scores, sizes, s), lambda s: total(scores, s), cap)
    sums = tuple(
        two_sided(scores, settled.members, layer)[list(own)] for layer, own in enumerate(settled.members)
    )
    return ClaCircuit(settled.members, sums, total(scores, settled.members), settled.sweeps, settled.stable)


def settle(
    start: Members, step: Callable[[Members], Members], value: Callable[[Members], float], cap: int = CAP
) -> Settled:
    """Repeat a step until it changes nothing, comes back to an earlier state, or has run ``cap`` times.

    In the latter two cases the state of largest value is taken, of several the one of lower indices.
    """
    seen = [start]
    for sweeps in range(1, cap + 1):
        after = step(seen[-1])
        if after == seen[-1]:
            return Settled(after, sweeps, stable=True)
        if after in seen:
            break
        seen.append(after)
    return Settled(min(seen, key=lambda s: (-value(s), s)), min(cap, len(seen)), stable=False)


def two_sided(scores: Sequence[Array], members: Members, layer: int) -> Array:
    """(C,) sums of a layer's scores with the members on both sides of it."""
    found = np.zeros(scores[layer].shape[0] if layer < len(scores) else scores[-1].shape[1])
    if layer < len(scores):
        found += scores[layer][:, list(members[layer + 1])].sum(axis=1)
    if layer:
        found += scores[layer - 1][list(members[layer - 1])].sum(axis=0)
    return found


def total(scores: Sequence[Array], members: Members) -> float:
    """Sum of a circuit's edges."""
    return float(
        sum(
            a[np.ix_(list(one), list(two))].sum()
            for a, (one, two) in zip(scores, pairwise(members), strict=True)
        )
    )


def contrasted(score: Array, everything: Array, scopes: int) -> Array:
    """Scores less their mean over the other scopes, clipped at zero.

    Parameters
    ----------
    everything : sum of the scores of all scopes, this one included.
    scopes : how many, ≥ 2.

    Raises DataError for one scope: there is nothing to compare with.
    """
    if scopes < 2:
        raise DataError("a contrast needs a second scope", expected=">= 2 scopes", got=scopes)
    found: Array = np.maximum(0.0, score - (everything - score) / (scopes - 1))
    return found


def random_circuit(widths: Sequence[int], sizes: Sequence[int], rng: np.random.Generator) -> Members:
    """As many channels per layer, drawn uniformly without replacement."""
    return tuple(
        tuple(sorted(rng.choice(width, min(k, width), replace=False).tolist()))
        for width, k in zip(widths, sizes, strict=True)
    )


def jaccard(one: Members, two: Members) -> tuple[float, list[float]]:
    """Overlap |∩| / |∪| over all nodes and per layer; 0 where both are empty."""
    shared = [len(set(a) & set(b)) for a, b in zip(one, two, strict=True)]
    either = [len(set(a) | set(b)) for a, b in zip(one, two, strict=True)]
    layers = [s / e if e else 0.0 for s, e in zip(shared, either, strict=True)]
    return (sum(shared) / sum(either) if sum(either) else 0.0), layers


def _top(sums: Array, k: int) -> tuple[int, ...]:
    order = np.argsort(-sums, kind="stable")[:k]
    return tuple(sorted(order[sums[order] > 0].tolist()))


def _initial(scores: Sequence[Array], sizes: Sequence[int], last: Array | None) -> Members:
    found = [_top(scores[-1].sum(axis=0) if last is None else last, sizes[-1])]
    for layer in range(len(scores) - 1, -1, -1):
        upward = scores[layer][:, list(found[0])].sum(axis=1)
        if not upward.any() and layer:
            upward = scores[layer - 1].sum(axis=0)
        found.insert(0, _top(upward, sizes[layer]))
    return tuple(found)


def _sweep(scores: Sequence[Array], sizes: Sequence[int], members: Members) -> Members:
    now = list(members)
    for layer, k in enumerate(sizes):
        now[layer] = _top(two_sided(scores, tuple(now), layer), k)
    return tuple(now)
