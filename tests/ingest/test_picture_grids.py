"""Evidence pictures: cut around where a neuron looks, dimmed elsewhere, grey where a file is gone, always the same."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from atlas.address import picture_name
from atlas.errors import DataError
from ingest.images import scan_images
from ingest.layers import choose_layers
from ingest.pictures.grids import (
    GAP,
    GREY,
    KEPT,
    SIDE,
    Inputs,
    Sight,
    concept_grid,
    grid,
    image_strip,
    neuron_grid,
    position,
    square,
    tile,
    write_picture,
)
from ingest.segments import Trace


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What of a job a picture needs: a two-layer network, and two images with a bright square each."""
    root = tmp_path_factory.mktemp("data")
    for i, (x, y) in enumerate([(4, 4), (20, 12)]):
        pixels = np.full((32, 32, 3), 40 + i, np.uint8)
        pixels[y : y + 6, x : x + 6] = (250, 120, 30)
        Image.fromarray(pixels).save(root / f"{i}.png")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.LazyLinear(2),
        )
        module(torch.zeros(1, 3, 32, 32))
    trace = Trace(module.eval().requires_grad_(False), (3, 32, 32))
    model = SimpleNamespace(
        name="net",
        trace=trace,
        transform=lambda image: torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255,
    )
    layers = choose_layers(model, "2")  # type: ignore[arg-type]
    spec = SimpleNamespace(model=SimpleNamespace(device="cpu"), gig=SimpleNamespace(space="post"))
    return SimpleNamespace(images=scan_images(root), model=model, layers=layers, spec=spec)


def sights(prepared: Any) -> list[Sight]:
    ids = {image.path: image.id for image in prepared.images.images}
    return [Sight(ids["0.png"], 7.0, 7.0), Sight(ids["1.png"], 23.0, 15.0)]


def test_a_grid_is_the_same_every_time_and_holds_each_image(prepared: Any) -> None:
    first, second = (neuron_grid(prepared, "net@0123abcd/2/1", sights(prepared)) for _ in range(2))
    assert first.size == (2 * SIDE + GAP, SIDE)
    assert first.tobytes() == second.tobytes()
    # Cut to a dozen pixels around the square, whose colour fills the middle of each tile.
    for i in range(2):
        red, _, blue = first.getpixel((i * (SIDE + GAP) + SIDE // 2, SIDE // 2))
        assert red > 2 * blue


def test_a_missing_file_is_a_grey_tile_and_none_is_an_error(prepared: Any) -> None:
    gone = Sight("img:0000000000000000", 3.0, 3.0)
    picture = neuron_grid(prepared, "net@0123abcd/2/1", [sights(prepared)[0], gone])
    assert picture.getpixel((SIDE + GAP + 5, 5)) == GREY
    with pytest.raises(DataError, match="none of the images is there"):
        neuron_grid(prepared, "net@0123abcd/2/1", [gone])


def test_a_direction_along_one_channel_is_that_neuron(prepared: Any) -> None:
    along = np.zeros(4)
    along[1] = 1.0
    concept = concept_grid(prepared, "net@0123abcd/2/c0", along.tolist(), sights(prepared))
    neuron = neuron_grid(prepared, "net@0123abcd/2/1", sights(prepared), Inputs(prepared))
    assert concept.tobytes() == neuron.tobytes()
    other = concept_grid(prepared, "net@0123abcd/2/c0", [0.5, -0.5, 0.5, 0.5], sights(prepared))
    assert other.tobytes() != neuron.tobytes()


def test_inputs_stay_at_hand_up_to_a_number(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pictures.grids.KEPT", 2)
    inputs, (first, second) = Inputs(prepared), (sight.image for sight in sights(prepared))
    assert inputs(first) is inputs(first)
    assert inputs("img:0000000000000000") is None
    held = inputs(first)
    assert held is not None
    inputs(second)
    again = inputs(first)
    assert again is not None
    assert torch.equal(again, held)
    assert KEPT > 2


def test_positions_are_the_cells_of_their_centres(prepared: Any) -> None:
    layer = prepared.layers[0]
    assert layer.grid == (16, 16)
    for row, column in ((0, 0), (3, 7), (15, 15)):
        centre = Sight("img:0", (column + 0.5) * 2, (row + 0.5) * 2)
        assert position(layer, centre, (32, 32)) == row * 16 + column


def test_squares_hold_their_box_and_stay_within() -> None:
    assert square([4, 2, 9, 7], 32, 32) == (0, 0, 12, 12)
    assert square([0, 0, 32, 20], 32, 40) == (0, 0, 32, 32)
    assert square([28, 28, 32, 32], 32, 32) == (20, 20, 32, 32)
    assert square([0, 0, 64, 64], 32, 32) == (0, 0, 32, 32)


def test_what_a_neuron_does_not_see_is_dark() -> None:
    picture = np.ones((3, 16, 16), np.float32)
    picture[:, 0, 0] = 0
    field = np.zeros((16, 16), np.float32)
    field[2:6, 2:6] = 1
    shown = np.asarray(tile(picture, field, [0, 0, 16, 16])).astype(int)
    seen, unseen = shown[SIDE // 4, SIDE // 4].mean(), shown[-8, -8].mean()
    assert seen > 250
    assert unseen < 90


def test_pictures_are_named_by_what_they_show(tmp_path: Path) -> None:
    name = picture_name("r0000000001", "net@0123abcd/a/1")
    assert (
        name
        == picture_name("r0000000001", "net@0123abcd/a/1")
        != picture_name("r0000000002", "net@0123abcd/a/1")
    )
    path = write_picture(grid([Image.new("RGB", (SIDE, SIDE), GREY)] * 5), tmp_path, name)
    with Image.open(io.BytesIO(path.read_bytes())) as read:
        assert read.size == (4 * SIDE + 3 * GAP, 2 * SIDE + GAP)


def test_an_image_is_shown_whole_and_then_as_neurons_see_it(prepared: Any) -> None:
    own = sights(prepared)[0].image
    shown = image_strip(prepared, own, ["net@0123abcd/2/1", "net@0123abcd/2/2"])
    assert shown.size == (3 * SIDE + 2 * GAP, SIDE)
    whole = np.asarray(shown)[:, :SIDE].astype(int)
    # The square lies at (4, 4) of 32 pixels, six wide, and nothing is dimmed.
    assert whole[SIDE * 7 // 32, SIDE * 7 // 32, 0] > 220
    with pytest.raises(DataError, match="not there"):
        image_strip(prepared, "img:0000000000000000", ["net@0123abcd/2/1"])
