"""The table of torchvision's classifiers says what is found."""

from __future__ import annotations

import random

import pytest

from ingest import model_table

CHEAP = [
    "alexnet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11",
    "vit_b_32",
]


def test_the_page_names_every_classifier_of_torchvision() -> None:
    assert list(model_table.kept()) == model_table.names()
    assert sum("none:" not in line for line in model_table.kept().values()) >= 60


@pytest.mark.parametrize("model", random.Random(20261121).sample(CHEAP, 4))
def test_some_rows_are_what_is_found(model: str) -> None:
    assert model_table.kept()[model] == model_table.row(model).line


@pytest.mark.slow
def test_every_row_is_what_is_found() -> None:
    assert model_table.kept() == {name: model_table.row(name).line for name in model_table.names()}
