"""Small files written whole or not at all, and disk trouble told in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atlas.errors import DiskError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
FULL_WORDS = ("No space left on device", "File too large", "Disk quota exceeded")
NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a full, read-only or foreign file system met in the block into a `DiskError` naming `where`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskError(
                "the disk is full", where=where, next_step="free some space and run the command again"
            ) from error
        if error.errno in FORBIDDEN:
            raise DiskError(
                "the file system refuses to be written",
                where=where,
                next_step="check its owner and permissions, or choose another folder",
            ) from error
        if error.errno in NO_FOLDER:
            raise DiskError(
                "a file stands where a folder is needed",
                where=where,
                next_step="move it, or choose another folder",
            ) from error
        raise


def says_full(text: str) -> bool:
    """Whether another program's words tell of a full disk."""
    return any(words in text for words in FULL_WORDS)


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Write `content` beside `path` with permissions `mode`, flush it to the disk, then rename it into place.

    Text is written as UTF-8.

    Raises
    ------
    DiskError : the file system is full, read-only or not ours; `path` is then as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
