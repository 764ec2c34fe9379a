"""Known units: the ones a planted network is made of are found, others are not, and wrong lists are refused."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from atlas.errors import DataError, ModelError
from ingest.demo.network import SquareImage
from ingest.experiments.known_units import CAR, Unit, UnitsSpec, find_units, read_units
from ingest.models import ModelSpec


def planted() -> tuple[nn.Module, SquareImage]:
    """Channel 3 of ``second`` is made of channels 1 and 4 of ``first``, which see red and green."""
    first, second = nn.Conv2d(3, 6, 1, bias=False), nn.Conv2d(6, 5, 1, bias=False)
    with torch.no_grad():
        first.weight.fill_(0.01)
        second.weight.fill_(0.01)
        first.weight[1, 0] = first.weight[4, 1] = 1.0
        second.weight[3, [1, 4]] = 1.0
    net = nn.Sequential()
    net.add_module("first", nn.Sequential(first, nn.ReLU()))
    net.add_module("second", nn.Sequential(second, nn.ReLU()))
    net.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)))
    return net, SquareImage(6)


@pytest.fixture
def model(monkeypatch):
    module = ModuleType("planted_units")
    module.planted = planted
    monkeypatch.setitem(sys.modules, "planted_units", module)
    return ModelSpec("planted_units:planted")


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    root.mkdir()
    for n in range(3):
        Image.fromarray(rng.integers(100, 256, (6, 6, 3)).astype(np.uint8)).save(root / f"{n}.png")
    return root


def test_planted_units_are_found_and_others_are_not(model, images) -> None:
    expected = (Unit("first", 1, "red"), Unit("first", 4), Unit("second", 3), Unit("second", 0, "nothing"))
    rows = find_units(UnitsSpec(model, images, expected, k=2), lambda *_: None)
    assert [(row["unit"], row["found"], row["smallest_k"]) for row in rows][:3] == [
        (1, True, rows[0]["smallest_k"]),
        (4, True, rows[1]["smallest_k"]),
        (3, True, 1),
    ]
    assert {rows[0]["rank"], rows[1]["rank"]} == {1, 2}
    assert rows[3]["smallest_k"] != 1
    assert rows[0]["role"] == "red"


def test_images_to_set_them_against(model, images) -> None:
    spec = UnitsSpec(model, images, (Unit("first", 1), Unit("second", 3)), against=images, k=1)
    assert not any(row["found"] for row in find_units(spec, lambda *_: None))


def test_the_car_circuit_by_name() -> None:
    assert read_units("inceptionv1-car") == CAR
    assert {(unit.layer, unit.channel) for unit in CAR} == {
        ("mixed4b", 373),
        ("mixed4b", 237),
        ("mixed4b", 491),
        ("mixed4c", 447),
    }


def test_refusals(model, images, tmp_path) -> None:
    path = tmp_path / "units.json"
    for text, words in (('{"a": 1}', "not a list"), ('[{"layer": "first", "channel": 1}]', "one layer")):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_units(str(path))
    path.write_text(json.dumps([{"layer": "first", "channel": 99}, {"layer": "second", "channel": 0}]))
    with pytest.raises(DataError, match="no such channel"):
        find_units(UnitsSpec(model, images, read_units(str(path))), lambda *_: None)
    with pytest.raises(ModelError, match="no such layer"):
        find_units(UnitsSpec(model, images, CAR), lambda *_: None)
