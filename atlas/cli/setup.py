"""`atlas doctor` and `atlas demo`: is this set-up sound, and the whole story on real digits."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from atlas import address
from atlas.cli import answers, console
from atlas.cli.answers import AsJson

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection


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


def demo(
    images: Annotated[int, typer.Option("--images", min=400, help="Validation images to draw.")] = 1200,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """The whole story on real handwritten digits: server, ingestion, circuits, what is shared, an ablation."""
    from atlas.cli.build import build
    from atlas.store.settings import load_settings
    from ingest.demo.story import demo_spec, story_image

    home = load_settings().atlas_home
    with answers.database():
        console.note("Neo4j is up.")
    spec = demo_spec(home / "demo", images)
    console.answer(f"{images} canvases of two handwritten digits in {spec.data}")
    build(spec, quiet=quiet)
    with answers.database() as connection:
        _tell(connection, story_image(spec.data))


def _tell(connection: Connection, image: str) -> None:
    """A circuit of one image, what its class shares with a sibling, an ablation, and where to go on."""
    from atlas import lookup
    from atlas.cli import effects
    from atlas.cli.circuit import own_circuits
    from ingest.demo.story import sibling_of

    circuits = own_circuits(connection, {"image": image}, 5)
    known = lookup.run(connection, "image_by_id", {"image": image}).rows[0]
    name = address.parse_class(known["class"])[1]
    _section(f"The circuits of {known['name']}", f"atlas circuit {image}", circuits)
    best = circuits.rows[0]["circuit"]
    edges = lookup.run(connection, "circuit_edges", {"circuit": best, "limit": 8})
    _section(f"The strongest edges of circuit {best}", f"atlas circuit {best}", edges)
    sibling = sibling_of(name)
    shared = lookup.run(
        connection, "neurons_shared_by_classes", {"class_a": name, "class_b": sibling, "limit": 8}
    )
    command = f"atlas query run neurons_shared_by_classes class_a={name} class_b={sibling}"
    _section(f"What {name} shares with its sibling {sibling}", command, shared)
    table = effects.ablation(connection, best)
    _section(
        f"Set the circuit's neurons to zero, and others to compare (circuit {best})",
        f"atlas ablate {best}",
        table,
    )
    _where_next(connection, image)


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
    console.answer("  questions      atlas query list")
    console.answer("  stop           atlas server stop")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(doctor)
    app.command()(demo)
