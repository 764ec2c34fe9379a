"""`atlas query` and `atlas cypher`: the catalogue, and a person's own read-only Cypher."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsCsv, AsJson, Browser
from atlas.errors import QueryError

queries = typer.Typer(help="The query catalogue: list, show, run.", no_args_is_help=True)
Params = Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Arguments of the query.")]


@queries.command("list")
def list_(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the questions one can ask."""
    from atlas import catalogue
    from atlas.lookup import Table

    rows = tuple(
        {"name": query.name, "summary": query.summary, "cost": query.cost, "drawing": query.drawing}
        for query in catalogue.load().values()
        if query.draws is None or as_json or as_csv
    )
    columns = ("name", "summary", "cost", "drawing") if as_json or as_csv else ("name", "summary")
    answers.show(Table("query list", {}, columns, rows), as_json=as_json, as_csv=as_csv)


@queries.command()
def show(name: Annotated[str, typer.Argument(help="Name of the query.")]) -> None:
    """Print a query file: its header and its Cypher, as it pastes into Neo4j Browser."""
    from atlas import catalogue

    console.answer(catalogue.get(name).path.read_text(encoding="utf-8").rstrip("\n"))


@queries.command()
def run(
    name: Annotated[str, typer.Argument(help="Name of the query.")],
    params: Params = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: answers.Limit = None,
    browser: Browser = False,
) -> None:
    """Run a query of the catalogue, e.g. `atlas query run neuron_images neuron=layer3.2/117`."""
    answers.lookup(
        name, {**pairs(params), **answers.given(limit=limit)}, as_json=as_json, as_csv=as_csv, browser=browser
    )


def cypher(
    text: Annotated[str, typer.Argument(help="A statement that only reads.")],
    params: Params = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows at most.")] = 1000,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds the server may take.")] = 30.0,
) -> None:
    """Run your own read-only Cypher; values may be JSON, e.g. `k=3` or `names='["a"]'`."""
    from atlas.lookup import table_of
    from atlas.store.guard import guarded_read

    values = {name: _literal(value) for name, value in pairs(params).items()}
    with answers.database() as connection:
        result = guarded_read(connection, text, values, timeout=timeout, limit=limit)
    table = table_of("cypher", values, result.columns, result.rows, result.milliseconds)
    answers.show(table, as_json=as_json, as_csv=as_csv)
    if result.truncated:
        console.note(f"the first {limit} rows; there are more (--limit)")


def pairs(params: list[str] | None) -> dict[str, str]:
    """``name=value`` arguments as a dict.

    Raises QueryError for another form.
    """
    found: dict[str, str] = {}
    for text in params or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise QueryError("not an argument", where=text, expected="name=value", got=repr(text))
        found[name] = value
    return found


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(queries, name="query")
    app.command()(cypher)
