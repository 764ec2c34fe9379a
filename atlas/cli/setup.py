"""`atlas doctor`: is this set-up sound."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from atlas.cli import answers
from atlas.cli.answers import AsJson

if TYPE_CHECKING:
    pass


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with this set-up and what to do; exit 1 if something cannot work."""
    from atlas.doctor import examine
    from atlas.lookup import Table
    from atlas.store.settings import load_settings

    checks = examine(load_settings())
    columns = ("check", "state", "found", "next_step")
    answers.show(Table("doctor", {}, columns, tuple(asdict(check) for check in checks)), as_json=as_json)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)
