"""Where images lie: folders, tar, Parquet and Arrow shards. One form of address for all, one function to read it.

An image in a shard is addressed as if the shard were a folder: ``val/part-0.tar/000017.jpg``, ``part-0.parquet/17``
(the row, from 0). Shards are read at random: a tar by the place of its members, Parquet by row groups, Arrow by
memory map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from atlas.errors import DataError
from ingest.sources import arrow, tar
from ingest.sources.records import Labels, Listing, Record, split_of

__all__ = ["SHARDS", "Labels", "Listing", "Record", "list_shards", "read_bytes", "shard_files", "split_of"]

SHARDS = (".tar", ".parquet", ".arrow")
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def shard_files(root: Path) -> list[Path]:
    """All shards below a folder, by path; a shard itself is the only one.

    Raises DataError for compressed tar files, which cannot be read at random.
    """
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    visible = [f for f in files if not any(part.startswith(".") for part in f.relative_to(root).parts)]
    packed = [f for f in visible if f.name.endswith(_PACKED)]
    if packed:
        raise DataError(
            "a compressed tar file cannot be read at random",
            where=packed[0],
            expected="plain .tar shards",
            next_step="unpack the compression alone (gunzip, bunzip2, unxz), not the tar",
        )
    return [f for f in visible if f.suffix in SHARDS and not f.name.startswith(("cache-", "indices"))]


def list_shards(root: Path, files: Iterable[Path]) -> Listing:
    """The records of some shards below a folder.

    Shards that cannot be opened are named in ``skipped``. Raises DataError for columns without a picture in them.
    """
    found = Found()
    for file in files:
        kind = tar if file.suffix == ".tar" else arrow
        name = file.relative_to(root).as_posix()
        found.add(name, kind.records(file), file)
    return found.listing()


@dataclass
class Found:
    """Records of several shards on their way into one listing."""

    parts: list[Listing] = field(default_factory=list)

    def add(self, name: str, part: Listing, file: Path) -> None:
        """Put a shard's listing below its name."""
        if self.parts and part.records and (part.classes or None) != (self.parts[0].classes or None):
            raise DataError(
                "shards with different classes",
                where=file,
                expected=str(self.parts[0].classes)[:80],
                got=str(part.classes)[:80],
                next_step="name one data set",
            )
        records = [Record(f"{name}/{r.path}", r.label, r.split or split_of(name)) for r in part.records]
        skipped = [(f"{name}/{path}" if path else name, why) for path, why in part.skipped]
        self.parts.append(Listing(records, skipped, part.classes))

    def listing(self) -> Listing:
        """All of them."""
        return Listing(
            [record for part in self.parts for record in part.records],
            [skip for part in self.parts for skip in part.skipped],
            next((part.classes for part in self.parts if part.classes), ()),
        )


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file, or of an image in a shard.

    Raises OSError, or ValueError for a shard that cannot be read.
    """
    for parent in _parents(path):
        if parent.suffix in SHARDS and parent.is_file():
            member = path.relative_to(parent).as_posix()
            return tar.read(parent, member) if parent.suffix == ".tar" else arrow.read(parent, member)
    return path.read_bytes()


def _parents(path: Path) -> Iterator[Path]:
    return (parent for parent in path.parents if parent.suffix in SHARDS)
