"""`atlas view`: a circuit, or two and what they share, as an SVG or HTML file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas import address
from atlas.cli import answers, circuit, console
from atlas.cli.answers import OfModel
from atlas.errors import AddressError, AtlasError, QueryError

if TYPE_CHECKING:
    from atlas.figures import Part, Studio
    from atlas.store.connection import Connection


class Method(StrEnum):
    """Whose circuits are drawn."""

    gcc = "gcc"
    cla = "cla"
    gig = "gig"


def view(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="A circuit, image, class, neuron or concept; two, to compare them; or a query with a drawing "
            "and its arguments as name=value.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .svg or .html.")],
    method: Annotated[Method, typer.Option("--method", help="Whose circuits.")] = Method.gcc,
    traversal: Annotated[
        bool,
        typer.Option("--traversal", help="Images: from the data set's flow alone, even if exact is stored."),
    ] = False,
    of: OfModel = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Edges at most, the strongest.")] = None,
) -> None:
    """Draw a circuit, or two with what they share, as one file that needs no network."""
    form = output.suffix.lower()
    if form not in (".svg", ".html"):
        raise AtlasError("unknown format", where=output, expected=".svg or .html", got=form or "no suffix")
    from atlas.store.files import write_atomic
    from atlas.views import html, svg

    with answers.database() as connection:
        common = answers.given(model=of, limit=limit)
        parts = _parts(connection, what, method.value, common, traversal=traversal)
        drawing = studio(connection).draw(parts)
    write_atomic(output, html.document(drawing) if form == ".html" else svg.document(drawing))
    console.note(f"{len(drawing.vertices)} nodes and {len(drawing.arcs)} edges drawn")
    console.answer(str(output))


def studio(connection: Connection) -> Studio:
    """What drawings are made from, by the settings."""
    from atlas.figures import Places, Studio
    from atlas.store.settings import load_settings
    from atlas.store.status import server_status

    settings = load_settings()
    return Studio(connection, Places(server_status(settings).browser, settings.atlas_home / "media"))


def _is_query(text: str) -> bool:
    from atlas import catalogue

    return text in catalogue.load()


def _parts(
    connection: Connection, what: list[str], method: str, common: dict[str, Any], *, traversal: bool
) -> list[Part]:
    if _is_query(what[0]):
        pairs = [text.partition("=") for text in what[1:]]
        if any(not equals for _, equals, _ in pairs):
            raise QueryError("not an argument", where=what[0], expected="name=value", got=what[1:])
        given = {name: value for name, _, value in pairs}
        return [_part(connection, what[0], {**common, **given}, " ".join(what))]
    return [_thing(connection, text, method, common, traversal=traversal) for text in what]


def _thing(
    connection: Connection, text: str, method: str, common: dict[str, Any], *, traversal: bool
) -> Part:
    """The question that draws what the text names; a new image file is explained first."""
    from atlas import lookup
    from atlas.figures import ALWAYS, DRAWN, LIMIT

    kind, found = _named(connection, text)
    if kind == "circuit":
        method = lookup.run(connection, "circuit_by_id", {"circuit": found}).rows[0]["method"]
    if kind == "image":
        found = circuit.in_atlas(connection, text, found, exact=False, of=common.get("model"))
        exact = not traversal and circuit.held(connection, found)
        name = "traversal_circuit" if method == "gcc" and not exact else DRAWN.get((kind, method))
    else:
        name = DRAWN.get((kind, method)) or DRAWN.get((kind, ""))
    if name is None:
        raise QueryError(
            f"{method} has no drawing of a {kind}",
            where=text,
            expected=", ".join(f"{k} by {m}" for k, m in DRAWN if m) or None,
            got=f"{kind} by {method}",
        )
    method = ALWAYS.get(kind, method)
    limit = {"limit": LIMIT} if kind in ("circuit", "image", "class") else {}
    return _part(connection, name, {**limit, **common, kind: found}, text, method)


def _part(connection: Connection, name: str, given: dict[str, Any], called: str, method: str = "") -> Part:
    from atlas import catalogue, lookup
    from atlas.figures import Part

    query = catalogue.get(name)
    known = {parameter.name for parameter in query.parameters}
    # Limit and model are for those queries that take them; a wrong argument of the user's is refused.
    kept = {k: v for k, v in given.items() if k in known or k not in ("limit", "model")}
    return Part(called, name, lookup.complete(connection, query, kept), method)


def _named(connection: Connection, text: str) -> tuple[str, str]:
    """Kind and id of what a text names."""
    from atlas import resolve

    try:
        kind = address.parse(text).kind
    except AddressError:
        kind = ""
    if kind in ("Concept", "Sense"):
        return kind.lower(), resolve.address(connection, text)
    return circuit.named(connection, text)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(view)
