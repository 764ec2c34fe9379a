"""Scopes: whose images, which side, how many, and what cannot be one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atlas.address import Root, digest_of
from atlas.errors import DataError
from ingest.images import ImageRecord
from ingest.methods.scopes import choose_scopes, class_scopes, scope_tables
from ingest.methods.survey import Subject

PATHS = ["cat/a.png", "cat/b.png", "cat/c.png", "dog/d.png", "dog/deep/e.png", "f.png"]
IMAGES = [ImageRecord(f"img:{9 - n:016x}", path, None, "", 8, 8) for n, path in enumerate(PATHS)]
JUDGING = np.array([False, True, False, False, False, False])
SUBJECT = Subject(
    Root("m", "0" * 8), "toy", "0" * 64, ("cat", "cow", "dog"), (4, 5, 6), (0, 0, 0, 2, 2, None), JUDGING
)


def test_classes_have_their_own_ids_and_the_list_images():
    cat, dog = class_scopes(SUBJECT, IMAGES)
    assert (cat.id, cat.kind, cat.rows, cat.output) == ("toy/cat", "class", (0, 2), 4)
    assert (dog.id, dog.rows, dog.output) == ("toy/dog", (3, 4), 6)
    assert cat.digest == digest_of(sorted(IMAGES[row].id for row in (0, 2)))
    assert [scope.rows for scope in class_scopes(SUBJECT, IMAGES, "judge")] == [(1,)]
    assert class_scopes(SUBJECT, IMAGES, "all")[0].rows == (0, 1, 2)


def test_of_too_many_images_those_of_the_smallest_ids_stay():
    assert class_scopes(SUBJECT, IMAGES, "list", 1)[0].rows == (2,)


def test_folders_all_and_files(tmp_path):
    file = tmp_path / "sets.json"
    file.write_text(json.dumps({"some": ["f.png", IMAGES[0].id], "dogs": "dog", "deep/": "dog/deep/"}))
    found = {s.id: s for s in choose_scopes(f"all, folders, {file}", SUBJECT, IMAGES)}
    assert {name: scope.rows for name, scope in found.items()} == {
        "toy:all": (0, 2, 3, 4, 5),
        "toy:cat": (0, 2),
        "toy:dog": (3, 4),
        "toy:dog%2Fdeep": (4,),
        "toy:some": (0, 5),
        "toy:dogs": (3, 4),
        "toy:deep%2F": (4,),
    }
    assert {scope.kind for scope in found.values()} == {"all", "folder", "file"}
    assert found["toy:all"].output is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no scope with images"),
        ("missing.json", "cannot read the scopes"),
        ("list.json", "cannot read the scopes"),
        ("unknown.json", "not among the images"),
        ("judged.json", "no image of this scope is on this side"),
    ],
)
def test_what_is_no_scope_is_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "unknown.json").write_text('{"a": ["none.png"]}')
    (tmp_path / "judged.json").write_text('{"a": ["cat/b.png"]}')
    with pytest.raises(DataError, match=message):
        choose_scopes(text, SUBJECT, IMAGES)


def test_no_labels_no_classes():
    bare = Subject(Root("m", "0" * 8), "toy", "0" * 64, (), (), (None,) * 6, JUDGING)
    with pytest.raises(DataError, match="no scope with images"):
        class_scopes(bare, IMAGES)


def test_tables_name_sets_and_their_images():
    tables = dict(scope_tables(class_scopes(SUBJECT, IMAGES), [image.id for image in IMAGES]))
    assert tables["ImageSet"]["size"] == [2, 2]
    assert list(zip(*tables["ImageSet-HOLDS-Image"].values(), strict=True)) == [
        ("toy/cat", IMAGES[0].id),
        ("toy/cat", IMAGES[2].id),
        ("toy/dog", IMAGES[3].id),
        ("toy/dog", IMAGES[4].id),
    ]
