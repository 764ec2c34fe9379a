"""Folders to outputs: by file, by categories, by order, or a clear error with both counts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from torchvision.models import ResNet18_Weights

from atlas.errors import DataError
from ingest.classes import ClassMap, map_classes
from ingest.images import ImageRecord, ImageSet


def mapped(
    folders: tuple[str, ...],
    outputs: int,
    categories: tuple[str, ...] | None = None,
    file: Path | None = None,
) -> ClassMap:
    images = ImageSet(Path("data"), "d", "0" * 64, (), folders, (), ())
    return map_classes(SimpleNamespace(outputs=outputs, categories=categories), images, file)  # type: ignore[arg-type]


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_output_i_is_sorted_folder_i_if_the_counts_agree() -> None:
    found = mapped(("0-1", "0-7", "3-4"), 3)
    assert found == ClassMap(("0-1", "0-7", "3-4"), (0, 1, 2), (0, 1, 2), "sorted folders")
    image = ImageRecord("img:0", "0-7/a.png", 1, "", 1, 1)
    assert found.label(image) == 1
    assert found.label(ImageRecord("img:0", "a.png", None, "", 1, 1)) is None


def test_a_subset_of_the_categories_by_name() -> None:
    """Case, underscores and spaces do not matter; every output keeps its name."""
    categories = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    found = mapped(("Golden_Retriever", "tabby", "tench"), 1000, categories)
    assert found.of_folder == (categories.index("golden retriever"), categories.index("tabby"), 0)
    assert found.names == categories
    assert found.outputs == tuple(range(1000))
    assert found.source == "categories"


def test_names_are_better_evidence_than_the_order_of_as_many_folders() -> None:
    assert mapped(("ant", "bee", "cat"), 3, ("cat", "ant", "bee")).of_folder == (1, 2, 0)


def test_all_wordnet_folders_are_in_order_and_are_shown_by_category() -> None:
    folders = tuple(f"n{i:08d}" for i in range(3))
    found = mapped(folders, 3, ("tench", "goldfish", "shark"))
    assert found.of_folder == (0, 1, 2)
    assert found.names == ("tench", "goldfish", "shark")
    assert mapped(folders, 3).names == folders


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("tench\n\ngold fish\nshark\n", ("tench", "gold fish", "shark")),
        (["tench", "gold fish", "shark"], ("tench", "gold fish", "shark")),
        ({"0": "tench", "1": "gold fish", "2": "shark"}, ("tench", "gold fish", "shark")),
        ({"shark": 2, "tench": 0, "gold fish": 1}, ("tench", "gold fish", "shark")),
        ({"0": "7", "1": "gold fish", "2": "shark"}, ("7", "gold fish", "shark")),
    ],
    ids=["lines", "list", "object", "turned object", "a digit's name"],
)
def test_a_class_file_in_every_form(content: object, names: tuple[str, ...], tmp_path: Path) -> None:
    found = mapped(("gold_fish", "shark"), 3, file=written(tmp_path, content))
    assert found == ClassMap(names, (0, 1, 2), (1, 2), "file:classes.txt")


@pytest.mark.parametrize(
    "content",
    [
        "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 great white shark",
        {
            "0": ["n01440764", "tench, Tinca tinca"],
            "1": ["n01443537", "goldfish"],
            "2": ["n01484850", "great white shark"],
        },
    ],
    ids=["synset lines", "class index"],
)
def test_a_subset_of_wordnet_folders_needs_a_file_and_takes_it(content: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--classes FILE"):
        mapped(("n01443537", "n01484850"), 3, ("tench", "goldfish", "shark"))
    found = mapped(("n01443537", "n01484850"), 3, file=written(tmp_path, content))
    assert found.of_folder == (1, 2)
    assert found.names == ("tench, Tinca tinca", "goldfish", "great white shark")


def test_a_flat_folder_takes_its_names_from_file_categories_or_numbers(tmp_path: Path) -> None:
    assert mapped((), 2).names == ("0", "1")
    assert mapped((), 2, ("a", "b")).names == ("a", "b")
    assert mapped((), 2, ("a", "b"), written(tmp_path, "x\ny")).names == ("x", "y")


def test_names_that_occur_twice_carry_their_output(tmp_path: Path) -> None:
    """Ids of classes are made of names. A folder of such a name is ambiguous."""
    path = written(tmp_path, "crane\nmaillot\ncrane")
    assert mapped(("maillot",), 3, file=path).names == ("crane (0)", "maillot", "crane (2)")
    with pytest.raises(DataError, match="not named once in the class file"):
        mapped(("crane",), 3, file=path)


def test_wrong_counts_are_told_with_both_and_a_next_step() -> None:
    with pytest.raises(DataError) as caught:
        mapped(("a", "b", "c", "d"), 1000)
    text = str(caught.value)
    assert text.startswith(
        "the data's classes are not the model's: data (expected 1000 class folders for 1000 outputs"
    )
    assert "got 4 folders (a, b, c, …)" in text
    assert text.endswith("Name the outputs in order, one a line, with --classes FILE")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb", "expected 3 names, one for each output, got 2 names"),
        ("a\nb\nd", r"classes.txt: c \(expected each folder's name on one line, got 1 of 3"),
        ("[1, 2, 3]", "class file cannot be read"),
        ('{"0": "a", "2": "b"}', "class file cannot be read"),
        ('["a"', "class file cannot be read"),
    ],
)
def test_class_files_that_do_not_fit(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        mapped(("a", "b", "c"), 3, file=written(tmp_path, content))
    with pytest.raises(DataError, match="class file cannot be read"):
        mapped(("a",), 3, file=tmp_path / "none.txt")
