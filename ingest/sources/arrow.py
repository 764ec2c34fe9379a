"""Parquet and Arrow shards, as Hugging Face datasets leave them and others: one row an image.

The picture is a column of bytes, or of records with ``bytes`` (datasets' Image feature); the class is a column of
numbers or names. Class names that datasets declares (ClassLabel) are kept in their order.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import DataError
from ingest.sources.records import Listing, Record

_PICTURES = ("image", "img", "picture", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "data")
_LABELS = ("label", "labels", "cls", "class", "target", "fine_label", "category", "y")
_GROUPS = 4
"""Row groups held decoded, all shards together."""


@dataclass(frozen=True)
class Shard:
    """An opened shard's schema and the first row of each of its parts, and one past the last."""

    picture: str
    label: str | None
    classes: tuple[str, ...]
    starts: tuple[int, ...]


def records(file: Path) -> Listing:
    """One record a row; a shard that cannot be opened is named in ``skipped``.

    Raises DataError if no column holds pictures, or several may.
    """
    try:
        shard = _shard(str(file), *_stamp(file))
        labels: list[Any] = [None] * shard.starts[-1]
        if shard.label is not None:
            labels = _column(file, shard.label)
    except (pa.ArrowException, OSError) as error:
        return Listing([], [("", str(error).splitlines()[0])])
    return Listing([Record(str(row), _plain(label)) for row, label in enumerate(labels)], [], shard.classes)


def read(file: Path, row: str) -> bytes:
    """The picture of a row. Raises OSError, or ValueError for a row that has none."""
    shard = _shard(str(file), *_stamp(file))
    number = int(row)
    if not 0 <= number < shard.starts[-1]:
        raise FileNotFoundError(2, "no such row in this shard", row)
    group = next(i for i, start in enumerate(shard.starts[1:]) if number < start)
    value = _groups.pictures(file, shard, group)[number - shard.starts[group]].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise ValueError("no bytes in this record")
    return content


class _Groups:
    """The last few parts that were read, shared by the threads that decode."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def pictures(self, file: Path, shard: Shard, group: int) -> Any:
        """The column of pictures of one part."""
        key = (str(file), *_stamp(file), group)
        with self._lock:
            if key not in self._held:
                self._held[key] = _part(file, shard, group)
                while len(self._held) > _GROUPS:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]


_groups = _Groups()


def _part(file: Path, shard: Shard, group: int) -> Any:
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            return opened.read_row_group(group, columns=[shard.picture]).column(0).combine_chunks()
    return _mapped(str(file), *_stamp(file))[group].column(shard.picture)


@lru_cache(maxsize=64)
def _mapped(name: str, size: int, changed: int) -> list[Any]:
    """Record batches of an Arrow file or stream, in mapped memory."""
    with pa.memory_map(name) as source:
        try:
            reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            return list(pa.ipc.open_stream(source))
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]


@lru_cache(maxsize=1024)
def _shard(name: str, size: int, changed: int) -> Shard:
    file, starts = Path(name), [0]
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            sizes = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
    else:
        batches = _mapped(name, size, changed)
        schema = batches[0].schema if batches else pa.schema([])
        sizes = [len(batch) for batch in batches]
    for rows in sizes:
        starts.append(starts[-1] + rows)
    label = next((n for n in _LABELS if n in schema.names and _is_label(schema.field(n).type)), None)
    return Shard(_picture(schema, file), label, _classes(schema, label), tuple(starts))


def _picture(schema: Any, file: Path) -> str:
    fits = [field.name for field in schema if _is_picture(field.type)]
    known = [name for name in _PICTURES if name in fits] or fits
    if len(known) == 1 or (known and known[0] in _PICTURES):
        return str(known[0])
    raise DataError(
        "no column of this shard is its picture" if not fits else "several columns may be the picture",
        where=file,
        expected=f"a column of bytes, or of datasets' images, called {', '.join(_PICTURES[:3])}, …",
        got=", ".join(f"{field.name}: {field.type}" for field in schema)[:160],
        next_step="rename the column of the picture to `image`",
    )


def _is_picture(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _is_picture(f.type) for f in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_label(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _classes(schema: Any, label: str | None) -> tuple[str, ...]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, ValueError, TypeError):
        return ()


def _column(file: Path, name: str) -> list[Any]:
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            return list(opened.read(columns=[name]).column(0).to_pylist())
    return [value for batch in _mapped(str(file), *_stamp(file)) for value in batch.column(name).to_pylist()]


def _plain(label: Any) -> str | int | None:
    return label if isinstance(label, (str, int)) else None


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns
