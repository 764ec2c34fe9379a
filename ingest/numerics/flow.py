"""Semantic flow: how much of a target's root list its source shares (methods 1.1).

Notation
--------
C, D : channels of the source and of the target layer.      N : images.      n : length of every root list.
T : (C, n) image indices of the root lists (T1).
S_SF : (C, D), |T(source) ∩ T(target)| / |T(target)|, in [0, 1]. It is a property of the data set, not of a
query.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code. The paper's note divides by |T(source)|; both lists
have n images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]


def membership(lists: Ints, images: int) -> sparse.csr_array:
    """(C, N) sparse 0/1 matrix: whether a channel's list (C, n) holds an image."""
    channels, length = lists.shape
    return sparse.csr_array(
        (
            np.ones(lists.size, dtype=np.int32),
            lists.reshape(-1).astype(np.int64),
            np.arange(0, lists.size + 1, length, dtype=np.int64),
        ),
        shape=(channels, images),
    )


def shared_images(source: Ints, target: Ints, images: int) -> npt.NDArray[np.int32]:
    """(C, D) number of images in both root lists, from lists (C, n) and (D, m) over N images."""
    product = membership(source, images) @ membership(target, images).T
    counts: npt.NDArray[np.int32] = product.toarray().astype(np.int32, copy=False)
    return counts


def semantic_flow(source: Ints, target: Ints, images: int) -> Array:
    """S_SF (C, D) of all pairs of two layers, from root lists (C, n) and (D, m) over N images."""
    return shared_images(source, target, images) / float(target.shape[1])


def flow_thresholds(common: Counts, candidates: Bools, length: int, floor: float) -> Array:
    """τ_SF (R,) of sources: max(mean of S_SF over the candidates, floor), NaN without any. Keep S_SF above it.

    Overlaps are fractions of small integers and a mean often equals one of them, so the comparison, which is strict,
    must not hang on rounding: the sum is taken over integers and divided once.

    Parameters
    ----------
    common : (R, D) images in both root lists.
    candidates : (R, D) which targets count.
    length : n, images of a root list.
    floor : least threshold.
    """
    number = np.count_nonzero(candidates, axis=1)
    total = np.where(candidates, common, 0).sum(axis=1, dtype=np.int64)
    mean = np.divide(total, number * length, out=np.full(len(common), np.nan), where=number > 0)
    tau: Array = np.where(number > 0, np.maximum(mean, floor), np.nan)
    return tau
