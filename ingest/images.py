"""Images: what lies in a folder, under which id, how its files become RGB, and batches of them in a fixed order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from atlas.address import digest_of, image_id
from atlas.errors import DataError
from ingest.pixels import UNREADABLE, measure, reason, to_rgb

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"])
SPLITS = frozenset(["train", "val", "valid", "validation", "test"])
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ImageRecord:
    """One image of a set."""

    id: str
    path: str
    """Below the set's root, with ``/``."""
    label: int | None
    """Index in the set's folders, None for an image in no folder."""
    split: str
    """``train``, ``val``, … where the root's folders are these, else empty."""
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
    """Names of the class folders, sorted, empty ones too; none for a flat folder."""
    skipped: tuple[tuple[str, str], ...]
    """(path, reason) of files that cannot be read."""
    duplicates: tuple[tuple[str, str], ...]
    """(path, first path) of files with the bytes of an earlier one."""


def scan_images(root: Path, name: str | None = None, *, workers: int | None = None) -> ImageSet:
    """Find, decode once and hash all images below a folder.

    A class per folder (of ``root`` or, where all folders of ``root`` are splits such as ``train`` and ``val``, of
    each of these), or images directly in it. Hidden files and folders are left out, and so are other files than
    images by their extension. Files that do not decode to the end are named in ``skipped``.

    Parameters
    ----------
    root : the folder.
    name : of the data set; the folder's name if None.
    workers : threads that decode.

    Raises
    ------
    DataError : no such folder, or no readable image in it.
    """
    if not root.is_dir():
        raise DataError("no such folder of images", where=root, next_step="check --data")
    splits, folders = _folders(root)
    paths = sorted(_files(root))
    images: list[ImageRecord] = []
    skipped: list[tuple[str, str]] = []
    duplicates: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    for path, found in zip(paths, _in_order(lambda p: _inspect(root, p), paths, workers), strict=True):
        if isinstance(found, str):
            skipped.append((path.encode(errors="backslashreplace").decode(), found))
            continue
        identity, (width, height) = found
        if identity in first:
            duplicates.append((path, first[identity]))
            continue
        first[identity] = path
        parts = path.split("/")[:-1]
        split = parts.pop(0) if splits and parts else ""
        label = folders.index(parts[0]) if parts else None
        images.append(ImageRecord(identity, path, label, split, width, height))
    if not images:
        raise DataError(
            "no readable images",
            where=root,
            expected=f"files such as {', '.join(sorted(EXTENSIONS)[:5])}, in a folder per class or directly",
            got=f"{len(paths)} image files, {len(skipped)} of them unreadable",
            next_step=f"first unreadable: {skipped[0][0]} ({skipped[0][1]})" if skipped else "check --data",
        )
    facts = sorted(f"{image.id}\t{image.path}\t{image.label}" for image in images)
    return ImageSet(
        root=root,
        name=name or root.resolve().name,
        digest=digest_of(facts),
        images=tuple(images),
        folders=folders,
        skipped=tuple(skipped),
        duplicates=tuple(duplicates),
    )


def decode(path: Path) -> Image.Image:
    """A file as an upright 8-bit RGB image (see :func:`ingest.pixels.to_rgb`).

    Raises
    ------
    DataError : the file is missing or no image.
    """
    try:
        return to_rgb(path.read_bytes())
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
    ) -> None:
        self._images = images
        self._transform = transform
        self._batch = batch
        self._indices = range(len(images.images)) if indices is None else indices
        self._workers = workers

    def __len__(self) -> int:
        return math.ceil(len(self._indices) / self._batch)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        rows: list[int] = []
        tensors: list[Tensor] = []
        loaded = _in_order(self._load, self._indices, self._workers, ahead=self._batch)
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
                yield np.array(rows, np.int64), torch.stack(tensors)
                rows, tensors = [], []
        if rows:
            yield np.array(rows, np.int64), torch.stack(tensors)

    def _load(self, index: int) -> Tensor:
        record = self._images.images[index]
        path = self._images.root / record.path
        try:
            data = path.read_bytes()
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


def _folders(root: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the root's folders are splits, and the names of the class folders."""

    def below(folder: Path) -> set[str]:
        return {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}

    top = below(root)
    if not top or not top <= SPLITS:
        return False, tuple(sorted(top))
    return True, tuple(sorted(set().union(*(below(root / split) for split in top))))


def _files(root: Path) -> Iterator[str]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real in seen:
            continue
        seen.add(real)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder, name).relative_to(root).as_posix()


def _inspect(root: Path, path: str) -> tuple[str, tuple[int, int]] | str:
    """Id and (width, height) of a file, or why it cannot be used."""
    try:
        path.encode()
        data = (root / path).read_bytes()
        return image_id(data), measure(data)
    except UNREADABLE as error:
        return reason(error)


def _in_order(
    work: Callable[[T], R], items: Sequence[T], workers: int | None, ahead: int = 64
) -> Iterator[R]:
    """Results in the order of the items, made by threads at most ``ahead`` items in front of the reader."""
    count = workers or min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
