"""Tables for a terminal: plain text, no line wider than asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from atlas.lookup import Table
from atlas.views.markup import clean, columns

GAP = 2
NARROWEST = 6
# Folded rows of more lines than this read worse than one value a line.
DEEPEST = 3


def table(answer: Table, width: int = 80) -> str:
    """Rows under their columns, numbers to the right; what is the same in all rows stands once, above them.

    Where the columns do not fit, long values are folded, and beyond that each row is a block of lines. Says so
    if there are no rows, or as many as the limit.
    """
    if not answer.rows:
        return "no rows\n"
    cells = {column: [cell(row[column]) for row in answer.rows] for column in answer.columns}
    if len(answer.rows) == 1 and _natural(cells) > width:
        return _blocks(cells, width)
    same = [] if _natural(cells) <= width else [name for name in cells if len(set(cells[name])) == 1]
    if len(same) == len(cells):
        same = []
    rest = {name: values for name, values in cells.items() if name not in same}
    head = _blocks({name: cells[name][:1] for name in same}, width) + "\n" if same else ""
    widths = _widths(rest, width)
    if widths is None or _depth(rest, widths) > DEEPEST:
        return head + _blocks(rest, width) + _foot(answer)
    right = {name for name in rest if all(_numeric(row[name]) for row in answer.rows)}
    return head + _grid(rest, widths, right) + _foot(answer)


def cell(value: Any) -> str:
    """One value as text: floats to four digits, null as a dash, lists joined."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(item) for item in value)
    # A name may hold control characters, which a terminal would obey.
    return clean(" ".join(str(value).split()))


Cells = dict[str, list[str]]


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _lengths(cells: Cells) -> dict[str, int]:
    return {name: max(map(columns, (name, *values))) for name, values in cells.items()}


def _natural(cells: Cells) -> int:
    return sum(_lengths(cells).values()) + GAP * (len(cells) - 1)


def _widths(cells: Cells, width: int) -> dict[str, int] | None:
    """A width for every column, the widest folded first; None where even the narrowest do not fit."""
    widths = _lengths(cells)
    room = width - GAP * (len(cells) - 1)
    while sum(widths.values()) > room:
        widest = max(widths, key=lambda name: widths[name])
        if widths[widest] <= NARROWEST:
            return None
        widths[widest] -= 1
    return widths


def _fold(text: str, width: int) -> list[str]:
    if columns(text) == len(text):
        return wrap(text, width, break_on_hyphens=False) or [""]
    # Wide letters take two columns, which `wrap` does not count.
    lines = [""]
    for letter in text:
        if columns(lines[-1] + letter) > width:
            lines.append("")
        lines[-1] += letter
    return lines


def _padded(text: str, width: int, *, right: bool) -> str:
    blank = " " * (width - columns(text))
    return blank + text if right else text + blank


def _depth(cells: Cells, widths: dict[str, int]) -> int:
    return max(len(_fold(text, widths[name])) for name, values in cells.items() for text in values)


def _grid(cells: Cells, widths: dict[str, int], right: set[str]) -> str:
    def line(texts: Sequence[str]) -> str:
        folded = [_fold(text, widths[name]) for name, text in zip(cells, texts, strict=True)]
        depth = max(map(len, folded))
        blocks = [
            [_padded(piece, widths[name], right=name in right) for piece in [*pieces, *[""] * depth][:depth]]
            for name, pieces in zip(cells, folded, strict=True)
        ]
        return "\n".join((" " * GAP).join(parts).rstrip() for parts in zip(*blocks, strict=True))

    rule = "─" * (sum(widths.values()) + GAP * (len(cells) - 1))
    body = [line(texts) for texts in zip(*cells.values(), strict=True)]
    return "\n".join([line(list(cells)), rule, *body]) + "\n"


def _blocks(cells: Cells, width: int) -> str:
    names = max(map(len, cells))
    blocks = []
    for texts in zip(*cells.values(), strict=True):
        lines: list[str] = []
        for name, text in zip(cells, texts, strict=True):
            first, *more = _fold(text, max(20, width - names - GAP))
            lines += [f"{name:<{names + GAP}}{first}", *(" " * (names + GAP) + piece for piece in more)]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks) + "\n"


def _foot(answer: Table) -> str:
    if not answer.full or len(answer.rows) == 1:
        return ""
    return f"the first {len(answer.rows)} rows; more with --limit\n"
