"""The digit under a neuron's maximum: what its references show, where the data set says what stands where.

Notation: S neurons with n references each; an image holds two digits, each with its box in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.demo.digits import read_answers, side_file
from ingest.layers import LayerSpec
from ingest.store import cell_centre

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
UNKNOWN = -1
LEAST = 25
ALMOST = 0.9


@dataclass(frozen=True)
class Contents:
    """Per image: digits (N, 2) and boxes (N, 2, 4), x0, y0, x1, y1 in pixels, ends out."""

    digits: Ints
    boxes: Floats


def read_contents(root: Path, paths: Sequence[str]) -> Contents | None:
    """What stands on the images at ``paths`` below a data root; None where no such file lies beside it.

    Raises DataError if the file lies there and has another form.
    """
    side = side_file(root)
    if not side.is_file():
        return None
    answers: Mapping[str, Mapping[str, Any]] = read_answers(side)
    if any(path not in answers for path in paths):
        return None
    return Contents(
        np.array([answers[path]["digits"] for path in paths], np.int64),
        np.array([answers[path]["boxes"] for path in paths], np.float64),
    )


def digits_at(
    contents: Contents, layer: LayerSpec, rows: Ints, peaks: Ints, input_shape: tuple[int, int, int]
) -> Ints:
    """(S, n) the digit of the box that the cell of each maximum lies in or nearest to, if it touches that box.

    Parameters
    ----------
    rows, peaks : (S, n) image, and flat position of the maximum on the layer's grid.

    UNKNOWN where the cell touches no box.
    """
    x, y = cell_centre(layer, peaks, input_shape)
    height, width = layer.grid or (1, 1)
    half = np.array([input_shape[2] / width, input_shape[1] / height]) / 2
    at = np.stack([x, y], -1)[:, :, None]
    boxes = contents.boxes[rows]
    outside = np.maximum(np.maximum(boxes[..., :2] - at, at - boxes[..., 2:]), 0)
    away = outside.max(-1)
    side = away.argmin(-1)
    touches = (np.take_along_axis(outside, side[..., None, None], 2)[:, :, 0] < half).all(-1)
    digits = np.take_along_axis(contents.digits[rows], side[..., None], 2)[..., 0]
    return np.where(touches, digits, UNKNOWN)


def two_digits(digits: Ints, least: int = LEAST) -> tuple[Ints, Ints]:
    """Neurons whose references hold two digits at least so often, and 0 or 1 for each of their references.

    The two most frequent digits count, the smaller digit where equally many; UNKNOWN for other references.
    Returns the neurons (Q,) and their labels (Q, n).
    """
    counts = np.stack([(digits == d).sum(1) for d in range(10)], 1)
    order = np.argsort(-counts, axis=1, kind="stable")[:, :2]
    chosen = np.flatnonzero(np.take_along_axis(counts, order, 1)[:, 1] >= least)
    labels = np.full((len(chosen), digits.shape[1]), UNKNOWN)
    for label in (0, 1):
        labels[digits[chosen] == order[chosen, label, None]] = label
    return chosen, labels


def one_digit(digits: Ints, share: float = ALMOST) -> Ints:
    """Neurons (Q,) that have one digit under at least this share of their maxima."""
    counts = np.stack([(digits == d).sum(1) for d in range(10)], 1)
    return np.flatnonzero(counts.max(1) >= share * digits.shape[1])
