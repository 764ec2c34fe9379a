"""Tables for a terminal: at most ``width`` columns, plain text when it is no terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from atlas.lookup import Table

NARROWEST = 8


def table(answer: Table, width: int = 80) -> str:
    """Rows under their columns, no line longer than ``width``; long values are folded, numbers right-aligned.

    Says so if there are no rows, or as many as the limit.
    """
    if not answer.rows:
        return "no rows\n"
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    # Too many columns for the width: one row becomes a block of `column  value` lines.
    if len(answer.columns) * (NARROWEST + 2) > width or _widest(answer) > 2 * width:
        return _blocks(answer, width) + _foot(answer)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in answer.columns:
        numbers = all(isinstance(row[column], int | float | None) for row in answer.rows)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in answer.rows:
        grid.add_row(*(cell(row[column]) for column in answer.columns))
    console = Console(width=width, color_system=None, force_terminal=False, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n") + "\n" + _foot(answer)


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
    return str(value)


def _widest(answer: Table) -> int:
    return sum(max(len(cell(row[c])) for row in answer.rows) for c in answer.columns)


def _blocks(answer: Table, width: int) -> str:
    from textwrap import wrap

    names = max(len(column) for column in answer.columns)
    blocks = []
    for row in answer.rows:
        lines: list[str] = []
        for column in answer.columns:
            pieces = wrap(cell(row[column]), max(20, width - names - 2), break_on_hyphens=False) or [""]
            lines.append(f"{column:<{names}}  {pieces[0]}")
            lines += [" " * (names + 2) + piece for piece in pieces[1:]]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks) + "\n"


def _foot(answer: Table) -> str:
    if not answer.full or len(answer.rows) == 1:
        return ""
    return f"the first {len(answer.rows)} rows; there may be more (--limit)\n"
