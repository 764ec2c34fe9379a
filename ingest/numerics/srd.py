"""Relevance of feature vectors for the output, layer by layer (methods 4.1, eq. 10), and positions drawn by it.

Notation
--------
v_j : (C,) feature vector at position j of the upper layer (P positions), before its activation where it has one.
a_i : (D,) feature vector at position i of the lower layer, after its activation.
v̂_{i→j} : the part of v_j that comes from a_i.      μ_{i→j} = ⟨v̂_{i→j}, v_j⟩ / ‖v_j‖².
R_i = Σ_j μ_{i→j} R_j, unitless; R = 1 at the output, whose one feature vector is that of all logits.

Fast form: with h_j = v_j R_j / ‖v_j‖² as the cotangent, one vector-Jacobian product of the segment gives g = Jᵀ h for
all i at once, and R_i = ⟨a_i, g_i⟩, because what a network of rectifiers takes from a_i is J a_i, biases apart. For
other activations J a_i is the first-order part of it.

Source: GIG (arXiv 2409.01610), section 3 and eq. 10, where the map between layers is one linear layer; here it is a
whole block at its own input.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def cotangent(v: Tensor, relevance: Tensor) -> Tensor:
    """h (B, C, P): v R / ‖v‖², zero where v is; v (B, C, P), relevance (B, P)."""
    energy = v.square().sum(1)
    weight = torch.where(energy > 0, relevance / energy.clamp(min=torch.finfo(v.dtype).tiny), 0.0)
    return v * weight[:, None]


def pulled_back(run: Callable[[Tensor], Tensor], a: Tensor, h: Tensor) -> Tensor:
    """g = Jᵀ h of ``run`` at a (B, …), raw layout; each row by itself."""
    x = a.detach().requires_grad_(True)
    with torch.enable_grad():
        y = run(x)
        (g,) = torch.autograd.grad(y, x, h)
    return g


def relevance(a: Tensor, g: Tensor) -> Tensor:
    """R (B, P) = ⟨a_i, g_i⟩ for a, g (B, C, P)."""
    return (a * g).sum(1)


def draw_positions(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """One position per row, drawn by weight, negative weights as zero.

    Parameters
    ----------
    weights : (B, P).      uniform : (B,) in [0, 1), one number a row, so that a draw does not depend on its batch.

    Returns
    -------
    (B,) positions, and (B,) whether the row had a positive finite weight; without one its position is drawn evenly.
    """
    kept = torch.nan_to_num(weights.double(), nan=0.0, posinf=0.0, neginf=0.0).clamp(min=0)
    total = kept.sum(1, keepdim=True)
    sound = total[:, 0] > 0
    sums = torch.where(sound[:, None], kept, 1.0).cumsum(1)
    wished = uniform.double()[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, wished, right=True).squeeze(1)
    return found.clamp(max=weights.shape[1] - 1), sound
