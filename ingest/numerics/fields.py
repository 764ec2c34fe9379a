"""Receptive fields of units at one position of a layer.

Notation: x (B, 3, H, W) images, a(x) (B, C, P) a layer's units, p (B,) one position per image, c one channel,
v (C,) one direction. The field is (B, H, W): the L2 norm over colours of ∂a[c, p]/∂x, or of ∂(v · a[:, p])/∂x, in
units of the activation per unit of the input.
Input × gradient would leave dark pixels out, which a unit can look at all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def receptive_fields(
    units: Callable[[Tensor], Tensor], x: Tensor, positions: Tensor, channel: int | Tensor | None = None
) -> Tensor:
    """(B, H, W) field of a channel, or a direction (C,), at a position of each image; None is all channels' sum.

    units : x → a(x) (B, C, P).      positions : (B,) int64.
    With all channels it is zero exactly where nothing at the position depends on the pixel, on this image.
    """
    held = x.detach().requires_grad_(True)
    with torch.enable_grad():
        a = units(held)
        at = a[torch.arange(len(x), device=a.device), :, positions]
        if isinstance(channel, Tensor):
            at = at @ channel.to(at)
        elif channel is not None:
            at = at[:, channel]
        (gradient,) = torch.autograd.grad(at.sum(), held)
    field: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return field


def boxes(fields: Tensor) -> Tensor:
    """(B, 4) left, top, right and bottom (exclusive) of what is not zero in (B, H, W); the whole where all is zero."""
    b, height, width = fields.shape
    found = torch.zeros(b, 4, dtype=torch.int64)
    for axis, size in ((2, height), (1, width)):
        seen = (fields != 0).any(dim=axis)
        seen = torch.where(seen.any(dim=1, keepdim=True), seen, torch.ones_like(seen)).to(torch.int64)
        first = seen.argmax(dim=1)
        last = size - seen.flip(1).argmax(dim=1)
        where = 1 if axis == 2 else 0
        found[:, where], found[:, where + 2] = first, last
    return found
