"""ImageNet as it is handed out: training folders, flat validation images, and the files that name their classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from atlas.errors import DataError
from ingest.classes import map_classes
from ingest.images import scan_images

TENCH, FISH, SHARK = "n01440764", "n01443537", "n01484850"


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """Three validation images in Kaggle's place for them."""
    folder = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    folder.mkdir(parents=True)
    for i in range(1, 4):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(folder / f"ILSVRC2012_val_{i:08d}.JPEG")
    return folder


def labels(root: Path) -> tuple[tuple[str, ...], list[str | None]]:
    images = scan_images(root)
    return images.folders, [None if x.label is None else images.folders[x.label] for x in images.images]


def test_kaggles_solution_names_the_classes(val: Path, tmp_path: Path) -> None:
    lines = ["ImageId,PredictionString"]
    for i, wnid in [(3, TENCH), (1, SHARK), (2, TENCH), (9, FISH)]:
        lines.append(f"ILSVRC2012_val_{i:08d},{wnid} 1 2 3 4 {FISH} 1 2 3 4 ")
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(lines))
    assert labels(val) == ((TENCH, FISH, SHARK), [SHARK, TENCH, TENCH])
    (tmp_path / "LOC_val_solution.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"ImageNet's labels cannot be read.*ImageId"):
        scan_images(val)


def test_the_development_kits_numbers_are_not_the_sorted_classes(val: Path) -> None:
    """ILSVRC2012_ID is an order of its own (here 1 is the shark); inner synsets have children."""
    kit = val.parent / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n2\n")
    with pytest.raises(DataError, match=r"numbers have no names.*Put meta.mat there"):
        scan_images(val)
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(1, SHARK, "shark", 0), (2, TENCH, "tench", 0), (3, "n00001740", "entity", 2)]
    savemat(str(kit / "meta.mat"), {"synsets": np.array(rows, dtype=kind)})
    assert labels(val) == ((TENCH, SHARK), [TENCH, SHARK, TENCH])
    (kit / "meta.mat").write_bytes(b"no matlab file at all")
    with pytest.raises(DataError, match="ImageNet's labels cannot be read"):
        scan_images(val)


def test_training_folders_beside_flat_validation_images(val: Path) -> None:
    train = val.parent / "train" / FISH
    train.mkdir(parents=True)
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(train / f"{FISH}_1.JPEG")
    text = f"ImageId,PredictionString\nILSVRC2012_val_00000001,{TENCH} 1 1 2 2\n"
    (val.parent / "LOC_val_solution.csv").write_text(text)
    images = scan_images(val.parent)
    assert images.folders == (TENCH, FISH)
    assert [(image.split, image.label) for image in images.images] == [
        ("train", 1),
        ("val", 0),
        ("val", None),
        ("val", None),
    ]


def test_without_such_files_the_images_have_no_class(val: Path) -> None:
    assert labels(val) == ((), [None] * 3)


def test_synsets_find_their_output_by_a_class_file(val: Path) -> None:
    """Kaggle's LOC_synset_mapping.txt is a class file: `n01440764 tench, Tinca tinca`, in the order of outputs."""
    text = f"ImageId,PredictionString\nILSVRC2012_val_00000001,{SHARK} 1 1 2 2\n"
    (val / "LOC_val_solution.csv").write_text(text)
    file = val.parent / "LOC_synset_mapping.txt"
    file.write_text(f"{TENCH} tench, Tinca tinca\n{FISH} goldfish\n{SHARK} great white shark\n")
    images = scan_images(val)
    model = SimpleNamespace(outputs=3, categories=None)
    classes = map_classes(model, images, file)  # type: ignore[arg-type]
    assert classes.names == ("tench, Tinca tinca", "goldfish", "great white shark")
    assert classes.label(images.images[0]) == 2
