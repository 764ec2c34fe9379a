"""Generalised integrated gradients: what each concept of one layer adds to a concept of another, or to a class.

Notation
--------
a, b : two layers.      F : the segment from a's value to b's, other inputs at their clean values.
X̃ = U V + β : (P, C) a's value as its codes say; U (P, K) codes, V (K, C) unit concepts, β (C,) the layer's centre.
X(α) = α · U V + β, α ∈ [0, 1].      residual ε = X − X̃ : left out (the paper), or added to X(α) as a constant.
T_t(α) : a linear function of F(X(α)), ⟨h_t, F(X(α))⟩. Of a concept v_t of b: h_t = v_t at every position, so that
    T_t = Σ_i ⟨w_i, v_t⟩. Of a class: h_t = one-hot, so that T_t is its logit, or its probability if F ends in softmax.
Ḡ_t : (P, C) ∫₀¹ ∂T_t/∂X dα, by S midpoint steps.
GIG(q → t) = Σ_p u_pq ⟨Ḡ_t,p, v_q⟩, signed, in the unit of T_t.
Completeness: Σ_q GIG(q → t) = T_t(1) − T_t(0); its error is their difference over Σ_q |GIG(q → t)|.

Fast form: one backward pass per (target, step) in feature space, then all concepts q at once from the entries of U;
the literal form takes one gradient with respect to all codes per (target, step). Both are equal (the chain rule).

Source: GIG (arXiv 2409.01610), section 3; α = 0 is β as in its eq. 9 (eq. 3 and 5 leave β out).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_BYTES = 256 * 2**20
STEPS = 32
_COPIES = 8  # values of a row alive at once between forward and backward of a block


@dataclass(frozen=True)
class Line:
    """X(α) = α · ``moving`` + ``fixed`` of I images, raw layout (I, …) with the batch in front."""

    moving: Tensor
    fixed: Tensor

    def at(self, alpha: Tensor) -> Tensor:
        """(S, I, …) for α (S,)."""
        return alpha.view(-1, *(1,) * self.moving.dim()) * self.moving + self.fixed


@dataclass(frozen=True)
class Integral:
    """Ḡ of T targets on I images, raw layout of a: ``gradients`` (T, I, …); T_t(0), T_t(1): (T, I)."""

    gradients: Tensor
    start: Tensor
    end: Tensor


Run = Callable[[Tensor, Tensor], Tensor]
"""(X (R, …), (R,) which image each row is of) → F(X) (R, …)."""


def integrated_gradients(
    run: Run, line: Line, targets: Tensor, steps: int = STEPS, chunk_bytes: int = CHUNK_BYTES
) -> Integral:
    """Ḡ_t and both ends of T_t, for all targets and images.

    Parameters
    ----------
    run : the segment; differentiable, and each row by itself.
    line : X(α) of I images.
    targets : (T, …) h_t, broadcast against one row of F(X).
    steps : S midpoints, α = (s + ½) / S.
    chunk_bytes : of the activations alive in one batch.

    One forward pass per (image, step), one backward pass per (image, step, target).
    """
    images = len(line.moving)
    gradients = line.moving.new_zeros(len(targets), *line.moving.shape)
    ends = [line.moving.new_zeros(len(targets), images) for _ in range(2)]
    everyone = torch.arange(images, device=line.moving.device)
    with torch.no_grad():
        for alpha, end in zip((0.0, 1.0), ends, strict=True):
            value = run(line.at(line.moving.new_tensor([alpha]))[0], everyone)
            end += _inner(targets, value)
    row = (line.moving[0].numel() + value[0].numel()) * line.moving.element_size() * _COPIES
    rows = max(1, chunk_bytes // max(1, row))
    alphas = (torch.arange(steps, device=line.moving.device, dtype=line.moving.dtype) + 0.5) / steps
    for first in range(0, images, rows):
        part = slice(first, first + rows)
        count = min(rows, images - first)
        own = Line(line.moving[part], line.fixed[part] if len(line.fixed) > 1 else line.fixed)
        for some in _parts(alphas, max(1, rows // count)):
            x = own.at(some).flatten(0, 1).requires_grad_(True)
            with torch.enable_grad():
                y = run(x, everyone[part].repeat(len(some)))
            for t, found in enumerate(_backward(x, y, targets)):
                gradients[t, part] += found.view(len(some), count, *x.shape[1:]).sum(0)
    return Integral(gradients / steps, *ends)


def _parts(values: Tensor, size: int) -> list[Tensor]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _backward(x: Tensor, y: Tensor, targets: Tensor) -> list[Tensor]:
    """∂⟨h_t, y⟩/∂x per target; a target's gradient has the size of x, so they come one after another."""
    last = len(targets) - 1
    return [
        torch.autograd.grad(y, x, target.expand_as(y), retain_graph=t < last)[0]
        for t, target in enumerate(targets)
    ]


def _inner(targets: Tensor, value: Tensor) -> Tensor:
    """(T, I) ⟨h_t, value_i⟩."""
    return torch.stack([(value * target).flatten(1).sum(1) for target in targets])


@dataclass(frozen=True)
class Contributions:
    """GIG of K concepts to T targets on one image: ``scores`` (T, K) float64.

    ``error`` (T,) is |Σ_q GIG − (T(1) − T(0))| / Σ_q |GIG|, 0 where nothing contributes and nothing changes.
    """

    scores: Tensor
    error: Tensor


def contributions(
    gradients: Tensor, change: Tensor, rows: Tensor, atoms: Tensor, values: Tensor, v: Tensor
) -> Contributions:
    """GIG from the entries of one image's codes.

    Parameters
    ----------
    gradients : (T, P, C) Ḡ_t.      change : (T,) T_t(1) − T_t(0).
    rows, atoms, values : (nnz,) position, concept and coefficient of each entry of U.
    v : (K, C).
    """
    scores = torch.zeros(len(gradients), len(v), dtype=torch.float64, device=v.device)
    step = max(1, CHUNK_BYTES // max(1, gradients.element_size() * v.shape[1] * (len(gradients) + 1)))
    for start in range(0, len(atoms), step):
        part = slice(start, start + step)
        inner = (gradients[:, rows[part]] * v[atoms[part]]).sum(2)
        scores.index_add_(1, atoms[part], inner.double() * values[part])
    return Contributions(scores, completeness_error(scores, change))


def completeness_error(scores: Tensor, change: Tensor) -> Tensor:
    """(T,) |Σ_q scores − change| / Σ_q |scores|, for scores (T, K) and change (T,)."""
    size = scores.abs().sum(1)
    wrong = (scores.sum(1) - change.double()).abs()
    return torch.where(wrong > 0, wrong / size.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
