"""Images: what a data set holds, under which id, how its bytes become RGB, and batches of them in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from atlas.address import digest_of, image_id
from atlas.errors import DataError
from ingest.ahead import in_order, one_ahead
from ingest.pixels import EXTENSIONS, UNREADABLE, measure, reason, to_rgb
from ingest.sources import SHARDS, Labels, Listing, list_shards, read_bytes, shard_files
from ingest.sources.folders import list_folder


@dataclass(frozen=True)
class ImageRecord:
    """One image of a set."""

    id: str
    path: str
    """Below the set's root, with ``/``; of an image in a shard, the shard's path and its place in it."""
    label: int | None
    """Index in the set's folders, None for an image in no folder."""
    split: str
    """``train``, ``val``, … where the root's folders or shards are these, else empty."""
    width: int
    height: int


@dataclass(frozen=True)
class ImageSet:
    """All readable images below a root, by path; equal bytes at several paths are one image, at the first."""

    root: Path
    name: str
    digest: str
    """SHA-256 over the sorted (id, path, label), 64 hex digits."""
    images: tuple[ImageRecord, ...]
    folders: tuple[str, ...]
    """Names of the class folders, sorted, empty ones too, or classes that shards declare; none for a flat folder."""
    skipped: tuple[tuple[str, str], ...]
    """(path, reason) of files that cannot be read."""
    duplicates: tuple[tuple[str, str], ...]
    """(path, first path) of files with the bytes of an earlier one."""
    numbered: bool = False
    """Whether the folders' names are the numbers that the data has for classes."""


