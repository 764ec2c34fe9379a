"""How well the traversal answer matches the exact circuits, beside a baseline that ranks by S_SF alone.

Roots are given to both, and identity edges c → c are easy; nodes are compared without the roots and edges without
the identity edges, which would flatter the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.methods.gcc import QueryCircuits
from ingest.methods.measures import Measure, Resampling
from ingest.numerics.stored_traversal import Agreement, FlowIndex, Rule, Stored, Triple, agreement

Array = NDArray[np.float64]
SHARES = (0.02, 0.03, 0.05, 0.08, 0.12)
PARTS = ("nodes", "edges")


@dataclass(frozen=True)
class _Scores:
    """F1, precision and recall per query, (n,) each."""

    f1: Array
    precision: Array
    recall: Array


def traversal_measures(
    flows: Sequence[Stored],
    results: Sequence[QueryCircuits],
    resampling: Resampling,
    floor: float,
    shares: Sequence[float] = SHARES,
) -> list[Measure]:
    """Agreement of the traversal with exact circuits over a sweep of shares.

    Parameters
    ----------
    flows : stored edges of every pair.
    results : exact circuits of n queries.
    resampling : intervals over the sources of these n images.
    floor : least τ_SF, as in the exact method.
    shares : of a source's candidates kept.

    Measures: ``traversal_{nodes,edges}_{f1,precision,recall}`` for each ranking and share (means over queries with
    an exact circuit), ``traversal_advantage_{nodes,edges}`` (best F1 by sensitivity less best F1 by overlap, each
    at its own best share), and ``exact_edges_absent`` (share of exact edges that are not stored at all).
    """
    index = FlowIndex(flows)
    identities = index.identities()
    measures, f1 = [], {}
    for by in ("sensitivity", "overlap"):
        for share in shares:
            rule = Rule(share, by, floor)
            scores = {part: _scores(index, results, rule, part, identities) for part in PARTS}
            for part, found in scores.items():
                settings = {"by": by, "share": share, "floor": floor}
                f1[part, by, share] = found.f1
                for name in ("f1", "precision", "recall"):
                    values = getattr(found, name)
                    measures.append(resampling.mean(f"traversal_{part}_{name}", values, settings))
    for part in PARTS:
        measures.append(_advantage(part, f1, shares, resampling))
    measures.append(_absent(index, results, resampling))
    return measures


def _scores(
    index: FlowIndex, results: Sequence[QueryCircuits], rule: Rule, part: str, identities: set[Triple]
) -> _Scores:
    found = [_compare(index, result, rule, part, identities) for result in results]
    return _Scores(
        np.array([a.f1 for a in found]),
        np.array([a.precision for a in found]),
        np.array([a.recall for a in found]),
    )


def _compare(
    index: FlowIndex, result: QueryCircuits, rule: Rule, part: str, identities: set[Triple]
) -> Agreement:
    roots = result.query.root_channels()
    guessed = index.traverse(roots, result.query.masked, rule)
    exact = result.edges.pairs()
    if part == "edges":
        shortcuts = result.edges.take(result.edges.identity).pairs() | identities
        return agreement(guessed - shortcuts, exact - shortcuts)
    given = {(layer, int(c)) for layer, channels in enumerate(roots) for c in channels}
    return agreement(_reached(guessed) - given, _reached(exact) - given)


def _reached(edges: set[Triple]) -> set[tuple[int, int]]:
    return {(layer + 1, target) for layer, _, target in edges}


def _advantage(
    part: str, f1: dict[tuple[str, str, float], Array], shares: Sequence[float], resampling: Resampling
) -> Measure:
    best = {
        by: max(shares, key=lambda share: _mean(f1[part, by, share])) for by in ("sensitivity", "overlap")
    }
    gain = f1[part, "sensitivity", best["sensitivity"]] - f1[part, "overlap", best["overlap"]]
    settings = {"share": best["sensitivity"], "baseline_share": best["overlap"]}
    return resampling.mean(f"traversal_advantage_{part}", gain, settings)


def _mean(values: Array) -> float:
    """Of what is known; -1, below any F1, where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else -1.0


def _absent(index: FlowIndex, results: Sequence[QueryCircuits], resampling: Resampling) -> Measure:
    shares = [
        1 - index.holds(edges) / len(edges) if (edges := result.edges.pairs()) else math.nan
        for result in results
    ]
    return resampling.mean("exact_edges_absent", np.array(shares), {})
