"""CatFish: pairs, places, splits by source image, and that what is written ingests."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from atlas.address import image_id
from atlas.errors import DataError
from ingest.activations import PassSpec
from ingest.experiments.catfish import (
    CANVAS,
    IMAGENET_MEAN,
    SIDE,
    CatFishSpec,
    compose,
    draw_corners,
    pairs_of,
    write_catfish,
)
from ingest.job import IngestSpec, prepare, read_groups
from ingest.models import ModelSpec
from ingest.plan import Folders, activations

SPEC = CatFishSpec(bases=5, each=3)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for k in range(6):
        (root / f"kind-{k}").mkdir()
        for n in range(8):
            pixels = rng.integers(0, 256, (20 + k, 30, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"kind-{k}" / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "catfish"
    return out, json.loads(write_catfish(source, out, SPEC).read_text())


def test_each_base_class_has_at_least_two_partners_and_pairs_are_unordered() -> None:
    bases = [f"b{k}" for k in range(10)]
    pairs = pairs_of(bases, 3)
    assert len(set(map(frozenset, pairs))) == len(pairs)
    assert all(a < b for a, b in pairs)
    assert min(Counter(base for pair in pairs for base in pair).values()) >= 2
    assert pairs == pairs_of(bases, 3) != pairs_of(bases, 4)
    with pytest.raises(DataError, match="too few classes"):
        pairs_of(["a", "b"], 0)


def test_images_on_a_canvas_are_inside_and_disjoint() -> None:
    corners = draw_corners(500, np.random.default_rng(0))
    assert corners.min() >= 0
    assert corners.max() <= CANVAS - SIDE
    assert (np.abs(corners[:, 0] - corners[:, 1]).max(axis=1) >= SIDE).all()


def test_a_canvas_holds_both_images_and_its_background() -> None:
    red, blue = (Image.new("RGB", (50, 80), c) for c in ((255, 0, 0), (0, 0, 255)))
    pixels = np.asarray(compose([red, blue], [[0, 0], [150, 180]], "imagenet"))
    assert pixels.shape == (CANVAS, CANVAS, 3)
    assert (pixels[:SIDE, :SIDE] == (255, 0, 0)).all()
    assert (pixels[180:280, 150:250] == (0, 0, 255)).all()
    assert tuple(pixels[-1, -1]) == IMAGENET_MEAN
    assert tuple(np.asarray(compose([red, blue], [[0, 0], [150, 180]], "mean"))[-1, -1]) == (128, 0, 128)
    with pytest.raises(DataError, match="no such background"):
        compose([red, blue], [[0, 0], [150, 180]], "green")


def test_no_source_image_is_in_two_splits(written, source) -> None:
    out, answers = written
    halves = {"lists": set(), "judging": set()}
    for entry in answers["files"].values():
        halves[entry["half"]] |= set(entry["sources"])
    assert not halves["lists"] & halves["judging"]
    assert halves["lists"]
    known = {image_id(path.read_bytes()) for path in source.rglob("*.png")}
    assert halves["lists"] | halves["judging"] <= known
    train = {path.parent.name for path in (out / "train").rglob("*.png")}
    assert train == {name.split("/")[0] for name in answers["files"]}
    for base, classes in answers["concepts"].items():
        assert all(base in name.split("+") for name in classes)


def test_the_written_set_ingests(written, tmp_path) -> None:
    out, answers = written
    classes = sorted({name.split("/")[0] for name in answers["files"]})
    names = tmp_path / "classes.txt"
    names.write_text("\n".join([*classes, *(f"unused-{n}" for n in range(10 - len(classes)))]))
    spec = IngestSpec(
        ModelSpec("examples.own_model:small_resnet"),
        out / "val",
        classes=names,
        sides=read_groups(out / "val.json"),
        passes=PassSpec(batch=16),
    )
    prepared = prepare(spec)
    assert set(classes) <= set(prepared.subject.classes)
    assert len(prepared.groups[0]) == 2
    folders = Folders(tmp_path / "work", tmp_path / "spools", tmp_path / "media")
    store = activations(prepared, folders, lambda *_: None)
    assert store.images == len(answers["files"])


def test_the_same_seed_gives_the_same_canvases(written, source, tmp_path) -> None:
    out, _ = written
    write_catfish(source, tmp_path / "again", SPEC)
    one, two = (sorted(path.rglob("*.png")) for path in (out, tmp_path / "again"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    with pytest.raises(DataError, match="already holds files"):
        write_catfish(source, out, SPEC)


def test_too_little_to_make_it_from(source, tmp_path) -> None:
    with pytest.raises(DataError, match="too few class folders"):
        write_catfish(source, tmp_path / "a", CatFishSpec(bases=7))
    with pytest.raises(DataError, match="too few images of a class"):
        write_catfish(source, tmp_path / "b", CatFishSpec(bases=5, train_share=0.95))
