"""Granular Concept Circuits: from sensitivities and overlaps to the edges of one query (methods 1.1).

Notation
--------
C, D : channels of a source and of the next layer.      R : source rows at hand (channels of the source
layer).
S_NS : (R, D) sensitivity on the query, `ingest.numerics.sensitivity`.      S_SF : (R, D) overlap, `…flow`.
candidates of a row : targets whose mask list (T10) holds the query and whose S_NS is neither 0 nor NaN.
τ_NS : peaks-over-threshold cut-off of a row over its candidates, `…pot`.     τ_SF : max(mean S_SF of them,
floor). An edge is a candidate with S_NS > τ_NS and S_SF > τ_SF, both strictly; it joins adjacent layers.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code. Departures: none in the selection; lists scale with
the number of images (ceil(share · N)) where the authors fix 500 and 5,000 of 50,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.numerics.flow import Counts, flow_thresholds
from ingest.numerics.pot import pot_thresholds

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Thresholds:
    """The numbers that decide what an edge is; defaults are the paper's code.

    pot_percentile : q, first cut of peaks over threshold, 0..100.
    pot_quantile : p, what the fitted tail must pass, 0..1.
    flow_floor : least τ_SF; 0 is the paper's text.
    candidate_mask : whether targets must hold the query in their mask list (the code does, the text is
    silent).
    """

    pot_percentile: float = 90.0
    pot_quantile: float = 0.95
    flow_floor: float = 0.1
    candidate_mask: bool = True


@dataclass(frozen=True)
class RowCuts:
    """Per source row (R,): τ_NS and τ_SF (NaN: nothing can pass), candidates, exceedances, whether the fit
    fell back."""

    sensitivity: Array
    overlap: Array
    candidates: Ints
    exceedances: Ints
    fallback: Bools


@dataclass(frozen=True)
class Selection:
    """Kept pairs: ``row`` (E,) index of the source row, ``target`` (E,) channel; and the cuts of every
    row."""

    row: Ints
    target: Ints
    cuts: RowCuts


def select(
    sensitivity: Array, common: Counts, length: int, masked: Bools, thresholds: Thresholds
) -> Selection:
    """The edges of R sources of one layer.

    Parameters
    ----------
    sensitivity : (R, D) S_NS on the query.
    common : (R, D) images in the root lists of both source and target; S_SF is this over ``length``.
    length : images of a root list.
    masked : (D,) whether the target's mask list holds the query.
    thresholds : see :class:`Thresholds`.
    """
    candidates = (sensitivity != 0) & np.isfinite(sensitivity)
    if thresholds.candidate_mask:
        candidates &= masked
    tau = flow_thresholds(common, candidates, length, thresholds.flow_floor)
    eligible = candidates & (common / length > tau[:, None])
    cuts = pot_thresholds(
        sensitivity, candidates, thresholds.pot_percentile, thresholds.pot_quantile, eligible
    )
    row, target = (eligible & (sensitivity > cuts.threshold[:, None])).nonzero()
    counts = np.count_nonzero(candidates, axis=1)
    return Selection(row, target, RowCuts(cuts.threshold, tau, counts, cuts.exceedances, cuts.fallback))
