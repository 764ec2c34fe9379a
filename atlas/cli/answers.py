"""How a lookup is asked for and shown: the options every lookup has, and one way to render its table."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas.cli import console

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Rows at most.")]
Browser = Annotated[
    bool, typer.Option("--browser", help="Print a Neo4j Browser link with the query filled in.")
]
OfModel = Annotated[str | None, typer.Option("--of", help="Model, where the atlas holds several.")]


@contextmanager
def database(*, notify: bool = True) -> Iterator[Connection]:
    """The database of the settings, started when none runs; one line on standard error says so."""
    from atlas.api import open_atlas

    with open_atlas(notify=console.note if notify else None) as atlas:
        yield atlas.connection


def width() -> int:
    """Columns of the terminal; 80 where it is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else 80


def lookup(
    name: str,
    params: Mapping[str, Any],
    *,
    as_json: bool = False,
    as_csv: bool = False,
    browser: bool = False,
) -> None:
    """Ask a query of the catalogue and print its answer in the form asked for."""
    with database() as connection:
        if browser:
            console.answer(browser_link(connection, name, params))
            return
        from atlas import lookup as lookups

        show(lookups.run(connection, name, params, draw=as_json), as_json=as_json, as_csv=as_csv)


def show(table: Table, *, as_json: bool = False, as_csv: bool = False, heading: str | None = None) -> None:
    """Print a table as text, as one JSON document, or as CSV."""
    if as_json:
        from atlas.views import json as view

        console.answer(view.document(table).rstrip("\n"))
    elif as_csv:
        from atlas.views import csv

        console.answer(csv.document(table).rstrip("\n"))
    else:
        from atlas.views import text

        if heading:
            console.answer(heading)
        console.answer(text.table(shorten(table), width()).rstrip("\n"))


def shorten(table: Table) -> Table:
    """The table with the address root left out of every id, where all of them share one."""
    cells = [text for row in table.rows for value in row.values() for text in _texts(value)]
    roots = {text.split("/")[0] for text in cells if "@" in text.split("/")[0]}
    if len(roots) != 1:
        return table
    prefix = f"{roots.pop()}/"

    def short(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [short(item) for item in value]
        return value.removeprefix(prefix) if isinstance(value, str) else value

    return replace(
        table, rows=tuple({name: short(value) for name, value in row.items()} for row in table.rows)
    )


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    return [item for item in items if isinstance(item, str)]


def browser_link(connection: Connection, name: str, params: Mapping[str, Any]) -> str:
    """A Neo4j Browser link to a query, its drawing where it has one, with the arguments filled in."""
    from atlas import catalogue
    from atlas import lookup as lookups
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status
    from atlas.views import browser

    query = catalogue.get(name)
    values = lookups.complete(connection, query, params)
    drawn = query if query.drawing is None else catalogue.get(query.drawing)
    status = server_status(load_settings())
    base = status.browser or "http://localhost:7474/browser/"
    target = connection.target
    return browser.link(
        base, target.uri, target.user, browser.statement(drawn, values), database=target.database
    )


def given(**params: object) -> dict[str, object]:
    """The arguments that were given: all that are not None."""
    return {name: value for name, value in params.items() if value is not None}
