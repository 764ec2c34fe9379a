"""Sparse codes: feature vectors as few concepts, by the lasso at one λ, exactly (methods 4.1, eq. 2).

Notation
--------
x : (C,) a centred feature vector, N of them.      V : (K, C) concept vectors, best of unit length.      G = V Vᵀ.
u : (K,) coefficients, any sign.      r = x − uV.      c = V r : (K,) correlations.
objective : ½‖x − uV‖² + λ‖u‖₁.      λ : in units of c; all of u is zero from λ ≥ max|V x| on.
A : the active set, with signs s; there |c_j| = λ and s_j = sign(c_j) = sign(u_j).

scikit-learn divides the squares by the number of samples, which are channels here: its alpha is λ / C
(``lasso_path``, ``lars_path``, ``Lasso``); ``sparse_encode(alpha=λ)`` divides by C itself.

Homotopy (LARS with the lasso step, Efron et al. 2004; Osborne et al. 2000), all vectors at once: from λ = max|Vx|
down, u_A moves along G_AA⁻¹ s, until a correlation reaches ±λ (it joins), a coefficient reaches 0 (it drops), or λ is
reached. At the end u_A = G_AA⁻¹ (V_A x − λ s) is solved again in float64, so that rounding along the path is
forgotten, and the duality gap of the result is measured; vectors above the tolerance walk again in float64.
Where several u are optimal (more concepts than channels in general position aside), any one of them is given.

Source: GIG (arXiv 2409.01610), eq. 2 by Lasso-LARS; λ is not given there, see :func:`penalty_for`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ingest.numerics.homotopy import Walk, solve

TOLERANCE = 1e-6
CHUNK_BYTES = 256 * 2**20
DEFAULT_L0 = 0.9965
LEAST_ACTIVE = 5.0
_FALL = 2 / 3
_SLACK = 1.01


@dataclass(frozen=True)
class Codes:
    """Coefficients of N vectors over K concepts, only those that are not zero; entries of a vector by concept.

    offsets : (N + 1,) int64, entries of vector i are offsets[i] … offsets[i + 1].      atoms : (nnz,) int64.
    values : (nnz,) float64.      gap : (N,) duality gap over max(½‖x‖², tiny), float64.
    """

    offsets: Tensor
    atoms: Tensor
    values: Tensor
    gap: Tensor
    concepts: int

    @property
    def rows(self) -> Tensor:
        """(nnz,) the vector of each entry."""
        count = len(self.offsets) - 1
        return torch.repeat_interleave(torch.arange(count, device=self.offsets.device), self.offsets.diff())

    @property
    def active(self) -> Tensor:
        """(N,) number of coefficients that are not zero."""
        return self.offsets.diff()

    @property
    def l0(self) -> float:
        """Share of zeros, the paper's measure of sparsity; NaN without vectors."""
        return 1 - float(self.active.double().mean()) / self.concepts

    def times(self, v: Tensor) -> Tensor:
        """(N, C) the vectors that the codes stand for; v (K, C)."""
        out = torch.zeros(len(self.offsets) - 1, v.shape[1], dtype=v.dtype, device=v.device)
        step = max(1, CHUNK_BYTES // max(1, v.shape[1] * v.element_size()))
        rows = self.rows
        for start in range(0, len(self.atoms), step):
            part = slice(start, start + step)
            out.index_add_(0, rows[part], v[self.atoms[part]] * self.values[part, None].to(v.dtype))
        return out

    def dense(self) -> Tensor:
        """(N, K) float64; for small ones."""
        out = torch.zeros(len(self.offsets) - 1, self.concepts, dtype=torch.float64, device=self.atoms.device)
        out[self.rows, self.atoms] = self.values
        return out

    def take(self, start: int, stop: int) -> Codes:
        """Vectors start … stop."""
        offsets = self.offsets[start : stop + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        own = offsets - offsets[0]
        return Codes(own, self.atoms[entries], self.values[entries], self.gap[start:stop], self.concepts)

    @classmethod
    def join(cls, parts: list[Codes]) -> Codes:
        """Codes of several batches, one after another; at least one."""
        counts = torch.cat([part.active for part in parts])
        return cls(
            torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            torch.cat([part.atoms for part in parts]),
            torch.cat([part.values for part in parts]),
            torch.cat([part.gap for part in parts]),
            parts[0].concepts,
        )


def lasso(x: Tensor, v: Tensor, penalty: float, chunk_bytes: int = CHUNK_BYTES) -> Codes:
    """Codes of vectors x (N, C) over concepts v (K, C) at λ = ``penalty`` > 0, on the device of x.

    Memory: ``chunk_bytes`` beside the result; no N × K array outlives its chunk. A zero vector, or one below λ, has
    no entries. Raises nothing: a vector whose gap stays above the tolerance tells so in ``gap``.
    """
    v = v.to(x.device, x.dtype)
    parts = [_chunk(x[rows], v, penalty) for rows in _chunks(len(x), v, chunk_bytes)]
    return Codes.join(parts or [_chunk(x, v, penalty)])


def _chunks(count: int, v: Tensor, chunk_bytes: int) -> Iterator[slice]:
    # Beside a few arrays over all concepts, a vector holds the concepts of its active set.
    row = (8 * len(v) + 64 * v.shape[1]) * v.element_size()
    step = max(1, chunk_bytes // row)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _chunk(x: Tensor, v: Tensor, penalty: float) -> Codes:
    walk = Walk(x, v, penalty)
    walk.run()
    widest = int((walk.active >= 0).sum(1).max()) if len(x) else 0
    active, signs = walk.active[:, :widest], walk.signs[:, :widest]
    values, gap = _polish(x, v, penalty, active, signs)
    again = torch.nonzero(gap > TOLERANCE).flatten()
    if len(again) and x.dtype != torch.float64:
        redone = _chunk(x[again].double(), v.double(), penalty)
        return _merged(_gathered(active, values, gap, len(v)), redone, again)
    return _gathered(active, values, gap, len(v))


def _polish(x: Tensor, v: Tensor, penalty: float, active: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients (N, m) float64 on the active sets (N, m, −1 behind them), and the gap (N,) they leave."""
    sizes = (active >= 0).sum(1)
    values = torch.zeros(active.shape, dtype=torch.float64, device=x.device)
    gap = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    narrow, wide = -1, 0
    # Most sets are far smaller than the largest one: sets of like sizes together.
    while narrow < active.shape[1]:
        like = torch.nonzero((sizes > narrow) & (sizes <= wide)).flatten()
        step = max(1, CHUNK_BYTES // max(1, 16 * wide * v.shape[1]))
        for start in range(0, len(like), step):
            rows = like[start : start + step]
            part = (x[rows], v, penalty, active[rows, :wide], signs[rows, :wide])
            values[rows, :wide], gap[rows] = _solved(*part)
        narrow, wide = wide, min(max(2, 2 * wide), active.shape[1])
        if narrow == wide:
            break
    return values, gap


def _solved(x: Tensor, v: Tensor, penalty: float, active: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """u_A = G_AA⁻¹ (V_A x − λ s) and its gap."""
    inside = active >= 0
    exact = x.double()
    own = v[active.clamp(min=0)].double() * inside[..., None]
    gram = own @ own.transpose(1, 2) + torch.diag_embed((~inside).double())
    right = (own @ exact[..., None]).squeeze(2) - penalty * signs.double() * inside
    values = solve(gram, right)
    rest = exact - (values[:, None] @ own).squeeze(1)
    return values, duality_gap(rest, values, (rest.to(v.dtype) @ v.T).abs().amax(1).double(), exact, penalty)


def duality_gap(rest: Tensor, values: Tensor, largest: Tensor, x: Tensor, penalty: float) -> Tensor:
    """(N,) primal minus dual objective over ½‖x‖²; 0 at the optimum.

    rest : (N, C) r = x − uV; x too in float64.      values : (N, m) all coefficients that are not zero.
    largest : (N,) max|V r|.
    The dual point is r scaled until |V r| ≤ λ.
    """
    energy = 0.5 * x.square().sum(1)
    primal = 0.5 * rest.square().sum(1) + penalty * values.abs().sum(1)
    scale = (penalty / largest.clamp(min=penalty))[:, None]
    dual = energy - 0.5 * (x - scale * rest).square().sum(1)
    gap: Tensor = ((primal - dual) / energy.clamp(min=torch.finfo(torch.float32).tiny)).clamp(min=0)
    return gap


def _gathered(active: Tensor, values: Tensor, gap: Tensor, concepts: int) -> Codes:
    """Entries of each vector in the order of concepts."""
    inside = active >= 0
    key = torch.where(inside, active, concepts)
    order = key.argsort(dim=1, stable=True)
    inside = inside.gather(1, order)
    counts = inside.sum(1)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Codes(offsets, active.gather(1, order)[inside], values.gather(1, order)[inside], gap, concepts)


def _merged(codes: Codes, better: Codes, rows: Tensor) -> Codes:
    """Codes with those of some vectors replaced."""
    parts, place = [], {int(row): i for i, row in enumerate(rows.tolist())}
    start = 0
    for row, i in place.items():
        parts += [codes.take(start, row), better.take(i, i + 1)]
        start = row + 1
    return Codes.join([*parts, codes.take(start, len(codes.gap))])


def wished_active(concepts: int, l0: float = 0.0) -> float:
    """Mean number of active concepts aimed at: (1 − l0) K.

    By default l0 = .9965, but five concepts at least, and no more than an eighth of a small dictionary: with more,
    codes explain the noise of vectors by differences of concepts that are alike.
    """
    if l0:
        return max(1.0, (1 - l0) * concepts)
    return min(max((1 - DEFAULT_L0) * concepts, LEAST_ACTIVE), max(1.0, concepts / 8))


def penalty_for(x: Tensor, v: Tensor, active: float, rounds: int = 8) -> float:
    """The least λ at which vectors x (N, C) have no more than ``active`` concepts on average, a hundredth aside.

    λ falls from the largest |V x| by thirds until there are more, but not below 10⁻⁴ of it, where codes are dear; then
    log λ is bisected. Without a vector that is not zero it is 1: every code is empty then.
    """
    v = v.to(x.device, x.dtype)
    high = max((float((x[rows] @ v.T).abs().max()) for rows in _chunks(len(x), v, CHUNK_BYTES)), default=0.0)
    if high <= 0:
        return 1.0
    low, least = high * _FALL, high * 1e-4
    while low > least and _mean_active(x, v, low) <= _SLACK * active:
        high, low = low, low * _FALL
    for _ in range(rounds):
        middle = float((low * high) ** 0.5)
        low, high = (middle, high) if _mean_active(x, v, middle) > _SLACK * active else (low, middle)
    return high


def _mean_active(x: Tensor, v: Tensor, penalty: float) -> float:
    return float(lasso(x, v, penalty).active.double().mean())


def relative_error(x: Tensor, codes: Codes, v: Tensor) -> float:
    """Rel-l2: mean of ‖x − uV‖ / ‖x‖ over vectors x (N, C) that are not zero; NaN without any."""
    norms = x.norm(dim=1)
    kept = norms > 0
    error = (x - codes.times(v.to(x.device, x.dtype))).norm(dim=1)
    return float((error[kept] / norms[kept]).double().mean())