def scan_images(
    root: Path,
    name: str | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Find, decode once and hash all images of a data set.

    A folder of image files (:func:`ingest.sources.folders.list_folder`); or, where it holds none, of tar, Parquet or
    Arrow shards (:mod:`ingest.sources`), or one such shard. Records that do not decode to the end are named in
    ``skipped``.

    Parameters
    ----------
    root : the folder or shard.
    name : of the data set; the folder's name if None.
    workers : threads that decode.
    progress : called with images inspected and images in all.

    Raises DataError : no such folder, no readable image in it, or shards whose pictures cannot be told.
    """
    top, listing = _list(root)
    labels = Labels.of(listing)
    images: list[ImageRecord] = []
    skipped = list(listing.skipped)
    duplicates: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    paths = [record.path for record in listing.records]
    inspected = in_order(lambda p: _inspect(top, p), paths, workers)
    for done, (record, label, found) in enumerate(
        zip(listing.records, labels.of_record, inspected, strict=True), start=1
    ):
        path = record.path
        if progress is not None:
            progress(done, len(paths))
        if isinstance(found, str):
            skipped.append((path.encode(errors="backslashreplace").decode(), found))
            continue
        identity, (width, height) = found
        if identity in first:
            duplicates.append((path, first[identity]))
            continue
        first[identity] = path
        images.append(ImageRecord(identity, path, label, record.split, width, height))
    if not images:
        raise _none_readable(root, len(paths), skipped)
    facts = sorted(f"{image.id}\t{image.path}\t{image.label}" for image in images)
    return ImageSet(
        root=top,
        name=name or root.resolve().name.removesuffix(root.suffix if root.is_file() else ""),
        digest=digest_of(facts),
        images=tuple(images),
        folders=labels.names,
        skipped=tuple(skipped),
        duplicates=tuple(duplicates),
        numbered=labels.numbered,
    )


def _list(root: Path) -> tuple[Path, Listing]:
    """The folder that addresses begin at, and what lies below it."""
    if root.is_file():
        files = shard_files(root)
        if not files:
            raise DataError(
                "a file that is no data set", where=root, expected=f"a folder, or a shard {', '.join(SHARDS)}"
            )
        return root.parent, list_shards(root.parent, files)
    if not root.is_dir():
        raise DataError("no such folder of images", where=root, next_step="check --data")
    listing = list_folder(root)
    if listing.records:
        return root, listing
    files = shard_files(root)
    return root, list_shards(root, files) if files else listing


def _none_readable(root: Path, count: int, skipped: Sequence[tuple[str, str]]) -> DataError:
    return DataError(
        "no readable images",
        where=root,
        expected=f"files such as {', '.join(sorted(EXTENSIONS)[:5])}, in a folder per class or directly, or shards "
        f"{', '.join(SHARDS)}",
        got=f"{count} image files, {len(skipped)} of them unreadable",
        next_step=f"first unreadable: {skipped[0][0]} ({skipped[0][1]})" if skipped else "check --data",
    )


def decode(path: Path) -> Image.Image:
    """A file as an upright 8-bit RGB image (see :func:`ingest.pixels.to_rgb`).

    Raises
    ------
    DataError : the file is missing or no image.
    """
    try:
        return to_rgb(read_bytes(path))
    except UNREADABLE as error:
        raise DataError(
            "the image cannot be read", where=path, got=reason(error), expected="an image"
        ) from error


def common_size(images: Sequence[ImageRecord]) -> tuple[int, int]:
    """(height, width) of images that are all of one size.

    Raises DataError that names two images of different sizes.
    """
    head = images[0]
    for image in images:
        if (image.height, image.width) != (head.height, head.width):
            raise DataError(
                "images of different sizes, and the model brings no transform",
                where=image.path,
                expected=f"{head.width}x{head.height} as {head.path}",
                got=f"{image.width}x{image.height}",
                next_step="return (module, transform) from the model's factory, or resize the images",
            )
    return head.height, head.width


def halves(
    images: Sequence[ImageRecord], share: float = 0.5, key: Callable[[ImageRecord], str] | None = None
) -> NDArray[np.bool_]:
    """(N,) bool: the judging half. An image's side depends on its key alone, not on the other images.

    Parameters
    ----------
    images : N records.
    share : expected share of judging images.
    key : what must not be torn apart (such as the source an image was made from); the image's id if None.
    """
    keys = [image.id if key is None else key(image) for image in images]
    places = [int(digest_of(["half", text])[:12], 16) / 16**12 for text in keys]
    return np.array([place < share for place in places], dtype=np.bool_)


class ImageBatches:
    """Batches of transformed images in a fixed order, decoded by threads that are never far ahead.

    Parameters
    ----------
    images : the set.
    transform : RGB image → (C, H, W).
    batch : images a batch; the last one may be smaller.
    indices : which images, in this order; all if None.
    workers : threads that decode and transform.
    pin : for a GPU: the next batch is put together in page-locked memory while it computes.

    Iterating gives (indices (B,) int64, tensor (B, C, H, W)) and raises DataError if a file can no longer be read,
    has changed since it was listed, or is transformed to another shape than the first of its batch.
    """

    def __init__(
        self,
        images: ImageSet,
        transform: Callable[[Image.Image], Tensor],
        *,
        batch: int = 32,
        indices: Sequence[int] | None = None,
        workers: int | None = None,
        pin: bool = False,
    ) -> None:
        self._images = images
        self._transform = transform
        self._batch = batch
        self._indices = range(len(images.images)) if indices is None else indices
        self._workers = workers
        self._pin = pin

    def __len__(self) -> int:
        return math.ceil(len(self._indices) / self._batch)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        yield from one_ahead(self._assembled()) if self._pin else self._assembled()

    def _assembled(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        rows: list[int] = []
        tensors: list[Tensor] = []
        loaded = in_order(self._load, self._indices, self._workers, ahead=self._batch)
        for index, tensor in zip(self._indices, loaded, strict=True):
            if tensors and tensor.shape != tensors[0].shape:
                raise DataError(
                    "the transform gives images of different sizes",
                    where=self._images.images[index].path,
                    expected=tuple(tensors[0].shape),
                    got=tuple(tensor.shape),
                    next_step="resize in the transform",
                )
            rows.append(index)
            tensors.append(tensor)
            if len(rows) == self._batch:
                yield np.array(rows, np.int64), self._stacked(tensors)
                rows, tensors = [], []
        if rows:
            yield np.array(rows, np.int64), self._stacked(tensors)

    def _stacked(self, tensors: list[Tensor]) -> Tensor:
        batch = torch.stack(tensors)
        return batch.pin_memory() if self._pin and torch.cuda.is_available() else batch

    def _load(self, index: int) -> Tensor:
        record = self._images.images[index]
        path = self._images.root / record.path
        try:
            data = read_bytes(path)
            if image_id(data) != record.id:
                raise DataError(
                    "the image has changed since it was listed",
                    where=path,
                    expected=record.id,
                    got=image_id(data),
                    next_step="start again",
                )
            image = to_rgb(data)
        except UNREADABLE as error:
            raise DataError(
                "the image cannot be read", where=path, got=reason(error), expected="an image"
            ) from error
        return self._transform(image)


def _inspect(root: Path, path: str) -> tuple[str, tuple[int, int]] | str:
    """Id and (width, height) of a file, or why it cannot be used."""
    try:
        path.encode()
        data = read_bytes(root / path)
        return image_id(data), measure(data)
    except UNREADABLE as error:
        return reason(error)
