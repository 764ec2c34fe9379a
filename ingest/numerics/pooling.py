"""Ranking activations and top lists.

Notation
--------
B images of a batch, C channels, P positions of a feature map, n images of a list's pool, k images kept.
``U`` (B, C, P) activations in the model's own unit; ``s`` in (0, 1] the share of positions that is averaged;
``m = max(1, int(s·P))`` positions; ``a`` (B, C) ranking activation, the mean of the m largest of U[b, c, :].

Source: GCC (arXiv 2508.01728), the authors' ranking pass: mean of the top 10 % spatial values,
m = int(0.1·H·W). We depart where m would be 0 (fewer than ten positions): one position is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Numbers in one piece of work: its copy stays in a core's cache while it is scanned and partitioned.
_PIECE = 1 << 17
_ROUNDING = 1e-9


class Pooled(NamedTuple):
    """``mean`` (B, C) float32, ``peak`` (B, C) int64 first position of the largest value among the positions
    after ``skip``, counted from there, and ``finite`` (B, C) bool: no NaN and no infinity at any position."""

    mean: Tensor
    peak: Tensor
    finite: Tensor


def kept_positions(positions: int, share: float) -> int:
    """m = max(1, int(share·P))."""
    return max(1, int(share * positions + _ROUNDING))


def list_length(images: int, share: float) -> int:
    """k = ⌈share·n⌉, at least 1 where there is an image at all."""
    return min(images, max(1, math.ceil(share * images - _ROUNDING)))


def top_share_mean(units: Tensor, share: float, skip: int = 0) -> Pooled:
    """Mean of the largest positions of each channel, by partial selection instead of a sort.

    Parameters
    ----------
    units : (B, C, P) activations, on any device and of any memory layout.
    share : share s of the P positions that is averaged, all P counted.
    skip : positions in front that have no place in the image (the CLS token); they count for the mean, but
        the peak is looked for behind them.

    Returns
    -------
    Pooled, on the CPU. The mean is exact to float32 rounding: accumulated in float64.
    """
    batch, channels, positions = units.shape
    m = kept_positions(positions, share)
    skip = min(skip, positions - 1)
    if units.device.type != "cpu":
        return _pool_on_device(units.float(), m, skip)
    rows = units.detach().to(torch.float32).reshape(batch * channels, positions).numpy()
    mean = np.empty(len(rows), np.float32)
    peak = np.empty(len(rows), np.int64)
    finite = np.empty(len(rows), np.bool_)
    step = max(1, _PIECE // positions)

    def pool(start: int) -> None:
        stop = start + step
        piece = rows[start:stop].copy()
        peak[start:stop] = piece[:, skip:].argmax(axis=1)
        low = piece.min(axis=1)  # NaN if there is one
        piece.partition(positions - m, axis=1)
        mean[start:stop] = piece[:, positions - m :].mean(axis=1, dtype=np.float64)
        finite[start:stop] = np.isfinite(low) & np.isfinite(mean[start:stop])

    with np.errstate(invalid="ignore", over="ignore"):
        _in_pieces(pool, range(0, len(rows), step))
    shape = (batch, channels)
    return Pooled(*(torch.from_numpy(part).view(shape) for part in (mean, peak, finite)))


def _in_pieces(work: Callable[[int], None], starts: range) -> None:
    # NumPy lets go of the interpreter lock in each of the calls above, so plain threads are enough.
    threads = min(torch.get_num_threads(), len(starts))
    if threads <= 1:
        for start in starts:
            work(start)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, starts):
            pass


def _pool_on_device(units: Tensor, m: int, skip: int) -> Pooled:
    mean = units.topk(m, dim=-1, sorted=False).values.mean(dim=-1, dtype=torch.float64).float()
    finite = units.isfinite().all(dim=-1)
    return Pooled(mean.cpu(), units[..., skip:].argmax(dim=-1).cpu(), finite.cpu())


def order_keys(values: NDArray[np.float32], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer per entry whose descending order is: larger value first, equal values by smaller rank.

    Parameters
    ----------
    values : (…, n) float32 without NaN; -0 counts as 0.
    ranks : (n,) in [0, 2^32), all different: the place of each image among all image ids.

    Returns
    -------
    (…, n) int64: the value's bits, made monotonic, above the inverted rank. They are all different, so the k
    largest are the same set whatever the order of the images and however they were cut into shards.
    """
    bits = (values + np.float32(0)).view(np.int32)
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    return (ordered << 32) | (0xFFFFFFFF - ranks)


def values_of_keys(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The values of :func:`order_keys`, bit for bit."""
    ordered = (keys >> 32).astype(np.int32)
    return np.where(ordered < 0, ordered ^ np.int32(0x7FFFFFFF), ordered).astype(np.int32).view(np.float32)


def ranks_of_keys(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ranks of :func:`order_keys`."""
    return 0xFFFFFFFF - (keys & 0xFFFFFFFF)


def largest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k largest keys of each row, descending. ``keys`` (C, n), result (C, min(k, n))."""
    n = keys.shape[-1]
    if k < n:
        keys = np.partition(keys, n - k, axis=-1)[..., n - k :]
    return np.sort(keys, axis=-1)[..., ::-1]


def would_enter(
    values: NDArray[np.float32], floor: NDArray[np.float32], *, wins_tie: NDArray[np.bool_] | bool = False
) -> NDArray[np.bool_]:
    """Whether an image outside a list's pool would be in the list, had it been in the pool.

    Parameters
    ----------
    values : (…, C) its ranking activations.
    floor : (C,) last value of each list.
    wins_tie : whether its id stands before the id of the list's last image, or equals it. Without ids a tie
        is lost: the lists of constant channels, decided by ids alone, hold no foreign image.
    """
    enters: NDArray[np.bool_] = (values > floor) | ((values == floor) & wins_tie)
    return enters
