"""ImageNet as it is handed out: a flat folder of validation images, whose classes stand in a file beside it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atlas.errors import DataError

_NAME = re.compile(r"ILSVRC2012_val_(\d{8})")
SOLUTION = "LOC_val_solution.csv"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
_UP = 4
_DEVKIT = ("", "data", "ILSVRC2012_devkit_t12/data", "ILSVRC2012_devkit_t12", "devkit/data")


def is_validation(name: str) -> bool:
    """Whether a file's name is one of ImageNet's validation images."""
    return _NAME.match(name) is not None


def validation_labels(folder: Path) -> Mapping[str, str] | None:
    """Validation image without extension → WordNet id, from the files that ImageNet brings; None if they are not there.

    Either Kaggle's ``LOC_val_solution.csv``, or the development kit's ground truth and ``meta.mat``; in the folder of
    the images, in one of the four above it, or in the kit's folder there.

    Raises DataError for such a file that cannot be read, or a ground truth without its ``meta.mat``.
    """
    solution, truth = _find(folder, SOLUTION), _find(folder, TRUTH)
    if solution is not None:
        return _from_solution(solution)
    if truth is None:
        return None
    meta = _find(folder, META)
    if meta is None:
        raise DataError(
            "the ground truth's numbers have no names",
            where=truth,
            expected=f"{META} of the development kit beside it",
            next_step=f"put {META} there, or Kaggle's {SOLUTION}",
        )
    return _from_truth(truth, meta)


def _find(folder: Path, name: str) -> Path | None:
    places = [folder, *folder.absolute().parents[:_UP]]
    return next((p / kit / name for p in places for kit in _DEVKIT if (p / kit / name).is_file()), None)


def _from_solution(file: Path) -> dict[str, str]:
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(opened)}
    except (OSError, ValueError, KeyError, IndexError, AttributeError, csv.Error) as error:
        raise _unreadable(file, "columns ImageId and PredictionString", error) from error


def _from_truth(truth: Path, meta: Path) -> dict[str, str]:
    try:
        names = dict(_synsets(meta))
    except (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError) as error:
        raise _unreadable(meta, "the development kit's synsets", error) from error
    try:
        numbers = [int(line) for line in truth.read_text(encoding="utf-8").split()]
        return {f"ILSVRC2012_val_{i:08d}": names[number] for i, number in enumerate(numbers, start=1)}
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(truth, "a number of a synset a line", error) from error


def _synsets(meta: Path) -> Iterator[tuple[int, str]]:
    """ILSVRC2012 number → WordNet id of the synsets without children (readme of the development kit, section 2.2)."""
    from scipy.io import loadmat

    rows: Any = loadmat(str(meta), squeeze_me=True)["synsets"]
    for row in rows:
        if int(row["num_children"]) == 0:
            yield int(row["ILSVRC2012_ID"]), str(row["WNID"])


def _unreadable(file: Path, expected: str, error: Exception) -> DataError:
    return DataError(
        "ImageNet's labels cannot be read",
        where=file,
        expected=expected,
        got=f"{type(error).__name__}: {error}".splitlines()[0],
    )
