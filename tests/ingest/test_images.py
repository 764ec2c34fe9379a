"""Folders of images: ids, labels, splits, what is skipped and why; pixels of every kind; batches in order."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from atlas.errors import DataError
from ingest.images import ImageBatches, common_size, decode, halves, scan_images

RED, GREEN = (255, 0, 0), (0, 255, 0)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def picture(seed: int, size: tuple[int, int] = (6, 4)) -> Image.Image:
    """(width, height) of noise that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images each, and what an image folder also holds."""
    root = tmp_path / "animals"
    for i in range(6):
        save(root / ("cat" if i % 2 else "ant") / f"{i}.png", picture(i))
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("no image")
    save(root / ".hidden.png", picture(9))
    save(root / ".cache" / "8.png", picture(8))
    return root


def test_a_folder_per_class(folder: Path) -> None:
    images = scan_images(folder)
    assert images.name == "animals"
    assert images.folders == ("ant", "cat", "empty")
    assert [(image.path, image.label) for image in images.images] == [
        *((f"ant/{i}.png", 0) for i in (0, 2, 4)),
        *((f"cat/{i}.png", 1) for i in (1, 3, 5)),
    ]
    assert {(image.width, image.height, image.split) for image in images.images} == {(6, 4, "")}
    for image in images.images:
        assert image.id == "img:" + hashlib.sha256((folder / image.path).read_bytes()).hexdigest()[:16]
    assert images.skipped == images.duplicates == ()
    assert scan_images(folder, name="other").name == "other"


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.JPG", picture(i), format="JPEG")
    images = scan_images(tmp_path)
    assert images.folders == ()
    assert [image.label for image in images.images] == [None] * 3


def test_train_and_val_are_splits_of_the_same_classes(tmp_path: Path) -> None:
    for i, place in enumerate(["train/b", "train/a/deep/er", "val/a", "val/c"]):
        save(tmp_path / place / f"{i}.png", picture(i))
    images = scan_images(tmp_path)
    assert images.folders == ("a", "b", "c")
    assert [(image.path, image.split, image.label) for image in images.images] == [
        ("train/a/deep/er/1.png", "train", 0),
        ("train/b/0.png", "train", 1),
        ("val/a/2.png", "val", 0),
        ("val/c/3.png", "val", 2),
    ]
    save(tmp_path / "zebra" / "9.png", picture(9))
    assert scan_images(tmp_path).folders == ("train", "val", "zebra")


def test_corrupt_files_are_named_counted_and_skipped(folder: Path) -> None:
    (folder / "ant" / "text.png").write_text("hello")
    (folder / "cat" / "none.png").write_bytes(b"")
    whole = save(folder / "cat" / "cut.jpg", picture(7, (64, 64))).read_bytes()
    (folder / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    whole = save(folder / "cat" / "cut.png", picture(7, (64, 64))).read_bytes()
    (folder / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(folder / "cat" / "float.tiff", Image.fromarray(np.ones((2, 2), np.float32)))
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    images = scan_images(folder)
    assert len(images.images) == 6
    reasons = dict(images.skipped)
    assert sorted(reasons) == [
        "ant/text.png",
        *(f"cat/{n}" for n in ("cut.jpg", "cut.png", "float.tiff", "gone.png", "none.png")),
    ]
    assert reasons["ant/text.png"] == reasons["cat/none.png"] == "not an image"
    assert "truncated" in reasons["cat/cut.jpg"]
    assert "floating-point" in reasons["cat/float.tiff"]
    assert reasons["cat/gone.png"] == "No such file or directory"


def test_equal_bytes_are_one_image_named_by_the_first_path(folder: Path) -> None:
    shutil.copy(folder / "cat" / "1.png", folder / "ant" / "zz.png")
    shutil.copy(folder / "cat" / "1.png", folder / "cat" / "zz.png")
    images = scan_images(folder)
    assert len(images.images) == 6
    assert images.duplicates == (("cat/1.png", "ant/zz.png"), ("cat/zz.png", "ant/zz.png"))


def test_the_digest_knows_bytes_paths_and_labels_only(folder: Path, tmp_path: Path) -> None:
    first = scan_images(folder)
    assert scan_images(folder, workers=1) == first
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert scan_images(moved).digest == first.digest
    (moved / "cat" / "1.png").rename(moved / "ant" / "1.png")
    assert scan_images(moved).digest != first.digest
    literal = hashlib.sha256()
    for text in sorted(f"{image.id}\t{image.path}\t{image.label}" for image in first.images):
        literal.update(text.encode() + b"\0")
    assert first.digest == literal.hexdigest()


def test_no_folder_and_no_images_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of images"):
        scan_images(tmp_path / "none")
    with pytest.raises(DataError, match=r"no readable images.*got 0 image files"):
        scan_images(tmp_path)
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(DataError, match=r"1 image files, 1 of them unreadable\). First unreadable: bad.png"):
        scan_images(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    """The upright picture stored turned, with the tag that turns it back (EXIF 2.3, table 6)."""
    upright = np.asarray(picture(1))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(np.asarray(decode(path)), upright)
    record = scan_images(tmp_path).images[0]
    assert (record.width, record.height) == (6, 4)


def test_every_pixel_format_becomes_rgb(tmp_path: Path) -> None:
    ramp = np.array([[0, 128, 255]], np.uint8)
    grey = [(int(v), int(v), int(v)) for v in ramp[0]]
    wide = Image.fromarray(ramp.astype(np.uint16) * 257)
    palette = Image.new("P", (3, 1))
    palette.putpalette([*RED, *GREEN, 0, 0, 255])
    palette.putdata([0, 1, 2])
    alpha = Image.new("RGBA", (3, 1), (*RED, 255))
    alpha.putpixel((1, 0), (0, 0, 0, 0))
    files = {
        "grey.png": (Image.fromarray(ramp), {}, grey),
        "wide.png": (wide, {}, grey),
        "wide.tif": (wide, {}, grey),
        "bits.png": (
            Image.fromarray(ramp).convert("1", dither=Image.Dither.NONE),
            {},
            [(0,) * 3, (255,) * 3, (255,) * 3],
        ),
        "palette.png": (palette, {}, [RED, GREEN, (0, 0, 255)]),
        "clear.png": (palette, {"transparency": 1}, [RED, (255, 255, 255), (0, 0, 255)]),
        "clear.gif": (palette, {"transparency": 1}, [RED, (255, 255, 255), (0, 0, 255)]),
        "alpha.png": (alpha, {}, [RED, (255, 255, 255), RED]),
        "cmyk.tif": (Image.new("CMYK", (3, 1), (0, 255, 255, 0)), {}, [RED] * 3),
    }
    for name, (image, options, expected) in files.items():
        rgb = decode(save(tmp_path / name, image, **options))
        assert rgb.mode == "RGB", name
        assert [rgb.getpixel((i, 0)) for i in range(3)] == expected, name
    cmyk = decode(save(tmp_path / "cmyk.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0))))
    np.testing.assert_allclose(cmyk.getpixel((4, 4)), RED, atol=3)
    assert scan_images(tmp_path).skipped == ()


def test_decode_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: .*none.png \(expected an image, got No such file"):
        decode(tmp_path / "none.png")
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(DataError, match="not an image"):
        decode(tmp_path / "bad.png")


def test_common_size(folder: Path) -> None:
    assert common_size(scan_images(folder).images) == (4, 6)
    save(folder / "cat" / "tall.png", picture(7, (4, 6)))
    with pytest.raises(DataError, match=r"cat/tall.png \(expected 6x4 as ant/0.png, got 4x6\)"):
        common_size(scan_images(folder).images)


def mean_colour(image: Image.Image) -> Tensor:
    return pil_to_tensor(image).float().mean((1, 2), keepdim=True)


@pytest.mark.parametrize(("workers", "pin"), [(1, False), (4, False), (2, True)])
def test_batches_come_in_order_and_whole(folder: Path, workers: int, pin: bool) -> None:
    images = scan_images(folder)
    order = [5, 0, 3, 2, 4]
    batches = ImageBatches(images, mean_colour, batch=2, indices=order, workers=workers, pin=pin)
    assert len(batches) == 3
    for _ in range(2):
        found = list(batches)
        assert [indices.tolist() for indices, _ in found] == [[5, 0], [3, 2], [4]]
        for indices, tensor in found:
            literal = [mean_colour(decode(folder / images.images[i].path)) for i in indices]
            assert torch.equal(tensor, torch.stack(literal))
    everything = [i for indices, _ in ImageBatches(images, mean_colour) for i in indices]
    assert everything == list(range(6))


def test_batches_hold_no_more_than_is_asked_for(folder: Path) -> None:
    """However slow the reader, decoding stays at most two batches in front of it."""
    images = scan_images(folder)
    many = replace(images, images=images.images * 50)
    decoded = 0

    def counted(image: Image.Image) -> Tensor:
        nonlocal decoded
        decoded += 1
        return mean_colour(image)

    batches = iter(ImageBatches(many, counted, batch=4, workers=1))
    for read in range(1, 6):
        next(batches)
        assert decoded <= 4 * (read + 2)
    batches.close()  # type: ignore[attr-defined]
    assert decoded < 40


def test_batches_refuse_what_changed(folder: Path) -> None:
    images = scan_images(folder)
    save(folder / "cat" / "3.png", picture(99))
    with pytest.raises(DataError, match=r"has changed since it was listed: .*cat/3.png"):
        list(ImageBatches(images, mean_colour))
    (folder / "cat" / "3.png").unlink()
    with pytest.raises(DataError, match=r"cannot be read: .*cat/3.png"):
        list(ImageBatches(images, mean_colour))


def test_batches_refuse_shapes_that_differ(folder: Path) -> None:
    save(folder / "cat" / "tall.png", picture(7, (4, 6)))
    with pytest.raises(DataError, match=r"different sizes: cat/tall.png"):
        list(ImageBatches(scan_images(folder), pil_to_tensor))


def test_halves_are_stable_and_keep_sources_together(folder: Path) -> None:
    record = scan_images(folder).images[0]
    images = [replace(record, id=f"img:{i:016x}", path=f"{i % 40}/{i}.png") for i in range(2000)]
    judging = halves(images)
    assert abs(judging.mean() - 0.5) < 0.05
    assert abs(halves(images, 0.2).mean() - 0.2) < 0.04
    assert (halves(images, 0.2) <= judging).all()
    assert (halves(images[::-1]) == judging[::-1]).all()
    assert (halves(images[500:]) == judging[500:]).all()
    grouped = halves(images, key=lambda image: image.path.split("/")[0])
    sides = {image.path.split("/")[0]: bool(side) for image, side in zip(images, grouped, strict=True)}
    assert [sides[image.path.split("/")[0]] for image in images] == grouped.tolist()
    assert len(set(sides.values())) == 2


def test_inspection_says_how_far_it_is(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    told: list[tuple[int, int]] = []
    scan_images(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 4) for n in range(1, 5)]
