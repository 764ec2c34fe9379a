"""Images in shards: the same pictures, ids and labels from every form, read at random; what is broken is named."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from atlas.errors import DataError
from ingest.images import ImageBatches, decode, scan_images
from ingest.sources import read_bytes

NAMES = ["zebra", "ant"]


def png(seed: int) -> bytes:
    """An image file that no other seed has, 5 wide and 4 high."""
    held = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


PICTURES = [png(seed) for seed in range(7)]


def arrow_table(labels: list[Any], names: list[str] | None = None, **pictures: list[Any]) -> Any:
    """A table as `datasets` writes it: records of bytes and path, class names in the schema's metadata."""
    pictures = pictures or {"image": [{"bytes": b, "path": None} for b in PICTURES]}
    table = pa.table({**pictures, "label": labels})
    if names is None:
        return table
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return path


def as_parquet(root: Path) -> None:
    pq.write_table(arrow_table([i % 2 for i in range(7)], NAMES), root / "p.parquet", row_group_size=3)


def as_saved_dataset(root: Path) -> None:
    table = arrow_table([i % 2 for i in range(7)], NAMES)
    with (
        pa.OSFile(str(root / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table, max_chunksize=2)
    (root / "state.json").write_text("{}")
    (root / "cache-1.arrow").write_bytes(b"not read")


def as_arrow_file(root: Path) -> None:
    table = arrow_table([NAMES[i % 2] for i in range(7)])
    with (
        pa.OSFile(str(root / "a.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as out,
    ):
        out.write_table(table, max_chunksize=3)


def as_webdataset(root: Path) -> None:
    for shard, rows in enumerate([range(4), range(4, 7)]):
        members = {}
        for i in rows:
            members |= {f"{i:04d}.cls": str(i % 2).encode(), f"{i:04d}.png": PICTURES[i]}
        write_tar(root / f"s-{shard}.tar", members)


def as_webdataset_json(root: Path) -> None:
    members = {}
    for i in range(7):
        members |= {f"x/{i}.json": json.dumps({"label": NAMES[i % 2]}).encode(), f"x/{i}.png": PICTURES[i]}
    write_tar(root / "s.tar", members)


def as_tar_of_folders(root: Path) -> None:
    write_tar(root / "s.tar", {f"./{NAMES[i % 2]}/{i}.png": PICTURES[i] for i in range(7)})


FORMS: dict[str, tuple[Callable[[Path], None], tuple[str, ...], int]] = {
    "parquet": (as_parquet, ("zebra", "ant"), 0),
    "saved dataset": (as_saved_dataset, ("zebra", "ant"), 0),
    "arrow file": (as_arrow_file, ("ant", "zebra"), 1),
    "webdataset": (as_webdataset, ("0", "1"), 0),
    "webdataset json": (as_webdataset_json, ("ant", "zebra"), 1),
    "tar of folders": (as_tar_of_folders, ("ant", "zebra"), 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_images(form: str, tmp_path: Path) -> None:
    write, names, first = FORMS[form]
    write(tmp_path)
    images = scan_images(tmp_path)
    assert images.folders == names
    assert images.numbered == (form == "webdataset")
    assert images.skipped == images.duplicates == ()
    ids = ["img:" + hashlib.sha256(content).hexdigest()[:16] for content in PICTURES]
    assert [image.id for image in images.images] == ids
    assert [image.label for image in images.images] == [(i + first) % 2 for i in range(7)]
    assert {(image.width, image.height) for image in images.images} == {(5, 4)}
    assert scan_images(tmp_path, workers=1) == images
    order = [6, 0, 3, 2, 5]
    rows, batch = next(iter(ImageBatches(images, pil_to_tensor, batch=5, indices=order)))
    assert rows.tolist() == order
    for row, tensor in zip(order, batch, strict=True):
        literal = pil_to_tensor(Image.open(io.BytesIO(PICTURES[row])))
        assert torch.equal(tensor, literal)
        assert torch.equal(pil_to_tensor(decode(tmp_path / images.images[row].path)), literal)


def test_one_shard_is_a_data_set_of_its_name(tmp_path: Path) -> None:
    as_webdataset(tmp_path)
    images = scan_images(tmp_path / "s-1.tar")
    assert (images.name, images.root) == ("s-1", tmp_path)
    assert [image.path for image in images.images] == [f"s-1.tar/{i:04d}.png" for i in (4, 5, 6)]
    (tmp_path / "a.png").write_bytes(PICTURES[0])
    assert [image.path for image in scan_images(tmp_path).images] == ["a.png"], "image files come first"
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="a file that is no data set"):
        scan_images(tmp_path / "notes.txt")


def test_splits_are_the_shards_folders_or_names(tmp_path: Path) -> None:
    write_tar(tmp_path / "train" / "0.tar", {"0.png": PICTURES[0]})
    write_tar(tmp_path / "train" / "nest" / "1.tar", {"1.png": PICTURES[1]})
    write_tar(tmp_path / "val-00000-of-00001.tar", {"2.png": PICTURES[2]})
    write_tar(tmp_path / "more.tar", {"3.png": PICTURES[3]})
    splits = {image.path.split("/")[-1]: image.split for image in scan_images(tmp_path).images}
    assert splits == {"0.png": "train", "1.png": "train", "2.png": "val", "3.png": ""}


def test_imagenets_training_tars_are_named_after_their_class(tmp_path: Path) -> None:
    write_tar(tmp_path / "n01440764.tar", {"n01440764_1.png": PICTURES[0]})
    write_tar(tmp_path / "n01443537.tar", {"n01443537_2.png": PICTURES[1]})
    images = scan_images(tmp_path)
    assert images.folders == ("n01440764", "n01443537")
    assert [image.label for image in images.images] == [0, 1]


def test_labels_that_are_missing_or_negative_are_none(tmp_path: Path) -> None:
    pq.write_table(arrow_table([3, -1, None, 0, 1, 2, 3]), tmp_path / "p.parquet")
    images = scan_images(tmp_path)
    assert images.folders == ("0", "1", "2", "3")
    assert [image.label for image in images.images] == [3, None, None, 0, 1, 2, 3]


def test_corrupt_records_and_shards_are_named_and_skipped(tmp_path: Path) -> None:
    content: list[Any] = [{"bytes": b, "path": None} for b in PICTURES[:5]]
    content[1] = {"bytes": PICTURES[1][:30], "path": None}
    content[3] = {"bytes": None, "path": "elsewhere.png"}
    pq.write_table(arrow_table([0] * 5, image=content), tmp_path / "p.parquet")
    (tmp_path / "q.parquet").write_bytes(b"no such thing")
    whole = write_tar(tmp_path / "t.tar", {"0.png": PICTURES[5], "1.png": PICTURES[6]}).read_bytes()
    cut = whole.index(PICTURES[6]) + 20
    (tmp_path / "t.tar").write_bytes(whole[:cut])
    (tmp_path / "u.tar").write_bytes(b"x" * 600)
    images = scan_images(tmp_path)
    assert [image.path for image in images.images] == [*(f"p.parquet/{i}" for i in (0, 2, 4)), "t.tar/0.png"]
    reasons = dict(images.skipped)
    assert set(reasons) == {"p.parquet/1", "p.parquet/3", "q.parquet", "t.tar", "u.tar"}
    assert reasons["p.parquet/3"] == "no bytes in this record"
    assert reasons["t.tar"] == "cut off in 1.png"
    assert "Parquet" in reasons["q.parquet"]


def test_only_broken_shards_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "q.parquet").write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"no readable images.*First unreadable: q.parquet"):
        scan_images(tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"] * 7}, "no column of this shard is its picture.*text: string"),
        ({"left": PICTURES, "right": PICTURES}, "several columns may be the picture"),
    ],
)
def test_columns_without_a_picture_are_one_error(
    columns: dict[str, list[Any]], message: str, tmp_path: Path
) -> None:
    pq.write_table(arrow_table([0] * 7, **columns), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=message):
        scan_images(tmp_path)


def test_shards_of_two_data_sets_and_packed_ones_are_refused(tmp_path: Path) -> None:
    pq.write_table(arrow_table([0] * 7, NAMES), tmp_path / "p.parquet")
    pq.write_table(arrow_table([0] * 7, ["a", "b"]), tmp_path / "q.parquet")
    with pytest.raises(DataError, match="shards with different classes"):
        scan_images(tmp_path)
    (tmp_path / "r.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match="a compressed tar file cannot be read at random"):
        scan_images(tmp_path)


def test_a_shard_that_changed_or_went_is_found_out(tmp_path: Path) -> None:
    as_webdataset(tmp_path)
    images = scan_images(tmp_path)
    write_tar(tmp_path / "s-1.tar", {f"{i:04d}.png": PICTURES[0] for i in (4, 5, 6)})
    with pytest.raises(DataError, match=r"has changed since it was listed: .*s-1.tar/0004.png"):
        list(ImageBatches(images, pil_to_tensor))
    write_tar(tmp_path / "s-1.tar", {"0004.png": PICTURES[4]})
    with pytest.raises(DataError, match=r"cannot be read: .*s-1.tar/0005.png .*not in this tar"):
        list(ImageBatches(images, pil_to_tensor))
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "s-9.tar" / "0004.png")
