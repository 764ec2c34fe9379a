"""`atlas circuit`: the circuits of an image, a class, a neuron, or one circuit by its id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas import address
from atlas.cli import answers, console
from atlas.cli.answers import AsJson, Browser, Limit, OfModel
from atlas.cli.picture import Pictures
from atlas.errors import AddressError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection

SHOWN = 15


class Method(StrEnum):
    """The methods whose circuits an atlas can hold now."""

    gcc = "gcc"
    cla = "cla"
    gig = "gig"


def circuit(
    query: Annotated[str, typer.Argument(help="An image (file, id, name), class, neuron or circuit.")],
    method: Annotated[Method, typer.Option("--method", help="Whose circuits.")] = Method.gcc,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compute the circuits of an image now if they are not stored.")
    ] = False,
    traversal: Annotated[
        bool,
        typer.Option("--traversal", help="Answer from the data set's flow alone, even if exact is stored."),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="Rank circuits by what they push: predicted, label, or A-B (two classes)."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Of CLA: the circuit by scores as they are, not set against others.")
    ] = False,
    senses: Annotated[
        bool,
        typer.Option(
            "--senses", help="With the sense in which the image takes each neuron; also of a sense."
        ),
    ] = False,
    pictures: Pictures = False,
    of: OfModel = None,
    as_json: AsJson = False,
    limit: Limit = None,
    browser: Browser = False,
) -> None:
    """The circuits of an image, a class or a neuron, or one circuit by its id."""
    if senses:
        from atlas.cli import senses as facets

        facets.circuit(query, of, as_json=as_json, limit=limit, browser=browser)
        return
    if method is Method.cla:
        from atlas.cli import class_circuit
        from atlas.cli.concept_circuit import Wish

        class_circuit.circuit(query, Wish(of, as_json, limit, browser), raw=raw)
        return
    if method is Method.gig:
        from atlas.cli import concept_circuit

        concept_circuit.circuit(query, concept_circuit.Wish(of, as_json, limit, browser))
        return
    with answers.database() as connection:
        kind, found = named(connection, query)
        if kind == "image":
            found = in_atlas(connection, query, found, exact=exact, of=of)
        if target is not None:
            from atlas.cli.effects import push

            answers.show(push(connection, kind, found, target, of, limit), as_json=as_json)
            return
        name, params = _question(connection, kind, found, traversal=traversal, of=of)
        if browser:
            console.answer(answers.browser_link(connection, name, params))
            return
        edges = _print(connection, kind, name, params, as_json=as_json, limit=limit)
        if pictures and not as_json:
            from atlas.cli import picture

            picture.show(connection, _ends(edges))


def _ends(edges: Table) -> list[tuple[str, str]]:
    """The nodes of a table of edges, each once, with their names."""
    ends = [row[name] for name in ("source", "target") for row in edges.rows if name in row]
    return [(end, end.partition("/")[2]) for end in dict.fromkeys(ends)]


def named(connection: Connection, text: str) -> tuple[str, str]:
    """What kind of thing the text names, and its id where it is in the atlas, else the text."""
    from atlas import resolve

    if re.fullmatch(r"c[0-9a-z]{11}", text):
        return "circuit", resolve.circuit(connection, text)
    if text.startswith("img:") or Path(text).is_file():
        try:
            return "image", resolve.image(connection, text)
        except AddressError:
            if not Path(text).is_file():
                raise
            return "image", text
    errors: list[AddressError] = []
    for kind, complete in (("class", resolve.class_), ("neuron", resolve.neuron), ("image", resolve.image)):
        try:
            return kind, complete(connection, text)
        except AddressError as error:
            errors.append(error)
    likely = 1 if "/" in text and re.search(r"/\d+$", text) else 2 if "." in text else 0
    raise errors[likely]


def in_atlas(connection: Connection, text: str, found: str, *, exact: bool, of: str | None) -> str:
    """The image's id; its exact circuits are computed and stored first where that is asked for or unavoidable."""
    new = not address.is_image_id(found)
    if new or (exact and not held(connection, found)):
        from atlas.cli.effects import explain

        return explain(connection, Path(text) if Path(text).is_file() else None, found, of)
    return found


def _question(
    connection: Connection, kind: str, found: str, *, traversal: bool, of: str | None
) -> tuple[str, dict[str, Any]]:
    """The catalogue's query that answers, and its arguments."""
    if kind != "image":
        names = {"circuit": "circuit_edges", "class": "circuits_of_class", "neuron": "neuron_circuits"}
        return names[kind], {kind: found}
    name = "circuit_of_image" if not traversal and held(connection, found) else "traversal_circuit"
    return name, {"image": found, **answers.given(model=of)}


def held(connection: Connection, image: str) -> bool:
    """Whether exact circuits of the image are stored."""
    from atlas import lookup

    return bool(lookup.run(connection, "image_circuits", {"image": image, "limit": 1}).rows)


def _print(
    connection: Connection, kind: str, name: str, params: dict[str, Any], *, as_json: bool, limit: int | None
) -> Table:
    """Print what there is to say of a thing's circuits; gives the table of edges, or of circuits."""
    from atlas import lookup

    if as_json:
        table = lookup.run(connection, name, {**params, **answers.given(limit=limit)}, draw=True)
        answers.show(table, as_json=True)
        return table
    headings = {
        "circuit_of_image": "\nexact circuits joined: the strongest edges",
        "traversal_circuit": "\nby traversal of the data set's flow: the strongest edges",
        "circuit_edges": "\nits strongest edges",
    }
    if kind == "image" and name == "circuit_of_image":
        circuits = own_circuits(connection, params, limit or 10)
        answers.show(circuits, heading="circuits of the image, the largest first")
    if kind == "circuit":
        answers.show(lookup.run(connection, "circuit_by_id", params))
        images = lookup.run(connection, "circuit_images", {**params, "limit": 5})
        answers.show(images, heading="\nimages most of its neurons hold in their root lists")
    edges = lookup.run(connection, name, {**params, "limit": limit or SHOWN})
    answers.show(edges, heading=headings.get(name))
    return edges


def own_circuits(connection: Connection, params: Mapping[str, Any], limit: int) -> Table:
    """The circuits of an image that no earlier one holds, the largest first."""
    from atlas import lookup

    found = lookup.run(connection, "image_circuits", {**params, "limit": 10_000})
    rows = [row for row in found.rows if row["merged_into"] is None]
    columns = tuple(c for c in found.columns if c not in ("model", "merged_into"))
    return replace(found, columns=columns, rows=tuple(rows[:limit]), full=len(rows) > limit)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(circuit)
