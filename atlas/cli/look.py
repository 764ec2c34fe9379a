"""Lookups: what is in the atlas, and one thing with its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas.cli import answers
from atlas.cli.answers import AsCsv, AsJson, Browser, Limit, OfModel
from atlas.cli.jobs import ImageSize, square
from atlas.cli.picture import Pictures

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection


def models(
    as_json: AsJson = False, as_csv: AsCsv = False, limit: Limit = None, browser: Browser = False
) -> None:
    """List the models in the atlas."""
    answers.lookup("models", answers.given(limit=limit), as_json=as_json, as_csv=as_csv, browser=browser)


def classes(
    as_json: AsJson = False, as_csv: AsCsv = False, limit: Limit = None, browser: Browser = False
) -> None:
    """List the classes in the atlas."""
    answers.lookup("classes", answers.given(limit=limit), as_json=as_json, as_csv=as_csv, browser=browser)


def layers(
    of: OfModel = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A model that is not in the atlas, as `atlas ingest` takes it."),
    ] = None,
    globs: Annotated[
        str | None, typer.Option("--layers", help="With --model: comma-separated globs on traced names.")
    ] = None,
    image_size: ImageSize = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Limit = None,
    browser: Browser = False,
) -> None:
    """List the layers of a model in the atlas or, with --model, those an ingestion would take."""
    if model is None:
        values = answers.given(model=of, limit=limit)
        answers.lookup("layers", values, as_json=as_json, as_csv=as_csv, browser=browser)
        return
    from atlas.lookup import Table
    from ingest.layers import choose_layers
    from ingest.models import ModelSpec, load_model

    weights = None if ":" in model else "random"
    chosen = choose_layers(load_model(ModelSpec(model, weights, image_size=square(image_size))), globs)
    columns = ("layer", "kind", "channels", "positions", "unit")
    rows = tuple(
        {"layer": s.name, "kind": s.kind, "channels": s.channels, "positions": s.positions, "unit": s.unit}
        for s in chosen[:limit]
    )
    answers.show(Table("layers", {"model": model}, columns, rows), as_json=as_json, as_csv=as_csv)


def neuron(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="e.g. layer3.2/117")],
    as_json: AsJson = False,
    limit: Limit = None,
    browser: Browser = False,
    picture: Annotated[
        bool,
        typer.Option("--picture", help="Print the path of a picture: its best images, cut to what it sees."),
    ] = False,
    pictures: Pictures = False,
) -> None:
    """One neuron: its statistics, what it flows to and from, its classes, images and circuits."""
    if picture:
        from atlas import resolve
        from atlas.cli import console
        from atlas.cli import picture as made

        with answers.database() as connection:
            console.answer(str(made.of_unit(connection, resolve.neuron(connection, address))))
        return
    parts = {
        "flow, both ways": ("neuron_edges", {"limit": limit or 10}),
        "classes it tells apart": ("neuron_classes", {"limit": limit or 5}),
        "images it answers most": ("neuron_images", {"limit": limit or 5}),
        "circuits it is part of": ("neuron_circuits", {"limit": limit or 5}),
    }
    _thing(
        "neuron_by_address",
        {"neuron": address},
        parts,
        as_json=as_json,
        browser=browser,
        drawn="neuron_edges",
        pictured="neuron_images" if pictures else None,
    )


def class_(
    name: Annotated[str, typer.Argument(help="Name or id of the class.")],
    as_json: AsJson = False,
    limit: Limit = None,
    browser: Browser = False,
    pictures: Pictures = False,
) -> None:
    """One class: the neurons that tell it apart, its circuits and images."""
    parts = {
        "its circuits": ("circuits_of_class", {"limit": limit or 10}),
        "its images": ("class_images", {"limit": limit or 5}),
    }
    _thing(
        "class_neurons",
        {"class": name},
        parts,
        as_json=as_json,
        browser=browser,
        limit=limit or 10,
        pictured="class_images" if pictures else None,
    )


def image(
    name: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A file, an image id, or a name in the data set.")
    ],
    as_json: AsJson = False,
    limit: Limit = None,
    browser: Browser = False,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture", help="Print the path of a picture: the image as one neuron of each layer sees it."
        ),
    ] = False,
    pictures: Pictures = False,
    of: OfModel = None,
) -> None:
    """One image: what the model says of it, the neurons it is typical of, its circuits, images like it."""
    if picture:
        from atlas import resolve
        from atlas.cli import console
        from atlas.cli import picture as made

        with answers.database() as connection:
            model = resolve.model(connection, of)
            path, neurons = made.of_image(connection, resolve.image(connection, name), model)
            console.note("the whole image, then as " + ", ".join(neurons) + " see it")
            console.answer(str(path))
        return
    parts = {
        "neurons it is typical of": ("image_neurons", {"limit": limit or 10}),
        "its circuits": ("image_circuits", {"limit": limit or 5}),
    }
    pictured = "image_by_id" if pictures else None
    _thing("image_by_id", {"image": name}, parts, as_json=as_json, browser=browser, pictured=pictured)


def _thing(
    name: str,
    params: Mapping[str, Any],
    parts: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    as_json: bool,
    browser: bool,
    drawn: str | None = None,
    limit: int | None = None,
    pictured: str | None = None,
) -> None:
    """One thing: its own table, then a table per heading; as JSON its own table and the drawing of ``drawn``.

    ``pictured`` is the query of those whose images are shown too.
    """
    from atlas import lookup

    with answers.database() as connection:
        if browser:
            from atlas.cli import console

            console.answer(answers.browser_link(connection, drawn or name, params))
            return
        table = lookup.run(connection, name, {**params, **answers.given(limit=limit)})
        # The completed arguments are passed on, so that an address is completed once.
        known = {key: table.params[key] for key in params}
        if as_json:
            graph = None if drawn is None else lookup.run(connection, drawn, known, draw=True).subgraph
            answers.show(replace(table, subgraph=graph), as_json=True)
            return
        answers.show(table)
        found = {name: table, **_parts(connection, known, parts)}
        if pictured is not None:
            from atlas.cli import picture

            picture.show(connection, [(row["image"], row["name"]) for row in found[pictured].rows])


def _parts(
    connection: Connection, known: Mapping[str, Any], parts: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, Table]:
    """A table per heading; all of them by their queries."""
    from atlas import lookup

    found = {}
    for heading, (query, options) in parts.items():
        found[query] = lookup.run(connection, query, {**known, **options})
        answers.show(found[query], heading=f"\n{heading}")
    return found


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (models, layers, classes, neuron, image):
        app.command()(command)
    app.command("class")(class_)
