"""First-order screening: what an edge between two layers is worth to a logit, without cutting it.

Notation
--------
y : one logit of one image.   a : (I, …) source activations, C channels;  b = F(a) (I, …) target, D channels.
g = ∂y/∂b : (I, …).   F with all other inputs at their clean values.
E : (C, D) E(m, n) = Σ_xy a_m(xy) · ∂⟨g_n, F(a)_n⟩ / ∂a_m(xy), signed, in logits: the first-order loss of y when b_n is
    computed with a_m scaled towards zero, other channels as they are.

Where source and target are joined by one linear layer, all else between them acting on each channel alone, E comes
whole from one tangent and one gradient, weight × weight gradient (*direct*):
E(m, n) = Σ_k W(n, m, k) · ∂W(n, m, k), with ∂W of the layer run on t = ∂(its input)·a and pulled back from
s = ∂⟨g, b⟩/∂(its output). A factor that a folded batch norm would put into W leaves the product as it is, and biases
are no edges. Anywhere else E takes one vector-Jacobian product a target (`ingest.numerics.cla.pulled`).

Source: Taylor saliency of weights (Molchanov et al. 2017, arXiv 1611.06440), edge attribution patching (Nanda 2023;
Syed et al. 2023, arXiv 2310.10348) with zero as the corrupted input.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from ingest.numerics.cla import CHUNK_BYTES, Ending, Ends, Run, pulled


def screened(
    run: Run, a: Tensor, g: Tensor, ends: Ends, budget: int = CHUNK_BYTES, ending: Ending | None = None
) -> Tensor:
    """E (C, D) of one image, a target at a time in batches.

    Parameters
    ----------
    run : F with frozen inputs bound.     a, g : (1, …).
    budget : bytes for one batch of rows.
    ending : the same F taken apart.
    """
    found = a.new_zeros(a.shape[ends.source], g.shape[ends.target])
    weighty = g.movedim(ends.target, 1).flatten(1).reshape(g.shape[ends.target], -1).any(1)
    for targets, rows in pulled(run, a, g, weighty.nonzero()[:, 0], ends, budget, ending):
        product = rows.mul_(a).movedim(ends.source, 1)
        found[:, targets] = product.reshape(*product.shape[:2], -1).sum(2).T
    return found


def direct(module: nn.Conv2d | nn.Linear, t: Tensor, s: Tensor) -> Tensor:
    """Sum of E (C, D) over I images, where a linear layer joins the two.

    Parameters
    ----------
    module : nn.Conv2d or nn.Linear.
    t : (I, C, H, W) or (I, …, C) tangent of its input.     s : gradient at its output.
    """
    weight = module.weight.detach()
    if isinstance(module, nn.Linear):
        return (weight * (s.flatten(0, -2).T @ t.flatten(0, -2))).T
    t, padding = _padded(module, t)
    shape, stride, dilation = weight.shape, module.stride, module.dilation
    change: Tensor = conv2d_weight(t, shape, s, stride, padding, dilation, module.groups)  # type: ignore[no-untyped-call]
    edges: Tensor = (weight * change).flatten(2).sum(2)
    found = edges.new_zeros(module.groups, edges.shape[1], edges.shape[0])
    rows = edges.reshape(module.groups, -1, edges.shape[1])
    width = rows.shape[1]
    for group in range(module.groups):
        found[group, :, group * width : (group + 1) * width] = rows[group].T
    return found.flatten(0, 1)


def _padded(module: nn.Conv2d, t: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The input and the zero padding that is left to do."""
    if module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return t, (module.padding[0], module.padding[1])
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return nn.functional.pad(t, list(module._reversed_padding_repeated_twice), mode=mode), (0, 0)
