"""`atlas report DIR`: a static site of the atlas."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.answers import Quiet

if TYPE_CHECKING:
    from atlas.store.connection import Connection


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the report goes.")],
    quiet: Quiet = False,
) -> None:
    """Write a report of the atlas: a static site that opens from the file system."""
    with answers.database() as connection:
        console.answer(str(write(connection, folder, quiet=quiet)))


def write(connection: Connection, folder: Path, *, quiet: bool) -> Path:
    """Write the report, say how many pages in how long, and give the path of its first page."""
    from atlas.cli.view import studio
    from atlas.report.build import build

    began = time.monotonic()
    with console.Progress(quiet=quiet) as progress:
        site = build(studio(connection), folder, progress)
    console.note(f"report: {len(site.written):,} pages in {time.monotonic() - began:.1f} s")
    return folder / "index.html"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(report)
