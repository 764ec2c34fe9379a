"""Which images a job computes exact circuits for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from ingest.images import ImageRecord


def choose_queries(
    text: str, images: Sequence[ImageRecord], labels: Sequence[int | None], judging: NDArray[np.bool_]
) -> tuple[int, ...]:
    """Rows of the images to ask about, ascending.

    Parameters
    ----------
    text : a number (half of them judging images, the classes in turn), ``judge``, ``list``, ``all``, or a file
        that names one image a line, by path below the data folder or by id.

    Raises DataError if the text is none of these or an image is not there.
    """
    if text.isdecimal():
        return _spread(int(text), images, labels, judging)
    if text in ("all", "judge", "list"):
        wanted = np.ones_like(judging) if text == "all" else judging == (text == "judge")
        return tuple(np.flatnonzero(wanted).tolist())
    return _named(Path(text), images)


def _spread(
    count: int, images: Sequence[ImageRecord], labels: Sequence[int | None], judging: NDArray[np.bool_]
) -> tuple[int, ...]:
    """Half of the count from each side; within a side the classes in turn, their images by id."""
    chosen: list[int] = []
    sides = [np.flatnonzero(judging), np.flatnonzero(~judging)]
    for side, rows in enumerate(sides):
        order: dict[int | None, list[int]] = {}
        for row in sorted(rows.tolist(), key=lambda row: images[row].id):
            order.setdefault(labels[row], []).append(row)
        queues = [order[key] for key in sorted(order, key=lambda key: (key is None, key))]
        turns = [row for turn in range(len(rows)) for row in (q[turn] for q in queues if turn < len(q))]
        chosen += turns[: (count + 1 - side) // 2 if len(sides[0]) else count * side]
    return tuple(sorted(chosen))


def _named(path: Path, images: Sequence[ImageRecord]) -> tuple[int, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "cannot read the list of queries",
            where=path,
            expected="a number, judge, list, all, or a file of image names",
            got=f"{type(error).__name__}",
        ) from error
    rows = {image.path: row for row, image in enumerate(images)}
    rows |= {image.id: row for row, image in enumerate(images)}
    unknown = [line for line in lines if line and line not in rows]
    if unknown:
        raise DataError(
            "a query is not among the images",
            where=unknown[0],
            expected="a path below the data folder, or an image id",
            got=f"{len(unknown)} unknown of {len(lines)}",
        )
    return tuple(sorted({rows[line] for line in lines if line}))
