"""Experiments that need no database, from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest.demo import glyph
from tests.cli_runner import Cli

MODEL = ("--model", "ingest.demo.network:digit_pairs", "--checkpoint", glyph.WEIGHTS)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def test_defend_prints_one_document_and_refuses_clearly(cli: Cli, tmp_path: Path) -> None:
    world = tmp_path / "world"
    groups = glyph.write_glyph_world(world, images=40)
    both = ("--clean", world / "clean", "--attacked", world / "attacked", "--groups", groups)
    few = ("--layers", "layer4.*", "--scored", 4, "--draws", 1, "--sizes", "0.06")
    found = cli.good("defend", *MODEL, *both, *few, "--target", "0-1", "--json").document
    assert found["query"] == "defend"
    assert found["params"]["size"] == 0.06
    cuts = {(row["cut"], row["metric"]): row["value"] for row in found["rows"]}
    assert cuts["circuit", "attack_success"] < cuts["none", "attack_success"]
    assert "for no class" in cli.refused("defend", *MODEL, *both, "--target", "9-9")
    assert "finds no target" in cli.refused("defend", *MODEL, *both, "--target", "/for-(.*)/")
    assert "not shares" in cli.refused("defend", *MODEL, *both, "--target", "0-1", "--sizes", "2")


def test_catfish_and_units(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        (tmp_path / "source" / f"kind-{k}").mkdir(parents=True)
        for n in range(4):
            pixels = rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "source" / f"kind-{k}" / f"{n}.png")
    made = cli.good("catfish", tmp_path / "source", tmp_path / "out", "--bases", 3, "--each", 1)
    assert Path(made.out.strip()) == tmp_path / "out" / "val.json"
    assert "too few class folders" in cli.refused("catfish", tmp_path / "source", tmp_path / "more")
    images = ("--images", tmp_path / "source")
    refused = cli.refused("units", "--expect", "inceptionv1-car", *MODEL, *images)
    assert "no such layer" in refused
    assert "not a list of units" in cli.refused("units", "--expect", "nothing", *MODEL, *images)
