"""How well screening foretells what an edge does: rank correlation with its full removal, per image.

Removal is the logit lost when the target's value is computed with the source at zero (`ingest.methods.edge_cuts`). Two
samples of edges of all links between adjacent layers, told apart and pooled: drawn uniformly, and the largest by
screened size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.edge_cuts import Edge, cut_logits
from ingest.methods.measures import Measure, Resampling
from ingest.methods.pairs import make_pairs
from ingest.methods.screening import Screen
from ingest.numerics.cla_circuit import Array
from ingest.numerics.statistics import midranks
from ingest.segments import Trace

EDGES = 500
SAMPLES = ("uniform", "top", "pooled")


@dataclass(frozen=True)
class Agreement:
    """One image: edges of both samples, what screening gives them, and what their removal takes."""

    sample: NDArray[np.str_]
    screened: Array
    removed: Array

    def spearman(self, sample: str) -> float:
        """Rank correlation over a sample, NaN where one side does not vary."""
        own = slice(None) if sample == "pooled" else self.sample == sample
        return _correlation(self.screened[own], self.removed[own])


def agreement(
    trace: Trace, screen: Screen, x: Tensor, output: int, rng: np.random.Generator, count: int = EDGES
) -> Agreement:
    """Both samples of one image x (1, 3, H, W), for one logit."""
    layers = {link.source.ordinal: link.source for link in screen.links}
    layers |= {link.target.ordinal: link.target for link in screen.links if link.target is not None}
    chain = [layers[n] for n in sorted(layers)]
    clean, slopes = screen.clean(x, output)
    adjacent = [n for n, link in enumerate(screen.links) if link.hops == 1]
    scores = {n: screen.edges(n, clean, slopes).cpu().numpy() for n in adjacent}
    uniform = _uniform(scores, rng, count)
    top = _top(scores, count)
    chosen = uniform + top
    cuts: list[list[Edge]] = [[(screen.links[n].source.ordinal, m, t)] for n, m, t in chosen]
    with torch.no_grad():
        logits = cut_logits(trace, make_pairs(trace, chain), x, [[], *cuts], screen.budget)[:, output]
    return Agreement(
        np.array(["uniform"] * len(uniform) + ["top"] * len(top)),
        np.array([scores[n][m, t] for n, m, t in chosen], np.float64),
        (logits[0] - logits[1:]).astype(np.float64),
    )


def agreement_measures(
    found: Sequence[Agreement], resampling: Resampling, settings: dict[str, object]
) -> list[Measure]:
    """Mean rank correlation over images, per sample."""
    return [
        resampling.mean(
            "screening_spearman", np.array([one.spearman(s) for one in found]), {**settings, "edges": s}
        )
        for s in SAMPLES
    ]


def _uniform(scores: dict[int, Array], rng: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    sizes = np.cumsum([0, *(m.size for m in scores.values())])
    drawn = np.sort(rng.choice(sizes[-1], min(count, int(sizes[-1])), replace=False))
    return _places(scores, sizes, drawn)


def _top(scores: dict[int, Array], count: int) -> list[tuple[int, int, int]]:
    sizes = np.cumsum([0, *(m.size for m in scores.values())])
    flat = np.concatenate([np.abs(m).ravel() for m in scores.values()])
    return _places(scores, sizes, np.argsort(-flat, kind="stable")[:count])


def _places(
    scores: dict[int, Array], sizes: NDArray[np.int64], flat: NDArray[np.int64]
) -> list[tuple[int, int, int]]:
    links = list(scores)
    which = np.searchsorted(sizes, flat, side="right") - 1
    found = []
    for link, place in zip(which.tolist(), flat.tolist(), strict=True):
        m, n = divmod(place - int(sizes[link]), scores[links[link]].shape[1])
        found.append((links[link], m, n))
    return found


def _correlation(one: Array, two: Array) -> float:
    ranks = [midranks(side.astype(np.float32)) for side in (one, two)]
    if len(one) < 2 or any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    centred = [r - r.mean() for r in ranks]
    return float(centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
