"""`atlas neuron A --picture` and `atlas image X --picture`: what neurons see; made once, then found again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atlas import address
from atlas.errors import DataError

if TYPE_CHECKING:
    from atlas.store.connection import Connection

SHOWN = 12


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
