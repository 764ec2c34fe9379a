"""The lasso's path, walked down for many vectors at once: active sets and signs at one λ.

Notation as in `ingest.numerics.lasso`: x (N, C), V (K, C), c = V r (N, K), active set A of each vector kept as (N, m)
indices, −1 behind its end; d = G_AA⁻¹ s the direction of u_A; a = V V_Aᵀ d (N, K), how fast correlations fall.

Events of one vector at λ, by the least step γ ≥ 0 of λ:
    join : c_j − γ a_j = ±(λ − γ) for a j outside A;      drop : u_j + γ d_j = 0 for a j in A;      end : λ reached.

Source: Efron, Hastie, Johnstone, Tibshirani 2004, section 3.1 (the lasso modification).
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS_PER_CHANNEL = 8
_ROOM = 16


def solve(gram: Tensor, right: Tensor) -> Tensor:
    """(N, m) solutions of symmetric systems (N, m, m), of least squares where one is not positive definite."""
    if not gram.numel():
        return right
    factor, failed = torch.linalg.cholesky_ex(gram)
    solution = torch.cholesky_solve(right[..., None], factor).squeeze(2)
    bad = failed > 0
    if bool(bad.any()):
        # Not lstsq, which on a GPU takes every system for one of full rank.
        inverse = torch.linalg.pinv(gram[bad], hermitian=True)
        solution[bad] = (inverse @ right[bad][..., None]).squeeze(2)
    return solution


class Walk:
    """N paths from λ = max|V x| down to ``penalty``. After :meth:`run`, ``active`` and ``signs`` (N, m) hold A, s."""

    def __init__(self, x: Tensor, v: Tensor, penalty: float) -> None:
        self._v = v
        self._penalty = penalty
        self._gram = v @ v.T if len(v) <= v.shape[1] else None
        self._c = x @ v.T
        count = len(x)
        self._level = self._c.abs().amax(1) if len(v) else x.new_zeros(count)
        self._out = torch.full((count,), -1, device=x.device)
        self._u = x.new_zeros(count, _ROOM)
        self.active = torch.full((count, _ROOM), -1, device=x.device)
        self.signs = x.new_zeros(count, _ROOM)
        self._sizes = torch.zeros(count, dtype=torch.int64, device=x.device)
        self._result = (self.active.clone(), self.signs.clone())
        self._rows = torch.arange(count, device=x.device)

    def run(self) -> None:
        """Walk every path to its end; paths that have ended leave the batch."""
        self._keep(self._level > self._penalty)
        self._join(self._c.abs().argmax(1))
        for _ in range(_STEPS_PER_CHANNEL * (self._v.shape[1] + _ROOM)):
            if not len(self._rows):
                break
            self._step()
        self._store(torch.ones_like(self._level, dtype=torch.bool))
        self.active, self.signs = self._result

    def _step(self) -> None:
        direction, fall = self._direction()
        to_join, joining = self._first_join(fall)
        to_drop, dropping = self._first_drop(direction)
        to_end = (self._level - self._penalty).clamp(min=0)
        gamma = torch.minimum(torch.minimum(to_join, to_drop), to_end)
        self._u = self._u + gamma[:, None] * direction
        self._c = self._c - gamma[:, None] * fall
        self._level = self._level - gamma
        ended = gamma >= to_end
        drops = ~ended & (to_drop <= to_join)
        self._out = torch.where(drops, self.active.gather(1, dropping[:, None]).squeeze(1), -1)
        self._drop(drops, dropping)
        self._join(torch.where(ended | drops, -1, joining))
        if bool(ended.any()):
            self._store(ended)
            self._keep(~ended)

    def _direction(self) -> tuple[Tensor, Tensor]:
        """d (N, m) and a (N, K)."""
        inside = self.active >= 0
        at = self.active.clamp(min=0)
        if self._gram is not None:
            gram = self._gram[at[:, :, None], at[:, None]] * (inside[:, :, None] & inside[:, None])
        else:
            own = self._v[at] * inside[..., None]
            gram = own @ own.transpose(1, 2)
        gram = gram + torch.diag_embed((~inside).to(gram.dtype))
        direction = solve(gram, self.signs)
        direction = direction * inside
        if self._gram is not None:
            wide = direction.new_zeros(len(at), len(self._v)).scatter_add_(1, at, direction)
            return direction, wide @ self._gram
        return direction, (direction[:, None] @ own).squeeze(1) @ self._v.T

    def _first_join(self, fall: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) least step to a join, and who joins."""
        level = self._level[:, None]
        upper = (level - self._c).clamp_(min=0) / (1 - fall)
        lower = (level + self._c).clamp_(min=0) / (1 + fall)
        infinite = torch.inf
        # A fall of exactly ±1 is a copy of what is active: it never gets ahead of it.
        near = torch.finfo(fall.dtype).eps * 64
        upper.masked_fill_(1 - fall <= near, infinite)
        lower.masked_fill_(1 + fall <= near, infinite)
        steps = torch.minimum(upper, lower)
        # Behind its end an active set names its first member again.
        steps.scatter_(
            1, torch.where(self.active < 0, self.active[:, :1], self.active).clamp(min=0), infinite
        )
        dropped = torch.nonzero(self._out >= 0).flatten()
        steps[dropped, self._out[dropped]] = infinite
        best, which = steps.min(1)
        return best, which

    def _first_drop(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) least step to a drop, and its place in the active set."""
        steps = -self._u / direction
        steps.masked_fill_(~(steps > 0) | (self.active < 0), torch.inf)
        best, which = steps.min(1)
        return best, which

    def _join(self, who: Tensor) -> None:
        rows = torch.nonzero(who >= 0).flatten()
        if not len(rows):
            return
        if int(self._sizes[rows].max()) == self.active.shape[1]:
            grown = self.active.shape[1]
            self.active = torch.nn.functional.pad(self.active, (0, grown), value=-1)
            self.signs = torch.nn.functional.pad(self.signs, (0, grown))
            self._u = torch.nn.functional.pad(self._u, (0, grown))
        place = self._sizes[rows]
        self.active[rows, place] = who[rows]
        self.signs[rows, place] = self._c[rows, who[rows]].sign()
        self._u[rows, place] = 0
        self._sizes[rows] += 1

    def _drop(self, mask: Tensor, place: Tensor) -> None:
        """The last of the active set takes the place of the one that goes."""
        rows = torch.nonzero(mask).flatten()
        if not len(rows):
            return
        last, own = self._sizes[rows] - 1, place[rows]
        for kept, empty in ((self.active, -1), (self.signs, 0), (self._u, 0)):
            kept[rows, own] = kept[rows, last]
            kept[rows, last] = empty
        self._sizes[rows] -= 1

    def _store(self, mask: Tensor) -> None:
        """Keep the results of some of the paths at hand."""
        active, signs = self._result
        if self.active.shape[1] > active.shape[1]:
            more = self.active.shape[1] - active.shape[1]
            active = torch.nn.functional.pad(active, (0, more), value=-1)
            signs = torch.nn.functional.pad(signs, (0, more))
        rows = self._rows[mask]
        active[rows, : self.active.shape[1]] = self.active[mask]
        signs[rows, : self.active.shape[1]] = self.signs[mask]
        self._result = (active, signs)

    def _keep(self, mask: Tensor) -> None:
        """Go on with these paths alone."""
        if bool(mask.all()):
            return
        for name in ("_c", "_level", "_out", "_u", "active", "signs", "_sizes", "_rows"):
            setattr(self, name, getattr(self, name)[mask])
