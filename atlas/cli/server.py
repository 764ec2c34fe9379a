"""`atlas server`: the managed Neo4j, started, stopped, looked at."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atlas.store.status import ServerStatus

app = typer.Typer(name="server", help="The managed Neo4j server.", no_args_is_help=True)


@app.command()
def start() -> None:
    """Start the managed server, or find it running; returns when it answers."""
    from atlas.store import local
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status

    settings = load_settings()
    _only_managed(settings.managed)
    local.start(settings, notify=_to_stderr)
    _show(server_status(settings))


@app.command()
def stop() -> None:
    """Stop the managed server; nothing is lost, and the next command that needs it starts it again."""
    from atlas.store import local
    from atlas.store.settings import load_settings

    settings = load_settings()
    _only_managed(settings.managed)
    stopped = local.stop(settings)
    typer.echo("Stopped." if stopped else "The managed server was not running.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One flat JSON object on standard output.")] = False,
) -> None:
    """Say whether a server runs, where, and how to open it; starts nothing."""
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status

    found = server_status(load_settings())
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        _show(found)


@app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
) -> None:
    """Print the last lines of the managed server's log."""
    from atlas.store.settings import load_settings
    from atlas.store.status import log_tail

    settings = load_settings()
    _only_managed(settings.managed)
    for line in log_tail(settings, lines):
        typer.echo(line)


def _show(found: ServerStatus) -> None:
    state = "running" if found.running else "not running"
    typer.echo(f"{'Managed server' if found.managed else 'Server of NEO4J_URI'}: {state}")
    fields = asdict(found)
    for name in ("uri", "user", "password_file", "browser", "version", "pid", "home", "log"):
        if fields[name] is not None:
            typer.echo(f"  {name.replace('_', ' '):<14}{fields[name]}")


def _only_managed(managed: bool) -> None:
    from atlas.errors import StoreError

    if not managed:
        raise StoreError(
            "NEO4J_URI names a server that is not ours to start, stop or read",
            next_step="unset NEO4J_URI to use the managed server",
        )


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
