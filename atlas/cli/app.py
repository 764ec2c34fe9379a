"""The Typer app: every command and sub-app, and the border where errors become one line and an exit code.

A command parses, calls one function, renders, exits. Exit 0 done, 1 a clear error, 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from atlas.cli import (
    ablate,
    ask,
    browser,
    build,
    catfish,
    circuit,
    concept_effect,
    concepts,
    console,
    defend,
    demo,
    embed,
    evaluate,
    load,
    look,
    report,
    senses,
    server,
    setup,
    units,
    view,
)
from atlas.errors import AtlasError

app = typer.Typer(
    name="atlas",
    help="Circuits of vision models as a graph one can query.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_DEBUG = "ATLAS_DEBUG"


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        console.answer(version("circuit-atlas"))
        raise typer.Exit


@app.callback()
def _globals(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"


app.add_typer(server.app, name="server", help="The managed Neo4j server.")
for module in (
    build,
    load,
    look,
    circuit,
    concepts,
    view,
    report,
    browser,
    ask,
    ablate,
    defend,
    catfish,
    concept_effect,
    units,
    embed,
    evaluate,
    senses,
    setup,
    demo,
):
    module.register(app)


def main() -> None:
    """Run the CLI; no traceback reaches a user unless ``--debug`` asks for it."""
    try:
        app()
    except AtlasError as error:
        if os.environ.get(_DEBUG):
            raise
        console.fail(error.line())
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        console.fail("interrupted; what was done is kept, and the same command goes on from there")
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        console.fail(
            f"{type(error).__name__}: {' '.join(str(error).split())} (a defect; `atlas --debug` shows where)"
        )
        sys.exit(1)
