"""`atlas browser`: where Neo4j Browser is, and its style, favourites and guide for this atlas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli import answers, console

if TYPE_CHECKING:
    from atlas.examples import Examples
    from atlas.figures import Studio
    from atlas.views.guide import Step

FOREIGN = "http://localhost:7474/browser/"


def browser(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Where style, favourites and guide go; by default browser/ under ATLAS_HOME."),
    ] = None,
) -> None:
    """Say where Neo4j Browser is, and write its style, favourites and a guide to this atlas."""
    from atlas import catalogue, examples
    from atlas.cli.view import studio
    from atlas.store.files import write_atomic
    from atlas.store.settings import load_settings
    from atlas.views import favourites, grass, guide

    settings = load_settings()
    folder = folder or settings.atlas_home / "browser"
    with answers.database() as connection:
        room = studio(connection)
        found = examples.find(connection)
        where = room.places.browser or FOREIGN
        write_atomic(folder / "atlas.grass", grass.document())
        pack = favourites.pack(catalogue.load().values(), lambda query: examples.values(query, found))
        write_atomic(folder / "favourites.zip", pack)
        steps = _steps(room, found)
        write_atomic(folder / "guide.html", guide.document(where, grass.command(), steps))
        for line in _lines(room, folder, where, grass.command()):
            console.answer(line)


def _steps(room: Studio, found: Examples) -> list[Step]:
    from atlas import catalogue, examples
    from atlas.views import browser as links
    from atlas.views.guide import WALK, Step

    steps = []
    for heading, words, name in WALK:
        table = catalogue.load().get(name)
        if not found or table is None or examples.missing(table, found):
            continue
        drawing = catalogue.get(table.drawing or table.name)
        statement = links.statement(drawing, examples.values(drawing, found))
        steps.append(Step(heading, words, statement, room.link(statement)))
    return steps


def _lines(room: Studio, folder: Path, where: str, style: str) -> list[str]:
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status

    status = server_status(load_settings())
    password = status.password_file or "the one in NEO4J_PASSWORD"
    return [
        f"browser     {where}",
        f"user        {status.user}, password: {password}",
        f"style       drop {folder / 'atlas.grass'} on Browser's window",
        f"            or open this and press the triangle: {room.link(style)}",
        f"favourites  drop {folder / 'favourites.zip'} on Browser's window; they are under the star",
        f"guide       {(folder / 'guide.html').as_uri()}",
    ]


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(browser)
