"""`atlas load` and `atlas runs`: what comes into the graph, and what is taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsCsv, AsJson, Browser, Limit, OfModel, Quiet

if TYPE_CHECKING:
    from atlas.spool import Spool
    from atlas.store.connection import Connection

runs_app = typer.Typer(invoke_without_command=True)


class Via(StrEnum):
    """The ways into the graph."""

    bolt = "bolt"
    offline = "import"


def load(
    spool: Annotated[Path, typer.Argument(help="A spool, or a folder of spools.")],
    via: Annotated[
        Via,
        typer.Option("--via", help="bolt, or import: the offline importer, into an empty managed server."),
    ] = Via.bolt,
    quiet: Quiet = False,
) -> None:
    """Load a spool into the graph. Twice is once, and a load that was cut goes on."""
    from atlas.spool import open_spools

    spools = open_spools(spool)
    if via is Via.offline:
        _import(spools, quiet=quiet)
        return
    with answers.database() as connection:
        load_all(spools, connection, quiet=quiet)


def fill(spools: Sequence[Spool], *, quiet: bool) -> None:
    """Spools into the graph: by import where very many rows go into an empty managed server, else over Bolt."""
    from atlas.store import bulk
    from atlas.store.settings import load_settings

    if bulk.fits(spools, load_settings()):
        console.note(
            "the database is empty: it is filled by Neo4j's offline importer, and starts again after"
        )
        _import(spools, quiet=quiet)
        return
    with answers.database() as connection:
        load_all(spools, connection, quiet=quiet)


def _import(spools: Sequence[Spool], *, quiet: bool) -> None:
    from atlas.store.bulk import import_spools
    from atlas.store.settings import load_settings

    with console.Progress(quiet=quiet) as progress:
        report = import_spools(spools, load_settings(), progress=progress)
    console.note(
        f"{sum(report.rows.values()):,} rows: CSV {report.csv_seconds:.1f} s, "
        f"import {report.import_seconds:.1f} s, indexes {report.index_seconds:.1f} s"
    )


def load_all(spools: Sequence[Spool], connection: Connection, *, quiet: bool) -> None:
    """Load spools in order and say what happened to each."""
    for spool in spools:
        _load_one(spool, connection, quiet=quiet)


def _load_one(spool: Spool, connection: Connection, *, quiet: bool) -> None:
    from atlas.store import loader

    # One bar for the whole spool: tables are many and most are short.
    total = sum(spool.rows(table.name) for table in spool.tables())
    loaded: dict[str, int] = {}
    with console.Progress(quiet=quiet) as progress:

        def step(table: str, done: int, rows: int) -> None:
            loaded[table] = done
            progress(f"load {spool.run.method}", sum(loaded.values()), total)

        report = loader.load(spool, connection, progress=step)
    if report.unchanged:
        console.note(f"{report.run} {spool.run.method}: in the graph already")
        return
    rows = sum(report.rows.values())
    replaced = f", in place of {', '.join(report.replaced)}" if report.replaced else ""
    console.note(f"{report.run} {spool.run.method}: {rows:,} rows in {report.seconds:.1f} s{replaced}")


@runs_app.callback()
def runs(
    context: typer.Context,
    of: OfModel = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Limit = None,
    browser: Browser = False,
) -> None:
    """List the runs in the atlas; `runs rm RUN` removes one."""
    if context.invoked_subcommand is None:
        values = answers.given(model=of, limit=limit)
        answers.lookup("runs", values, as_json=as_json, as_csv=as_csv, browser=browser)


@runs_app.command()
def rm(
    run: Annotated[str, typer.Argument(help="Id of the run, or its beginning.")],
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also the runs that build on it.")
    ] = False,
) -> None:
    """Remove what a run wrote, and nothing else."""
    from atlas import resolve
    from atlas.store import runs as stored

    with answers.database() as connection:
        removal = stored.remove(connection, resolve.run(connection, run), with_dependents=with_dependents)
    for removed in removal.runs:
        console.note(f"removed {removed}")
    console.note(f"{removal.nodes:,} nodes and {removal.relationships:,} relationships")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(load)
    app.add_typer(runs_app, name="runs")
