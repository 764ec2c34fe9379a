"""`atlas shared`, `concept`, `decompose` and `search`: what concepts are, where they show, what classes share."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsCsv, AsJson, Browser, Limit, OfModel
from atlas.cli.jobs import Device
from atlas.cli.picture import Pictures
from atlas.errors import QueryError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection

AtLayer = Annotated[str | None, typer.Option("--layer", help="A layer with a dictionary, e.g. layer3.2.")]
Top = Annotated[
    int | None, typer.Option("-k", min=1, help="Concepts of a layer that count for a class, the strongest.")
]
At = Annotated[
    str | None, typer.Option("--at", metavar="X,Y", help="A place, in pixels of the transformed input.")
]


def shared(
    classes: Annotated[
        list[str] | None, typer.Argument(metavar="CLASS…", help="Two classes or more.", show_default=False)
    ] = None,
    matrix: Annotated[bool, typer.Option("--matrix", help="All pairs of classes.")] = False,
    apart: Annotated[
        bool, typer.Option("--apart", help="What tells two classes apart, not what they share.")
    ] = False,
    layer: AtLayer = None,
    k: Top = None,
    of: OfModel = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Limit = None,
    browser: Browser = False,
) -> None:
    """The concepts that classes share, with their joint support, where each goes next and what it is built from."""
    names = classes or []
    if matrix == bool(names) or (not matrix and len(names) < 2) or (apart and len(names) != 2):
        raise typer.BadParameter("name two classes or more (two with --apart), or ask for --matrix")
    name = "shared_matrix" if matrix else "concepts_telling_apart" if apart else "shared_concepts"
    params: dict[str, Any] = answers.given(layer=layer, model=of, limit=limit)
    if apart:
        params |= {"class_a": names[0], "class_b": names[1]}
    else:
        params |= answers.given(k=k) | ({} if matrix else {"classes": names})
    if as_json or as_csv or browser or name != "shared_concepts":
        answers.lookup(name, params, as_json=as_json, as_csv=as_csv, browser=browser)
        return
    with answers.database() as connection:
        _shared(connection, params)


def _shared(connection: Connection, params: dict[str, Any]) -> None:
    from atlas import lookup

    found = lookup.run(connection, "shared_concepts", params)
    answers.show(_readable(found), heading="concepts that all of them share, by joint support")
    paths = {name: value for name, value in params.items() if name != "limit"} | {"each": 1}
    answers.show(
        lookup.run(connection, "shared_concept_paths", paths),
        heading="\nwhere each goes next, and what it is built from",
    )


def _readable(table: Table) -> Table:
    """Lists of numbers as text, for a table on a terminal."""
    rows = tuple(
        {
            name: " ".join(f"{v:.3g}" for v in value) if isinstance(value, list) else value
            for name, value in row.items()
        }
        for row in table.rows
    )
    return replace(table, rows=rows)


def concept(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="e.g. layer3.2/c42")],
    image: Annotated[
        str | None, typer.Option("--image", help="An image, by file, id or name: draw where it shows.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --image: where the picture goes.")
    ] = None,
    as_json: AsJson = False,
    limit: Limit = None,
    browser: Browser = False,
    picture: Annotated[
        bool,
        typer.Option("--picture", help="Print the path of a picture: its best images, cut to what it sees."),
    ] = False,
    pictures: Pictures = False,
    device: Device = "auto",
) -> None:
    """One concept: its classes, images, neurons, what it is built from and where it goes; or where it shows."""
    with answers.database() as connection:
        if image is not None:
            from atlas.cli.concept_questions import draw

            answers.show(draw(connection, address, image, output, device), as_json=as_json)
            return
        if picture:
            from atlas import resolve
            from atlas.cli.picture import of_unit

            console.answer(str(of_unit(connection, resolve.concept(connection, address))))
            return
        if browser:
            console.answer(answers.browser_link(connection, "concept_lineage_up", {"concept": address}))
            return
        _concept(connection, address, as_json=as_json, limit=limit, pictures=pictures)


def _concept(
    connection: Connection, address: str, *, as_json: bool, limit: int | None, pictures: bool
) -> None:
    from atlas import lookup

    table = lookup.run(connection, "concept_by_address", {"concept": address})
    known = {"concept": table.params["concept"]}
    if as_json:
        drawn = lookup.run(connection, "concept_lineage_up", known, draw=True).subgraph
        answers.show(replace(table, subgraph=drawn), as_json=True)
        return
    answers.show(table)
    parts = {
        "classes it contributes to": ("concept_classes", limit or 5),
        "images that show it best": ("concept_images", limit or 5),
        "neurons it loads on": ("concept_neurons", limit or 5),
        "what it is built from": ("concept_lineage_down", limit or 10),
        "where it goes": ("concept_lineage_up", limit or 10),
        "concepts of the same direction": ("nearest_concepts", limit or 5),
    }
    for heading, (query, rows) in parts.items():
        here = {"layer": table.rows[0]["layer"]} if query == "nearest_concepts" else {}
        found = lookup.run(connection, query, {**known, **here, "limit": rows})
        answers.show(replace(found, full=False), heading=f"\n{heading}")
        if pictures and query == "concept_images":
            from atlas.cli import picture

            picture.show(connection, [(row["image"], row["name"]) for row in found.rows])


def decompose(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A file, an image id, or a name.")],
    layer: Annotated[str, typer.Option("--layer", help="A layer with a dictionary, e.g. layer3.2.")],
    at: Annotated[
        str, typer.Option("--at", metavar="X,Y", help="Place, in pixels of the transformed input.")
    ],
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """One place of an image as a sum of concepts: the strongest with their coefficients, and the nearest directions."""
    with answers.database() as connection:
        from atlas.cli import concept_questions

        found, near = concept_questions.decompose(connection, image, layer, _numbers("--at", at, 2), device)
        answers.show(found, as_json=as_json, heading="the strongest concepts at this place")
        if not as_json:
            answers.show(replace(near, full=False), heading="\nthe nearest directions")


def search(
    text: Annotated[str | None, typer.Argument(help="Words of a name or label.", show_default=False)] = None,
    like: Annotated[str | None, typer.Option("--like", help="A concept, e.g. layer3.2/c42.")] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="An example: a file, an id, or a name.")
    ] = None,
    at: At = None,
    crop: Annotated[
        str | None, typer.Option("--crop", metavar="X0,Y0,X1,Y1", help="A part of the transformed input.")
    ] = None,
    layer: AtLayer = None,
    of: OfModel = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Limit = None,
    browser: Browser = False,
    device: Device = "auto",
) -> None:
    """Anything by its name or label, and concepts by example: another concept, an image, a place or a part of it."""
    examples = [way for way in (text, like, image) if way is not None]
    if len(examples) != 1 or (image is None and (at or crop)) or (at and crop):
        raise typer.BadParameter("give a text, --like, or --image with at most one of --at and --crop")
    if text is not None:
        words = re.sub(r'([-+&|!(){}\[\]^"~*?:\\/])', r"\\\1", text)
        params = answers.given(text=words, limit=limit)
        answers.lookup("things_by_text", params, as_json=as_json, as_csv=as_csv, browser=browser)
        return
    params = answers.given(concept=like, layer=layer, model=of, limit=limit)
    if image is not None:
        from atlas.cli import concept_questions

        place = _numbers("--at", at, 2) if at else _numbers("--crop", crop, 4) if crop else ()
        with answers.database() as connection:
            example = concept_questions.Example(image, layer, of, place)
            vector, at_layer = concept_questions.direction(connection, example, device)
        params |= {"vector": vector, "layer": at_layer}
    answers.lookup("nearest_concepts", params, as_json=as_json, as_csv=as_csv, browser=browser)


def _numbers(option: str, text: str, count: int) -> tuple[float, ...]:
    """``3,4`` as numbers. Raises QueryError if there are fewer or more than ``count``."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count:
        raise QueryError("bad place", where=option, expected=f"{count} numbers, as 12,34", got=repr(text))
    return found


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (shared, concept, decompose, search):
        app.command()(command)
