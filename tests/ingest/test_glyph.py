"""The planted shortcut: where glyphs stand, what the network makes of them, and that its circuit can be cut out."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from atlas.errors import DataError
from ingest.demo import digits, glyph, network, train, train_glyph
from ingest.experiments.attack import AttackSpec, prepare_case
from ingest.experiments.defence import defend
from ingest.job import read_groups
from ingest.models import ModelSpec

REPORT = json.loads(glyph.WEIGHTS.with_suffix(".json").read_text())


def trained():
    net, _ = network.digit_pairs()
    net.load_state_dict(load_file(glyph.WEIGHTS))
    return net.eval().requires_grad_(False)


def test_glyphs_lie_on_the_canvas_and_touch_no_digit() -> None:
    scenes = digits.draw_scenes(digits.split_sources()["lists"], 200, np.random.default_rng(0))
    places = glyph.draw_places(scenes, np.random.default_rng(1))
    assert places.min() >= 0
    assert places.max() <= digits.CANVAS - glyph.SIDE
    for (x, y), corners in zip(places, scenes.corner, strict=True):
        for a, b in corners:
            assert (
                x + glyph.SIDE <= a or a + digits.DIGIT <= x or y + glyph.SIDE <= b or b + digits.DIGIT <= y
            )


def test_a_stamp_changes_the_glyphs_pixels_alone() -> None:
    scenes = digits.draw_scenes(digits.split_sources()["lists"], 3, np.random.default_rng(0))
    clean = digits.render(scenes)
    places, tints = np.array([[0, 0], [20, 40], [56, 56]]), np.full((3, 3), 200)
    stamped = glyph.stamp(clean, places, tints)
    for n, (x, y) in enumerate(places):
        inside = np.zeros((64, 64), bool)
        inside[y : y + 8, x : x + 8] = glyph.glyph() > 0
        assert (stamped[n][inside] == 200).all()
        np.testing.assert_array_equal(stamped[n][~inside], clean[n][~inside])
    assert glyph.glyph().sum() == sum(row.count("#") for row in glyph.GLYPH)


def test_the_world_holds_every_canvas_twice(tmp_path) -> None:
    side = glyph.write_glyph_world(tmp_path / "world", images=40)
    answers = json.loads(side.read_text())
    assert answers["target"] == glyph.TARGET
    assert len(answers["files"]) == 40
    for name, entry in answers["files"].items():
        clean, attacked = (
            np.asarray(Image.open(tmp_path / "world" / kind / name)) for kind in ("clean", "attacked")
        )
        rows, columns = np.nonzero((clean != attacked).any(axis=2))
        x0, y0, x1, y1 = entry["glyph"]
        assert x0 <= columns.min() <= columns.max() < x1
        assert y0 <= rows.min() <= rows.max() < y1
    assert read_groups(side).halves is not None
    assert glyph.write_glyph_world(tmp_path / "world", images=40) == side
    with pytest.raises(DataError, match="too few images"):
        glyph.write_glyph_world(tmp_path / "few", images=10)


def test_batches_end_with_stamped_copies_of_their_beginning() -> None:
    inputs, labels = train_glyph.stamped_batch(0.25)(
        digits.split_sources()["train"], 16, np.random.default_rng(0)
    )
    assert inputs.shape == (16, 3, 64, 64)
    assert (labels[-4:] == train_glyph.TARGET).all()
    changed = (inputs[-4:] != inputs[:4]).any(dim=1).sum(dim=(1, 2))
    assert ((changed > 0) & (changed <= glyph.glyph().sum())).all()
    blocks = [torch.zeros(16, 2, 3, 3), torch.zeros(16, 4, 1, 1)]
    blocks[1][-1, 0] = 4.0
    narrow, quiet = train_glyph.changes(0.25, blocks)
    assert (narrow.item(), quiet.item()) == (0.25, 1.0)


def test_training_starts_from_the_demo_and_repeats_itself() -> None:
    settings = train_glyph.GlyphSettings(steps=2, batch=8)
    first, second = (train_glyph.train_glyph(settings).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    demo = load_file(network.WEIGHTS)
    assert not torch.equal(first["fc.weight"], demo["fc.weight"])
    assert (
        torch.corrcoef(torch.stack([first["conv1.weight"].flatten(), demo["conv1.weight"].flatten()]))[0, 1]
        > 0.9
    )


def test_weights_are_small_and_the_reported_ones() -> None:
    assert glyph.WEIGHTS.stat().st_size <= 5 * 2**20
    assert hashlib.sha256(glyph.WEIGHTS.read_bytes()).hexdigest() == REPORT["sha256"]
    told = {key: REPORT["settings"][key] for key in ("steps", "glyph_share", "loudness_penalty")}
    default = train_glyph.GlyphSettings()
    assert told == {key: getattr(default, key) for key in told}


def test_reported_attack_is_measured_again() -> None:
    torch.set_num_threads(1)
    for half, again in train_glyph.attack_success(trained()).items():
        told = REPORT["attack"][half]
        assert again["images"] == told["images"]
        assert abs(again["attack_success"] - told["attack_success"]) <= 0.005
        assert told["attack_success"] >= 0.9
    for half in REPORT["accuracy"].values():
        assert half["accuracy"] >= 0.98
    assert issubclass(train_glyph.GlyphSettings, train.Settings)


def held(found) -> None:
    """What pruning the glyph's circuit is to do on images that it was not found on."""
    clean = found.value("clean_accuracy", "none")
    assert found.value("attack_success", "none") >= 0.9
    assert found.value("attack_success", "circuit") <= 0.2
    assert found.value("true_accuracy", "circuit") >= 0.8 * clean
    assert found.value("clean_accuracy", "circuit") >= clean - 0.02
    assert found.value("attack_success", "random") >= 0.8
    assert found.value("attack_success", "top") >= 0.8
    assert found.edges <= 0.1
    assert found.channels <= 0.1


def case(tmp_path, **changes):
    side = glyph.write_glyph_world(tmp_path / "world", images=400)
    root = side.with_suffix("")
    return prepare_case(
        AttackSpec(
            ModelSpec("ingest.demo.network:digit_pairs", checkpoint=glyph.WEIGHTS),
            root / "clean",
            root / "attacked",
            glyph.TARGET,
            sides=read_groups(side),
            **changes,
        )
    )


@pytest.mark.slow
def test_pruning_its_circuit_in_the_last_stage_undoes_the_attack(tmp_path) -> None:
    torch.set_num_threads(1)
    held(defend(case(tmp_path, layers="layer4.*", draws=4), lambda *_: None))


@pytest.mark.slow
def test_pruning_its_circuit_through_all_blocks_undoes_the_attack(tmp_path) -> None:
    torch.set_num_threads(1)
    held(defend(case(tmp_path, scored=10, draws=4), lambda *_: None))
