"""Images from shards against the same images from files: all read, checked against their ids, decoded and batched."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from benchmarks.harness import Case, Result, compare
from ingest.images import ImageBatches, ImageSet, scan_images

IMAGES = 256
SIDE = 256
BATCH = 32


def make_files(root: Path) -> list[bytes]:
    """Seeded, smooth colour images as JPEG files of ImageNet's usual size, in a folder."""
    rng, contents = np.random.default_rng(0), []
    root.mkdir()
    for n in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))
        held = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(held, "JPEG", quality=90)
        contents.append(held.getvalue())
        (root / f"{n:04d}.jpg").write_bytes(contents[-1])
    return contents


def make_tar(root: Path, contents: list[bytes]) -> None:
    root.mkdir()
    with tarfile.open(root / "0.tar", "w") as opened:
        for n, content in enumerate(contents):
            entry = tarfile.TarInfo(f"{n:04d}.jpg")
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))


def make_parquet(root: Path, contents: list[bytes]) -> None:
    root.mkdir()
    pq.write_table(pa.table({"image": contents}), root / "0.parquet", row_group_size=100)


def make_arrow(root: Path, contents: list[bytes]) -> None:
    root.mkdir()
    table = pa.table({"image": contents})
    with (
        pa.OSFile(str(root / "0.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table, max_chunksize=100)


MAKERS: dict[str, Callable[[Path, list[bytes]], None]] = {
    "tar": make_tar,
    "parquet": make_parquet,
    "arrow": make_arrow,
}


def sums(images: ImageSet) -> torch.Tensor:
    """The sum of each image's pixels, over batches in order."""
    batches = ImageBatches(images, pil_to_tensor, batch=BATCH)
    return torch.cat([batch.sum((1, 2, 3)) for _, batch in batches])


def run() -> list[Result]:
    """One result a kind of shard; ratio ≥ 0.9: shards cost no more than a tenth of reading files."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        contents = make_files(Path(folder) / "files")
        files = scan_images(Path(folder) / "files")
        for kind, make in MAKERS.items():
            make(Path(folder) / kind, contents)
            shards = scan_images(Path(folder) / kind)
            case = Case(
                name=f"read_shards: {kind}",
                target="ratio ≥ 0.9 (files, the same images)",
                what=f"{IMAGES} JPEG images of {SIDE}², decoded by threads",
                difference=lambda a, b: float((a - b).abs().max()),
                tolerance=0.0,
                amount=IMAGES,
                unit="images/s",
                per_second=True,
            )
            results.append(
                compare(case, lambda shards=shards: sums(shards), lambda: sums(files))  # type: ignore[misc]
            )
    return results
