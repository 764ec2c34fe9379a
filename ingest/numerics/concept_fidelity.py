"""Do concepts in the order of their importance carry what the model does? Curves (methods 4.3, eq. 7), their areas.

Notation
--------
P positions of one image in a layer; U (P, K) its codes, V (K, C) concepts, β (C,) centre: X̃ = U V + β.
A : the n concepts with a code that is not zero anywhere on the image.      s (n,) their importance, signed.
order : the n concepts by falling s; p of them have s > 0.
insertion at j : X̃ of the first j of the order alone.      deletion at j : X̃ without them.
A curve is what the model makes of that, at some j of 0 … n; its area is taken over the share of concepts on the way:

* over *active* concepts: j / n.
* over *all* K concepts, the paper's: inactive concepts have an importance of zero, so they stand between the positive
  and the negative ones: j / K for j ≤ p, then a flat piece, then (j + K − n) / K.

Fidelity is the area of insertion less that of deletion (both from Fel et al. 2023, in GIG arXiv 2409.01610, table 2).
The mean of areas over images is the area of the mean curve, because an area is linear in its curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """In which order concepts are inserted or deleted, and where the curve is looked at.

    order : (n,) indices into the active concepts.      counts : (m,) ascending j, 0 and n among them.
    positive : p.
    """

    order: Tensor
    counts: tuple[int, ...]
    positive: int

    def kept(self, *, insertion: bool) -> Tensor:
        """(m, n) bool: which active concepts stay at each point of the curve."""
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(len(self.order), device=self.order.device)
        first = place[None, :] < torch.tensor(self.counts, device=place.device)[:, None]
        return first if insertion else ~first


def plan(importance: Tensor, points: int) -> Plan:
    """Falling importance (n,), ties to the lower index, at ``points`` even steps and at p.

    points : ≥ 1; all n where there are no more.
    """
    order = torch.argsort(-importance, stable=True)
    count, positive = len(order), int((importance > 0).sum())
    even = np.linspace(0, count, min(points, count) + 1).round().astype(int).tolist() if count else [0]
    return Plan(order, tuple(sorted({*even, positive, 0, count})), positive)


def area_over_active(own: Plan, values: Array) -> float:
    """Area of a curve (m,) over the share of active concepts; the value itself where there are none."""
    if len(own.order) == 0:
        return float(values[0])
    return _area(np.array(own.counts) / len(own.order), values)


def area_over_all(own: Plan, values: Array, concepts: int) -> float:
    """Area of a curve (m,) over the share of all K concepts."""
    count = len(own.order)
    idle = concepts - count
    x: list[float] = []
    y: list[float] = []
    for j, value in zip(own.counts, values.tolist(), strict=True):
        if j <= own.positive:
            x.append(j / concepts)
            y.append(value)
        if j >= own.positive:
            x.append((j + idle) / concepts)
            y.append(value)
    return _area(np.array(x), np.array(y))


def _area(x: Array, y: Array) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def partial_sums(codes: Tensor, concepts: Tensor, kept: Tensor) -> Tensor:
    """X̃ − β at each point of a curve: (m, P, C) for codes (P, n), their concepts (n, C) and kept (m, n)."""
    sums: Tensor = (codes[None] * kept[:, None].to(codes.dtype)) @ concepts
    return sums


def relative_errors(x: Tensor, approximation: Tensor) -> Tensor:
    """Rel-l2 of each vector: ‖x − x̃‖ / ‖x‖, (N,) for (N, C); NaN for a zero vector."""
    norms = x.norm(dim=1)
    errors = (x - approximation).norm(dim=1) / norms
    return torch.where(norms > 0, errors, torch.full_like(errors, float("nan")))


def mass_share(field: Tensor, own: Tensor, both: Tensor) -> float:
    """Mass of an effective receptive field (H, W) ≥ 0 on one part over that on both; NaN without any.

    own, both : (H, W) bool.
    """
    total = float(field[both].sum())
    return float(field[own].sum()) / total if total > 0 else float("nan")
