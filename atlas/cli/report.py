"""`atlas report DIR`: a static site of the atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atlas.cli import answers, console


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the report goes.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Write a report of the atlas: a static site that opens from the file system."""
    from atlas.cli.view import studio
    from atlas.report.build import build

    with answers.database() as connection, console.Progress(quiet=quiet) as progress:
        site = build(studio(connection), folder, progress)
    console.note(f"{len(site.written)} pages")
    console.answer(str(folder / "index.html"))


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(report)
