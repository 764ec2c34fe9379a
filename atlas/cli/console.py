"""The only place that writes to a terminal: answers on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TextIO

import typer

TRUE_COLOUR = ("xterm-kitty", "alacritty", "foot", "wezterm", "xterm-ghostty", "xterm-direct")


def answer(text: str) -> None:
    """Write an answer to standard output."""
    typer.echo(text)


def note(text: str) -> None:
    """Write one line about what is going on to standard error."""
    typer.echo(text, err=True)


def fail(text: str) -> None:
    """Write an error line to standard error, red on a terminal."""
    line = f"error: {text}"
    typer.echo(typer.style(line, fg=typer.colors.RED) if _colour(sys.stderr) else line, err=True)


def pictures() -> bool:
    """Whether standard output shows 24-bit colour: a terminal that says so, and no NO_COLOR."""
    return _colour(sys.stdout) and (
        os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
        or os.environ.get("TERM", "").startswith(TRUE_COLOUR)
    )


def _colour(stream: TextIO) -> bool:
    """Whether colour may be written: to a terminal that is not dumb, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """Progress of named stages on standard error, one tqdm bar at a time; silent when ``quiet``.

    Call it as ``progress(stage, done, total)``; a stage ends when another begins or the context does.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stage: str | None = None
        self._update: Callable[[int, int], None] | None = None
        self._close: Callable[[], object] | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._quiet:
            return
        if stage != self._stage:
            self._begin(stage, total)
        if self._update is not None:
            self._update(done, total)

    def _begin(self, stage: str, total: int) -> None:
        from tqdm import tqdm

        self._end()
        interval = 0.2 if sys.stderr.isatty() else 15.0
        bar = tqdm(total=total, desc=stage, file=sys.stderr, mininterval=interval, dynamic_ncols=True)

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(max(0, done - bar.n))

        self._stage, self._update, self._close = stage, update, bar.close

    def _end(self) -> None:
        if self._close is not None:
            with suppress(OSError):
                self._close()
        self._stage = self._update = self._close = None
