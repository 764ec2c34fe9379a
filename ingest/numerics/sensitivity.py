"""Neuron sensitivity: what a target loses when one source channel is zeroed (methods 1.1).

Notation
--------
a : (I, …) clean activation of the source layer on I images, raw layout, channels on one axis (C of them).
â : a with one channel zeroed everywhere.        F : the segment from the source to the target layer, D
channels.
S̃ : (R, D) max(0, mean over positions of F(a) − F(â)), in units of the target's activation; one row a
(image, source).
S_NS : (R, D) S̃ / Σ over all targets of S̃, unitless; rows without any effect are zero.

The signed difference is averaged first and clipped then, and the sum runs over *all* targets, as in the
authors' code. Rows run in chunks with a clean row of each of their images beside them, so both sides of a
difference come from one call: a target that the source does not touch gets an exact zero, which the
candidate mask relies on.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code. The authors run three whole forwards per source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK_BYTES = 256 * 2**20
_COPIES = 6  # activations of a row alive at once in a block: its input, its branch, its output


@dataclass(frozen=True)
class Cut:
    """A segment with what feeds it.

    run : (a (R, …), frozen) -> F(a) (R, …), raw layout.
    frozen : name -> clean input (I, …) that does not depend on a.
    source_axis, target_axis : the axis of channels in a and in F(a).
    """

    run: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    frozen: Mapping[str, Tensor]
    source_axis: int
    target_axis: int


def channel_means(values: Tensor, axis: int) -> Tensor:
    """(R, D): mean over all positions of values in raw layout."""
    moved = values.movedim(axis, 1)
    return moved if moved.dim() == 2 else moved.flatten(2).mean(2)


def rows_per_chunk(a: Tensor, target: Tensor, budget: int = CHUNK_BYTES) -> int:
    """Rows that keep a chunk's activations within a budget in bytes, at least one."""
    row = (a[0].numel() + target[0].numel()) * a.element_size() * _COPIES // 2
    return max(1, budget // max(1, row))


def effects(cut: Cut, a: Tensor, images: Ints, channels: Ints, chunk: int) -> Tensor:
    """(R, D) signed mean over positions of F(a) − F(â), before clipping.

    a : (I, …) clean source activations; images, channels : (R,) which image and which channel each row
    zeroes.
    """
    parts = []
    for start in range(0, len(channels), chunk):
        index, inverse = np.unique(images[start : start + chunk], return_inverse=True)
        gather = torch.from_numpy(np.concatenate([index, images[start : start + chunk]])).to(a.device)
        zeroed = torch.from_numpy(channels[start : start + chunk]).to(a.device)
        rows = torch.arange(len(index), len(gather), device=a.device)
        x = a[gather]
        x.movedim(cut.source_axis, 1)[rows, zeroed] = 0
        y = cut.run(x, {k: v[gather] if len(a) > 1 else v for k, v in cut.frozen.items()})
        clean = y[: len(index)][torch.from_numpy(inverse).to(a.device)]
        parts.append(channel_means(clean - y[len(index) :], cut.target_axis))
    return torch.cat(parts)


def clipped(effect: Tensor) -> Array:
    """S̃ (R, D) float64 from signed effects (R, D)."""
    raw: Array = effect.clamp(min=0).to(torch.float64).cpu().numpy()
    return raw


def normalised(raw: Array) -> Array:
    """S_NS (R, D) from S̃ (R, D): each row over its sum; zero where a source changes nothing.

    Raises nothing: the authors divide by zero there, and the NaNs they get are no candidates, as zeros are
    not.
    """
    total = raw.sum(axis=1, keepdims=True)
    share: Array = np.divide(raw, total, out=np.zeros_like(raw), where=total > 0)
    return share


def without_self(raw: Array, own: Ints) -> Array:
    """S_NS (R, D) with the identity target own (R,) of each row left out of the sum and set to zero."""
    rest = raw.copy()
    rest[np.arange(len(own)), own] = 0
    return normalised(rest)
