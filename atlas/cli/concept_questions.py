"""Questions about concepts that run the model again: one place of an image, one image, where a concept shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlas import address
from atlas.cli import console
from atlas.cli.jobs import opened
from atlas.errors import AddressError, DataError

if TYPE_CHECKING:
    from atlas.cli.concept_circuit import Wish
    from atlas.lookup import Table
    from atlas.store.connection import Connection
    from ingest.concept_desk import AskedImage, ConceptDesk

NEAREST = 10


@dataclass(frozen=True)
class Example:
    """What to search by: an image, a layer (the last with concepts if None), a model, and a place or a part or none."""

    image: str
    layer: str | None
    of: str | None
    place: Sequence[float]


def decompose(
    connection: Connection, image: str, layer: str, place: Sequence[float], device: str
) -> tuple[Table, Table]:
    """The strongest concepts of one place, stored, and the nearest directions."""
    from atlas import lookup, resolve
    from atlas.cli.jobs import folders
    from atlas.lookup import Table
    from ingest.concept_answers import SHOWN, keep_sum

    layer_id = resolve.layer(connection, layer)
    model = str(address.parse(layer_id).root)
    desk, run, asked = _asked(connection, model, image, device)
    x, y = place
    found = desk.sum(asked, desk.spot(desk.ordinal(address.parse(layer_id).layer), x, y))
    _load(connection, keep_sum(desk, asked, found, run, folders()))
    rows = tuple(
        {"concept": concept, "u": u, "x": found.spot.x, "y": found.spot.y, "rank": rank}
        for rank, (concept, u) in enumerate(found.concepts[:SHOWN], start=1)
    )
    params = {"image": asked.id, "layer": layer_id, "at": list(place), "rel_l2": found.error}
    near = lookup.run(
        connection,
        "nearest_concepts",
        {"vector": found.direction.tolist(), "layer": layer_id, "limit": NEAREST},
    )
    return Table("decompose", params, ("concept", "u", "x", "y", "rank"), rows), near


def direction(connection: Connection, example: Example, device: str) -> tuple[list[float], str]:
    """The direction of an example in a layer, and the layer's id."""
    from atlas import resolve

    layer_id = None if example.layer is None else resolve.layer(connection, example.layer)
    model = resolve.model(connection, example.of) if layer_id is None else str(address.parse(layer_id).root)
    desk, _, asked = _asked(connection, model, example.image, device)
    last = len(desk.stage.dictionaries) - 1
    ordinal = last if layer_id is None else desk.ordinal(address.parse(layer_id).layer)
    layer = desk.stage.dictionaries[ordinal].space.layer
    vector = desk.direction(asked, ordinal, example.place)
    return [float(value) for value in vector], desk.prepared.subject.layer_id(layer)


def draw(connection: Connection, concept: str, image: str, output: Path | None, device: str) -> Table:
    """A picture of where a concept shows on an image; its path is in the answer."""
    from atlas import resolve
    from atlas.cli.jobs import folders
    from atlas.lookup import Table
    from ingest import concept_answers

    concept_id = resolve.concept(connection, concept)
    desk, _, asked = _asked(connection, concept_id.partition("/")[0], image, device)
    name = f"{asked.id.removeprefix('img:')}-{concept_id.partition('/')[2].replace('/', '-')}.png"
    path = output or Path(folders().media) / "concepts" / name
    found = concept_answers.draw(desk, asked, concept_id, path)
    if found is None:
        raise DataError(
            "the concept does not show on this image",
            where=concept_id,
            expected="a coefficient somewhere on it",
            got="none",
            next_step=f"`atlas query run concepts_of_image image={asked.id}` lists those that do",
        )
    u, x, y = found
    row = {"concept": concept_id, "image": asked.id, "u": u, "x": x, "y": y, "file": str(path.absolute())}
    return Table("concept_map", {"concept": concept_id, "image": asked.id}, tuple(row), (row,))


def explain(connection: Connection, file: Path | None, found: str, wish: Wish) -> str:
    """Compute and store one image explained in concepts; gives its id."""
    from atlas import resolve
    from atlas.cli.jobs import folders
    from ingest import concept_answers

    model = resolve.model(connection, wish.of)
    desk, run, asked = _asked(connection, model, found if file is None else str(file), wish.device)
    console.note(f"explaining {asked.file.name} in concepts of the data set")
    _load(connection, concept_answers.explain(desk, asked, run, folders()))
    return asked.id


def _asked(
    connection: Connection, model: str, image: str, device: str
) -> tuple[ConceptDesk, str, AskedImage]:
    """The desk of the model's GIG run, the run's id, and the image: of the atlas, or a file it has never seen."""
    from atlas import resolve
    from ingest.concept_desk import ConceptDesk

    file = Path(image) if Path(image).is_file() else None
    try:
        known = resolve.image(connection, image)
    except AddressError:
        if file is None:
            raise
        known = None
    job, run = opened(connection, model, "gig", device)
    desk = ConceptDesk(job)
    if known is not None and file is None:
        return desk, run.id, desk.ask(known, None)
    return desk, run.id, desk.ask(None, file)


def _load(connection: Connection, spool: Path) -> None:
    from atlas.spool import Spool
    from atlas.store import loader

    loader.load(Spool.open(spool), connection)
