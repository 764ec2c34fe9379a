"""`atlas demo`: the whole story on real handwritten digits, by all four methods."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas import address
from atlas.cli import answers, console
from atlas.cli.answers import Quiet

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection

ROWS = 6


def demo(
    images: Annotated[int, typer.Option("--images", min=400, help="Validation images to draw.")] = 1200,
    quiet: Quiet = False,
) -> None:
    """The whole story on real handwritten digits: server, ingestion, what each method finds, and a report."""
    from atlas.cli import report
    from atlas.cli.build import build
    from atlas.store import bulk
    from atlas.store.settings import load_settings
    from ingest.demo.story import demo_spec, story_image

    began, settings = time.monotonic(), load_settings()
    home = settings.atlas_home
    if not bulk.cut(settings):
        with answers.database():
            console.note("Neo4j is up.")
    spec = demo_spec(home / "demo", images)
    console.answer(f"{images} canvases of two handwritten digits in {spec.data}")
    build(spec, quiet=quiet)
    with answers.database() as connection:
        image = story_image(spec.data)
        _tell(connection, image)
        page = report.write(connection, home / "report", quiet=quiet)
        _where_next(connection, image)
    console.answer(
        f"\nThe report, made in all {time.monotonic() - began:.0f} s after the start:\n  {page.as_uri()}"
    )


def _tell(connection: Connection, image: str) -> None:
    """One image, its class and a class that shares a digit with it, as each method sees them."""
    from atlas import lookup
    from atlas.cli import effects
    from atlas.cli.circuit import own_circuits
    from ingest.demo.story import sibling_of

    circuits = own_circuits(connection, {"image": image}, 5)
    known = lookup.run(connection, "image_by_id", {"image": image}).rows[0]
    name = address.parse_class(known["class"])[1]
    sibling = sibling_of(name)
    best = circuits.rows[0]["circuit"]

    def ask(title: str, command: str, query: str, **params: Any) -> None:
        _section(title, command, lookup.run(connection, query, {"limit": ROWS, **params}))

    _section(f"GCC: the circuits of {known['name']}", f"atlas circuit {image}", circuits)
    ask(f"GCC: the strongest edges of circuit {best}", f"atlas circuit {best}", "circuit_edges", circuit=best)
    _section(
        "GCC: its neurons set to zero, and others to compare",
        f"atlas ablate {best}",
        effects.ablation(connection, best),
    )
    ask(
        f"CLA: classes whose circuits are most like that of {name}",
        f"atlas circuit {name} --method cla",
        "classes_by_circuit_overlap",
        **{"class": name},
    )
    ask(
        f"GIG: concepts that {name} shares with its sibling {sibling}",
        f"atlas shared {name} {sibling}",
        "shared_concepts",
        classes=[name, sibling],
    )
    ask("PURE: neurons of several senses", "atlas splits", "polysemantic_neurons")


def _section(title: str, command: str, table: Table) -> None:
    answers.show(replace(table, full=False), heading=f"\n{title}\n  $ {command}\n")


def _where_next(connection: Connection, image: str) -> None:
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status

    status = server_status(load_settings())
    link = answers.browser_link(connection, "circuit_of_image", {"image": image})
    console.answer("\nWhere to go on")
    console.answer(f"  Neo4j Browser  {status.browser}")
    console.answer(f"  user           {status.user}, password in {status.password_file}")
    console.answer(f"  this circuit   {link}")
    console.answer(f"  a drawing      atlas view {image} -o circuit.html")
    console.answer("  questions      atlas query list")
    console.answer("  stop           atlas server stop")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)
