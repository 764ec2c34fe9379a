"""One user's way through concepts, on a real server: planted concepts, what classes share, questions about images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atlas.store.connection import Connection
from ingest.demo.planted_concepts import LAYERS, SHARED, directions, image_name, pixels, write_images
from tests.cli_runner import Cli

pytestmark = pytest.mark.server


def object_of(connection: Connection, concept: str) -> int:
    """The planted object whose direction a stored concept is."""
    ((vector,),) = connection.read("MATCH (c:Concept {id: $id}) RETURN c.vector", {"id": concept}).rows
    return int((directions() @ np.array(vector)).argmax())


def test_from_pictures_to_a_shared_concept_and_back(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = tmp_path / "images"
    write_images(data)
    cli.good(
        *("ingest", "--model", "ingest.demo.planted_concepts:concepts", "--data", data, "--quiet"),
        *("--layers", ",".join(LAYERS), "--methods", "gig", "--queries", 4, "--workers", 1),
        *("--set", "gig.steps=4", "--set", "gig.images_per_class=4"),
    )
    # The planted shared concept is found by this command alone.
    found = cli.good("shared", "a", "b", "--layer", LAYERS[0], "--json").document["rows"]
    assert object_of(connection, found[0]["concept"]) == SHARED
    rest = [row for row in found[1:] if row["support"] > 0.05]
    assert all(object_of(connection, row["concept"]) == SHARED for row in rest)
    matrix = cli.good("shared", "--matrix", "--layer", LAYERS[0], "-k", 20, "--json").document["rows"]
    strength = {(row["class_a"][-1], row["class_b"][-1]): row["strength"] for row in matrix}
    assert strength["a", "b"] > 5 * max(strength.get(("a", "c"), 0), strength.get(("b", "c"), 0))

    image = data / image_name(0)
    cell = pixels()[0].reshape(4, 2, 4, 2, 3).transpose(0, 2, 1, 3, 4).reshape(16, 12)
    ((row, column),) = [divmod(n, 4) for n in range(16) if cell[n].any() and cell[n].argmax() // 2 == SHARED]
    x, y = 2 * column + 1, 2 * row + 1
    summed = cli.good("decompose", image, "--layer", LAYERS[0], "--at", f"{x},{y}", "--json").document["rows"]
    assert object_of(connection, summed[0]["concept"]) == SHARED
    concept = summed[0]["concept"]
    drawn = cli.good("concept", concept, "--image", image, "-o", tmp_path / "shown.png", "--json").document
    (shown,) = drawn["rows"]
    assert (shown["x"], shown["y"]) == (x, y)
    with Image.open(shown["file"]) as picture:
        assert picture.format == "PNG"
    stored = connection.read(
        "MATCH (:Image)-[r:EXPRESSES {x: $x, y: $y, rank_out: 1}]->(c:Concept {id: $id}) RETURN count(r) AS n",
        {"x": x, "y": y, "id": concept},
    ).records()
    assert stored[0]["n"] >= 1
    for arguments in (
        ("--at", f"{x},{y}"),
        ("--crop", f"{x - 1},{y - 1},{x + 1},{y + 1}"),
    ):
        near = cli.good("search", "--image", image, *arguments, "--layer", LAYERS[0], "--json").document[
            "rows"
        ]
        assert object_of(connection, near[0]["concept"]) == SHARED

    new = tmp_path / "new.png"
    Image.fromarray(np.roll(pixels()[0], (2, 0), (0, 1))).save(new)
    answer = cli.good("circuit", new, "--method", "gig", "--json").document
    assert {edge["target"] for edge in answer["rows"] if "/block" not in edge["target"]} == {"images/a"}
    again = cli.good("circuit", new, "--method", "gig", "--json")
    assert again.document == answer
    assert "explaining" not in again.err
    cli.good("evaluate", "gig", "--queries", 2, "--pair", f"{LAYERS[0]}:{LAYERS[1]}")
    (kept,) = connection.read("MATCH (r:Run {method: 'evaluate-gig'}) RETURN r.parameters AS given").records()
    assert f"{LAYERS[0]}:{LAYERS[1]}" in kept["given"]
    assert "SOURCE:TARGET" in cli.refused("evaluate", "gig", "--pair", "here")
    assert "are for gig" in cli.refused("evaluate", "gcc", "--pair", f"{LAYERS[0]}:{LAYERS[1]}")
    assert "outside" in cli.refused("decompose", new, "--layer", LAYERS[0], "--at", "9,9")
