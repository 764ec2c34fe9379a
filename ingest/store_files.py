"""The files of an activation store: reserved at once, written row by row, marked when safe.

Space is reserved before the first image, so a full disk is met then and leaves nothing behind. Rows are
written with ``pwrite``, not through a memory map, whose failures would be signals instead of errors.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DiskError

PLAN = "plan.json"
LOGITS = "logits.npy"
COMPLETE = "complete"
_SHARDS = "shards"


def pooled_file(ordinal: int) -> str:
    """Name of the file of ranking activations of the store's n-th layer."""
    return f"pooled.{ordinal:03d}.npy"


def peaks_file(ordinal: int) -> str:
    """Name of the file of positions of maxima of the store's n-th layer."""
    return f"peaks.{ordinal:03d}.npy"


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a DiskError that names the folder."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"cannot write the activation store ({error.strerror or error})",
            where=folder,
            next_step="free some space or choose another folder with ATLAS_HOME, then run it again",
        ) from error


class Matrix:
    """A ``.npy`` file of fixed shape, written by rows."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> None:
        self.path = path
        self.shape = shape
        self.dtype = dtype

    def header(self) -> bytes:
        """What stands in front of the numbers."""
        text = io.BytesIO()
        fields = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(text, fields)
        return text.getvalue()

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header()) + self.shape[0] * self.shape[1] * self.dtype.itemsize

    def reserve(self) -> None:
        """Make the file at its full size, its blocks allocated where the system can do that."""
        with self.path.open("wb") as file:
            file.write(self.header())
            file.flush()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, self.size)
            else:
                os.ftruncate(file.fileno(), self.size)

    def write(self, first: int, rows: NDArray[np.generic]) -> None:
        """Write rows from ``first`` on, and flush them to the disk."""
        data = memoryview(np.ascontiguousarray(rows, self.dtype).tobytes())
        place = len(self.header()) + first * self.shape[1] * self.dtype.itemsize
        with self.path.open("r+b", buffering=0) as file:
            while data:
                count = os.pwrite(file.fileno(), data, place)
                data, place = data[count:], place + count
            os.fsync(file.fileno())


def reserve(folder: Path, plan: str, matrices: list[Matrix]) -> None:
    """Make the folder of a new store: all of it, or, raising DiskError, nothing."""
    if (folder / PLAN).is_file():
        return
    new = not folder.exists()
    try:
        with disk_errors(folder):
            (folder / _SHARDS).mkdir(parents=True, exist_ok=True)
            need, free = sum(m.size for m in matrices), shutil.disk_usage(folder).free
            if need > free:
                raise DiskError(
                    "not enough space for the activation store",
                    where=folder,
                    expected=f"{need / 1e6:,.1f} MB",
                    got=f"{free / 1e6:,.1f} MB",
                    next_step="free some space, narrow the layers, or choose another folder with ATLAS_HOME",
                )
            for matrix in matrices:
                matrix.reserve()
            write_whole(folder / PLAN, plan)
    except DiskError:
        for matrix in matrices:
            matrix.path.unlink(missing_ok=True)
        (folder / PLAN).unlink(missing_ok=True)
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    beside = path.with_name(path.name + ".part")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def shard_file(folder: Path, shard: int) -> Path:
    """The mark of a written shard."""
    return folder / _SHARDS / f"{shard:05d}.done"
