"""Questions about concepts asked after ingestion, on a network whose concepts are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from atlas.errors import DataError
from atlas.spool import Spool
from ingest.concept_answers import draw, explain, keep_sum
from ingest.concept_desk import AskedImage, ConceptDesk
from ingest.demo.planted_concepts import N, P, S, directions, image_name, pixels

IMAGE = 0
"""An image of class a: p, s and the bystander."""


def asked(desk: ConceptDesk) -> AskedImage:
    images = desk.prepared.images.images
    (found,) = [image.id for image in images if image.path == image_name(IMAGE)]
    return desk.ask(found, None)


def objects(image: int) -> dict[int, tuple[float, float]]:
    """Object → the centre (x, y) of its cell, of the planted image."""
    found = {}
    canvas = pixels()[image].astype(int)
    for row in range(4):
        for column in range(4):
            cell = canvas[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(-1)
            if cell.any():
                found[int(cell.argmax()) // 2] = (2 * column + 1.0, 2 * row + 1.0)
    return found


def object_of(desk: ConceptDesk, concept: str) -> int:
    """The object whose direction a concept of the first layer is."""
    _, number = desk.find(concept)
    v = desk.stage.dictionaries[0].v[number].double().numpy()
    return int((directions() @ v).argmax())


def rows_of(spool: Path) -> dict[str, list[dict[str, Any]]]:
    opened = Spool.open(spool)
    return {
        table.name: [
            dict(zip([column.name for column in table.columns], row, strict=True))
            for batch in opened.batches(table)
            for row in batch
        ]
        for table in opened.tables()
    }


def test_a_place_is_the_sum_of_its_object(planted_job: Any) -> None:
    desk = planted_job.desk
    places = objects(IMAGE)
    assert set(places) == {P, S, N}
    for thing in (P, S):
        x, y = places[thing]
        found = desk.sum(asked(desk), desk.spot(0, x, y))
        assert (found.spot.x, found.spot.y) == (x, y)
        concept, u = found.concepts[0]
        assert object_of(desk, concept) == thing
        assert u > 0
        assert found.error < 0.5
        assert float(found.direction.norm()) == pytest.approx(1, abs=1e-5)
        assert directions()[thing] @ found.direction.double().numpy() > 0.99


def test_places_that_are_none(planted_job: Any) -> None:
    desk = planted_job.desk
    for x, y in ((-1, 0), (8, 0), (0, 8)):
        with pytest.raises(DataError, match="outside"):
            desk.spot(0, x, y)
    with pytest.raises(DataError, match="block1, block2"):
        desk.ordinal("block9")
    with pytest.raises(DataError, match="no such concept"):
        desk.find("net@00000000/block1/c0")
    with pytest.raises(DataError, match="empty part"):
        desk.direction(asked(desk), 0, (4, 4, 4, 6))


def test_examples_by_place_by_part_and_as_a_whole(planted_job: Any) -> None:
    desk, image = planted_job.desk, asked(planted_job.desk)
    x, y = objects(IMAGE)[S]
    at = desk.direction(image, 0, (x, y))
    part = desk.direction(image, 0, (x - 1, y - 1, x + 1, y + 1))
    torch.testing.assert_close(at, part)
    small = desk.direction(image, 0, (x - 0.2, y - 0.2, x - 0.1, y - 0.1))
    torch.testing.assert_close(at, small)
    whole = desk.direction(image, 0, ()).double().numpy()
    assert int((directions() @ whole).argmax()) in (P, S)


def test_where_a_concept_shows(planted_job: Any, tmp_path: Path) -> None:
    desk, image = planted_job.desk, asked(planted_job.desk)
    names = {object_of(desk, name): name for name in desk.names[0]}
    x, y = objects(IMAGE)[S]
    u, column, row = draw(desk, image, names[S], tmp_path / "s.png") or (0.0, 0.0, 0.0)
    assert (column, row) == (x, y)
    assert u > 0
    with Image.open(tmp_path / "s.png") as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    side = drawn.shape[0]
    # The hottest pixel of the middle and of the right panel lies in the object's cell.
    for panel in (1, 2):
        own = drawn[:, panel * (side + 8) : panel * (side + 8) + side]
        heat = np.abs(own - 0.8 * drawn[:, :side]).sum(2)
        top, left = np.unravel_index(heat.argmax(), heat.shape)
        assert abs(left * 8 / side - x) <= 1.5
        assert abs(top * 8 / side - y) <= 1.5
    absent = next(name for thing, name in names.items() if thing not in (P, S))
    assert draw(desk, image, absent, tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_a_place_is_kept_as_a_run_of_its_own(planted_job: Any) -> None:
    desk, image = planted_job.desk, asked(planted_job.desk)
    found = desk.sum(image, desk.spot(0, *objects(IMAGE)[P]))
    spool = keep_sum(desk, image, found, planted_job.run, planted_job.folders)
    tables = rows_of(spool)
    assert "Image" not in tables
    assert [row["end"] for row in tables["Image-EXPRESSES-Concept"]] == [c for c, _ in found.concepts[:5]]
    assert Spool.open(spool).run.requires == (planted_job.run,)
    again = keep_sum(desk, image, found, planted_job.run, planted_job.folders)
    assert again == spool
    assert rows_of(again) == tables


def test_a_new_image_is_explained(planted_job: Any, tmp_path: Path) -> None:
    desk = planted_job.desk
    canvas = np.roll(pixels()[IMAGE], (2, 0), (0, 1))
    Image.fromarray(canvas).save(tmp_path / "new.png")
    image = desk.ask(None, tmp_path / "new.png")
    assert image.row is None
    tables = rows_of(explain(desk, image, planted_job.run, planted_job.folders))
    assert [row["name"] for row in tables["Image"]] == ["new.png"]
    assert {row["end"] for row in tables["Concept-CONTRIBUTES_TO-Class"]} == {"images/a"}
    assert {row["scope"] for row in tables["Concept-CONTRIBUTES_TO-Concept"]} == {image.id}
    strong = {
        object_of(desk, row["start"])
        for row in tables["Concept-CONTRIBUTES_TO-Class"]
        if row["share"] > 0.1 and "/block1/" in row["start"]
    }
    assert strong == {P, S}
    started = {row["start"] for name in tables for row in tables[name] if "CONTRIBUTES_TO" in name}
    assert started <= {row["end"] for row in tables["Image-EXPRESSES-Concept"]}
    assert tables["ImageSet"][0]["kind"] == "image"
