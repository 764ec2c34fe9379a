"""What neurons see: files made once (``--picture``), and thumbnails in the terminal (``--pictures``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas import address
from atlas.cli import answers, console
from atlas.errors import DataError

if TYPE_CHECKING:
    from atlas.store.connection import Connection

Pictures = Annotated[
    bool,
    typer.Option("--pictures", help="Show the images too, in blocks of colour; needs 24-bit colour."),
]
SHOWN = 12
MOST = 24
EACH = 4


def show(connection: Connection, things: Sequence[tuple[str, str]]) -> None:
    """Thumbnails of things (id, words below): an image's own, of a unit its best image's; a plain box without a file.

    On a terminal that has no 24-bit colour one line says so instead.
    """
    if not console.pictures():
        console.note(
            "no pictures: standard output is not a terminal with 24-bit colour (COLORTERM=truecolor tells that it is)"
        )
        return
    from atlas import lookup
    from atlas.cli.jobs import folders
    from atlas.views import blocks

    things = list(dict.fromkeys(things))[:MOST]
    units = list(dict.fromkeys(identity for identity, _ in things))
    if not units:
        return
    rows = lookup.run(connection, "top_images", {"units": units, "per": 1, "limit": len(units)}).rows
    media: Path = folders().media
    files = {row["unit"]: media / row["thumb"] for row in rows if row["thumb"]}
    thumbs = [blocks.Thumb(files.get(identity), words) for identity, words in things]
    console.answer("\n" + blocks.sheet(thumbs, answers.width()).rstrip("\n"))


def of_neuron(connection: Connection, neuron: str) -> Path:
    """Path of the picture of a neuron given by id.

    Raises StoreError without a complete run of activations, DataError if neither picture nor images are there.
    """
    from atlas import lookup
    from atlas.cli.jobs import complete_run, folders

    run = complete_run(connection, neuron.split("/")[0], "activations")
    media: Path = folders().media
    name = address.picture_name(run.id, neuron)
    if (media / name).is_file():
        return media / name
    rows = lookup.run(connection, "neuron_images", {"neuron": neuron, "limit": SHOWN}).rows
    if not rows:
        raise DataError("no image answers this neuron", where=neuron, got="an empty root list")
    from ingest.pictures.grids import Sight, neuron_grid, write_picture
    from ingest.plan import pick_device
    from ingest.reopen import reopen

    prepared, _ = reopen(folders().work, run.facts, pick_device("auto"))
    sights = [Sight(row["image"], row["x"], row["y"]) for row in rows]
    return write_picture(neuron_grid(prepared, neuron, sights), media, name)


def of_image(connection: Connection, image: str, model: str) -> tuple[Path, list[str]]:
    """Path of the picture of an image given by id, and the neurons shown: of each layer the one it ranks highest in.

    Raises StoreError without a complete run of activations, DataError if the image is typical of no neuron or gone.
    """
    from atlas import lookup
    from atlas.cli.jobs import complete_run, folders

    run = complete_run(connection, model, "activations")
    rows = lookup.run(connection, "image_neurons", {"image": image, "model": model, "limit": 100_000}).rows
    best: dict[str, str] = {}
    for row in rows:
        best.setdefault(row["layer"], row["neuron"])
    layers = lookup.run(connection, "layers", {"model": model, "limit": 1000}).rows
    neurons = [best[row["name"]] for row in layers if row["name"] in best]
    if not neurons:
        raise DataError("no neuron's list holds this image", where=image, got="an image typical of none")
    media: Path = folders().media
    name = address.picture_name(run.id, image)
    if not (media / name).is_file():
        from ingest.pictures.grids import image_strip, write_picture
        from ingest.plan import pick_device
        from ingest.reopen import reopen

        prepared, _ = reopen(folders().work, run.facts, pick_device("auto"))
        write_picture(image_strip(prepared, image, neurons), media, name)
    return media / name, neurons
