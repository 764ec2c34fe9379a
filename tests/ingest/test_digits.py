"""The digit-pair world: the known answers hold, nothing but the class tells the class, bytes never change."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

from atlas.errors import DataError
from ingest.demo import digits


@pytest.fixture(scope="module")
def scenes() -> digits.Scenes:
    return digits.draw_scenes(digits.split_sources()["lists"], 6000, np.random.default_rng(3))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "digits"
    digits.write_dataset(root, images=120, seed=5)
    return root


def test_twenty_pairs_hold_each_digit_four_times() -> None:
    assert len(set(digits.PAIRS)) == 20
    assert all(a < b for a, b in digits.PAIRS)
    assert Counter(d for pair in digits.PAIRS for d in pair) == dict.fromkeys(range(10), 4)
    assert list(digits.CLASSES) == sorted(digits.CLASSES)


def test_ink_is_the_bilinear_magnification() -> None:
    small = load_digits().images
    position = np.clip((np.arange(24) + 0.5) / 3 - 0.5, 0, 7)
    low = np.minimum(position.astype(int), 6)
    part = position - low
    rows = small[:, low] * (1 - part)[None, :, None] + small[:, low + 1] * part[None, :, None]
    literal = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    np.testing.assert_allclose(digits.ink(), 9 * literal, atol=1e-9)


def test_no_source_digit_is_in_two_splits() -> None:
    splits = digits.split_sources()
    every = np.concatenate([own for split in splits.values() for own in split])
    assert sorted(every.tolist()) == list(range(1797))
    target = load_digits().target
    assert all((target[own] == d).all() for split in splits.values() for d, own in enumerate(split))
    assert len(np.concatenate(splits["train"])) > len(every) / 2
    assert min(len(own) for split in splits.values() for own in split) >= 28


def test_scenes_hold_the_digits_of_their_class(scenes: digits.Scenes) -> None:
    target = load_digits().target
    assert (target[scenes.source] == np.array(digits.PAIRS)[scenes.label]).all()
    assert (np.abs(scenes.corner[:, 0] - scenes.corner[:, 1]).max(axis=1) >= digits.DIGIT).all()
    assert scenes.corner.min() >= 0
    assert scenes.corner.max() <= digits.CANVAS - digits.DIGIT


def test_position_and_tint_do_not_tell_the_class(scenes: digits.Scenes) -> None:
    appearance = np.concatenate(
        [scenes.corner.reshape(-1, 4), scenes.tint.reshape(-1, 6), scenes.background], axis=1
    )
    p = [stats.kruskal(*(v[scenes.label == c] for c in range(20))).pvalue for v in appearance.T]
    assert min(p) > 0.01 / len(p)
    # Which of the two digits stands left, or above, must not tell their order either.
    for axis in (0, 1):
        difference = scenes.corner[:, 0, axis] - scenes.corner[:, 1, axis]
        assert stats.wilcoxon(difference).pvalue > 0.01


def test_the_independence_test_sees_a_dependence(scenes: digits.Scenes) -> None:
    moved = scenes.corner[:, 0, 0] + scenes.label // 4
    assert stats.kruskal(*(moved[scenes.label == c] for c in range(20))).pvalue < 1e-6


def test_render_is_the_literal_mixture() -> None:
    scenes = digits.draw_scenes(digits.split_sources()["judging"], 3, np.random.default_rng(1))
    canvas = digits.render(scenes)
    small = digits.ink()
    for i in range(3):
        literal = np.broadcast_to(scenes.background[i], (64, 64, 3)).astype(float).copy()
        for side in (0, 1):
            x, y = scenes.corner[i, side]
            alpha = small[scenes.source[i, side]][:, :, None] / digits.INK
            literal[y : y + 24, x : x + 24] = (1 - alpha) * scenes.background[i] + alpha * scenes.tint[
                i, side
            ]
        assert np.abs(canvas[i] - literal).max() <= 0.5 + 1e-9


def test_png_is_read_back_by_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(digits.png(pixels))) as image:
        image.load()
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels)
    with pytest.raises(DataError, match="too large"):
        digits.png(np.zeros((200, 200, 3), dtype=np.uint8))


def test_bytes_of_the_world_never_change(dataset: Path) -> None:
    digest = hashlib.sha256()
    for path in sorted(dataset.rglob("*.png")):
        digest.update(path.relative_to(dataset).as_posix().encode() + path.read_bytes())
    assert digest.hexdigest() == "b0cf8ecfa093add6ae786987e049f536c7113093be23321359ca835b5e5ca78b"


def test_answers_beside_the_folder_match_the_pictures(dataset: Path) -> None:
    answers = digits.read_answers(digits.side_file(dataset))
    files = {p.relative_to(dataset).as_posix() for p in dataset.rglob("*") if p.is_file()}
    assert files == set(answers)
    assert {p.name for p in dataset.iterdir()} == set(digits.CLASSES)
    for name, answer in answers.items():
        assert name.startswith(f"{answer['digits'][0]}-{answer['digits'][1]}/{answer['half']}-")
        with Image.open(dataset / name) as image:
            pixels = np.asarray(image).astype(int)
        masks = digits.digit_masks(answer)
        background = np.abs(pixels - answer["background"]).max(axis=2) == 0
        assert background[~masks.any(axis=0)].all()
        assert not (masks[0] & masks[1]).any()
        for mask, (x0, y0, x1, y1) in zip(masks, answer["boxes"], strict=True):
            assert mask.sum() == mask[y0:y1, x0:x1].sum() > 0


def test_judging_images_share_no_source_with_list_images(dataset: Path) -> None:
    used: dict[str, set[int]] = {"lists": set(), "judging": set()}
    for answer in digits.read_answers(digits.side_file(dataset)).values():
        used[answer["half"]].update(answer["sources"])
    assert used["lists"]
    assert used["judging"]
    assert not used["lists"] & used["judging"]
    train = set(np.concatenate(digits.split_sources()["train"]).tolist())
    assert not train & (used["lists"] | used["judging"])


def test_writing_again_changes_nothing_and_spares_other_files(dataset: Path, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("*.png")}
    assert digits.write_dataset(dataset, images=120, seed=5) == digits.side_file(dataset)
    assert {p: p.stat().st_mtime_ns for p in dataset.rglob("*.png")} == before
    with pytest.raises(DataError, match="already holds other files"):
        digits.write_dataset(dataset, images=120, seed=6)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(DataError, match="Name an empty folder"):
        digits.write_dataset(tmp_path / "mine", images=120)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep"
    assert not (tmp_path / "mine.json").exists()


def test_a_part_left_by_a_cut_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "d.part" / "0-1").mkdir(parents=True)
    (tmp_path / "d.part" / "0-1" / "half.png").write_bytes(b"cut")
    side = digits.write_dataset(tmp_path / "d", images=40)
    assert len(list((tmp_path / "d").rglob("*.png"))) == 40 == len(json.loads(side.read_text())["files"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "d.json"]


def test_bad_answers_and_sizes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few images"):
        digits.write_dataset(tmp_path / "d", images=39)
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(DataError, match=r"no answers of a digit-pair data set.*d\.json"):
        digits.read_answers(tmp_path / "d.json")
