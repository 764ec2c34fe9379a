"""What neurons see: files made once (``--picture``), and thumbnails in the terminal (``--pictures``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas import address
from atlas.address import PICTURED_BY
from atlas.cli import answers, console
from atlas.cli.jobs import complete_run
from atlas.errors import DataError

if TYPE_CHECKING:
    from atlas.store.connection import Connection
    from ingest.job import Prepared
    from ingest.pictures.grids import Inputs

Pictures = Annotated[
    bool,
    typer.Option("--pictures", help="Show the images too, in blocks of colour; needs 24-bit colour."),
]
SHOWN = 12
MOST = 24
EACH = 4
BATCH = 100
ALL = 1_000_000
_VECTOR = "MATCH (c:Concept {id: $concept}) RETURN c.vector"


def show(connection: Connection, things: Sequence[tuple[str, str]], heading: str = "") -> bool:
    """Thumbnails of things (id, words below): an image's own, of a unit its best image's; a plain box without a file.

    On a terminal that has no 24-bit colour one line says so instead, and False is returned.
    """
    if not console.pictures():
        console.note(
            "no pictures: standard output is not a terminal with 24-bit colour (COLORTERM=truecolor tells that it is)"
        )
        return False
    from atlas import lookup
    from atlas.cli.jobs import folders
    from atlas.views import blocks

    things = list(dict.fromkeys(things))[:MOST]
    units = list(dict.fromkeys(identity for identity, _ in things))
    if not units:
        return True
    rows = lookup.run(connection, "top_images", {"units": units, "per": 1, "limit": len(units)}).rows
    media: Path = folders().media
    files = {row["unit"]: media / row["thumb"] for row in rows if row["thumb"]}
    thumbs = [blocks.Thumb(files.get(identity), words) for identity, words in things]
    console.answer(f"\n{heading}" if heading else "")
    console.answer(blocks.sheet(thumbs, answers.width()).rstrip("\n"))
    return True


class Easel:
    """Makes evidence pictures of units, each once; a model is opened when the first of its pictures is made."""

    def __init__(self, connection: Connection) -> None:
        from atlas.cli.jobs import folders
        from atlas.store.runs import COMPLETE, list_runs

        self._connection = connection
        self._runs = {(run.model, run.method): run for run in list_runs(connection) if run.status == COMPLETE}
        self._media: Path = folders().media
        self._opened: dict[str, tuple[Prepared, Inputs]] = {}

    def path(self, unit: str) -> Path:
        """Where the picture of a neuron, concept or sense stands, or will. Raises StoreError without its run."""
        model, method = unit.split("/")[0], PICTURED_BY[address.parse(unit).kind]
        run = self._runs.get((model, method)) or complete_run(self._connection, model, method)
        return self._media / address.picture_name(run.id, unit)

    def draw(self, unit: str, rows: Sequence[Mapping[str, Any]] | None = None) -> Path | None:
        """The picture of a unit, made if it is not there; ``rows`` are its images, if they are known already.

        None if no image answers it. Raises DataError if none of the images' files is there.
        """
        from ingest.pictures.grids import Sight, concept_grid, neuron_grid, write_picture

        path, kind = self.path(unit), address.parse(unit).kind
        if path.is_file():
            return path
        if rows is None:
            rows = self.images(kind, [unit])[unit]
        if not rows:
            return None
        prepared, inputs = self._open(unit.split("/")[0], PICTURED_BY[kind])
        sights = [Sight(row["image"], row["x"], row["y"]) for row in rows]
        if kind == "Concept":
            vector = self._connection.read(_VECTOR, {"concept": unit}).rows[0][0]
            made = concept_grid(prepared, unit, vector, sights, inputs)
        else:
            made = neuron_grid(prepared, unit, sights, inputs)
        return write_picture(made, self._media, str(path.relative_to(self._media)))

    def images(self, kind: str, units: Sequence[str]) -> dict[str, Sequence[Mapping[str, Any]]]:
        """The images that units of one kind answer best, and where."""
        from atlas import catalogue, lookup

        query = catalogue.get(f"{kind.lower()}_images")
        tables = lookup.ask_each(self._connection, query, kind.lower(), units, {"limit": SHOWN})
        return {unit: table.rows for unit, table in tables.items()}

    def _open(self, model: str, method: str) -> tuple[Prepared, Inputs]:
        from atlas.cli.jobs import folders
        from ingest.devices import pick_device
        from ingest.pictures.grids import Inputs
        from ingest.reopen import reopen_job

        run = self._runs[(model, method)]
        key = str(run.facts.get("job"))
        if key not in self._opened:
            prepared = reopen_job(folders().work, run.facts, pick_device("auto"))
            self._opened[key] = prepared, Inputs(prepared)
        return self._opened[key]


def of_unit(connection: Connection, unit: str) -> Path:
    """Path of the picture of a neuron, concept or sense given by id.

    Raises StoreError without a complete run of its method, DataError if neither picture nor images are there.
    """
    path = Easel(connection).draw(unit)
    if path is None:
        raise DataError("no image answers this unit", where=unit, got="an empty list")
    return path


def make_all(connection: Connection, model: str, *, quiet: bool) -> None:
    """The pictures of all units that circuits of a model name; those that are there already stay."""
    from atlas import lookup

    easel = Easel(connection)
    found = lookup.run(connection, "units_of_circuits", {"model": model, "limit": ALL}).rows
    todo = [row for row in found if not easel.path(row["unit"]).is_file()]
    made = 0
    with console.Progress(quiet=quiet) as progress:
        for kind in PICTURED_BY:
            units = [row["unit"] for row in todo if row["kind"] == kind]
            for start in range(0, len(units), BATCH):
                images = easel.images(kind, units[start : start + BATCH])
                for unit, rows in images.items():
                    easel.draw(unit, rows)
                    made += 1
                    progress("pictures", made, len(todo))
    console.note(f"{made:,} evidence pictures made, {len(found) - len(todo):,} there already")


def of_image(connection: Connection, image: str, model: str) -> tuple[Path, list[str]]:
    """Path of the picture of an image given by id, and the neurons shown: of each layer the one it ranks highest in.

    Raises StoreError without a complete run of activations, DataError if the image is typical of no neuron or gone.
    """
    from atlas import lookup
    from atlas.cli.jobs import folders

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
        from ingest.devices import pick_device
        from ingest.pictures.grids import image_strip, write_picture
        from ingest.reopen import reopen

        prepared, _ = reopen(folders().work, run.facts, pick_device("auto"))
        write_picture(image_strip(prepared, image, neurons), media, name)
    return media / name, neurons
