"""A spool written: as ``<folder>.part``, renamed when its manifest, the last file, is on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import DiskError, SpoolError
from atlas.schema import Table, table
from atlas.spool.arrow import arrow_schema, nulls, to_arrow
from atlas.spool.columns import Values, check
from atlas.spool.manifest import LOADER_TABLES, MANIFEST, Manifest, RunRecord, TableFile, file_digest

# A row group is flushed at either; the loader holds one group at a time.
GROUP_ROWS = 1 << 17
GROUP_BYTES = 64 << 20


@contextmanager
def _disk(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise DiskError(
            "the disk is full" if full else "the spool cannot be written",
            where=where,
            next_step="free some space and run the command again" if full else f"{error.strerror or error}",
        ) from error


class SpoolWriter:
    """Writes one run's spool. Use it in a ``with`` block: left without :meth:`finish`, nothing remains.

    Parameters
    ----------
    folder : where the spool will be; an older one there is replaced when this one is complete.
    run : what makes it.

    Raises
    ------
    DiskError : the disk is full or cannot be written; nothing is left.
    """

    def __init__(self, folder: Path, run: RunRecord) -> None:
        self.folder = folder
        self.run = run
        self._part = folder.with_name(f"{folder.name}.part")
        self._tables: dict[str, _TableWriter] = {}
        with _disk(folder):
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, name: str, columns: Mapping[str, Values]) -> None:
        """Append rows to a table.

        Columns that the schema does not require may be left out; all given ones have the same length.

        Raises
        ------
        SchemaError : no such table.
        SpoolError : unknown or missing column, unequal lengths, a value that the schema does not allow; the
            line names table, column and row.
        DiskError : the disk is full; the spool is given up.
        """
        item = table(name)
        if name in LOADER_TABLES:
            raise SpoolError("a table that the loader fills by itself", where=name)
        writer = self._tables.get(name)
        with self._guarded():
            if writer is None:
                writer = self._tables[name] = _TableWriter(item, self._part / f"{name}.parquet")
            writer.append(columns)

    def finish(self, facts: Mapping[str, Any] | None = None) -> Path:
        """Close the tables, write the manifest, put the folder in its place and return it.

        ``facts`` are added to the run's. The run's relations to its model and data set are written here.
        """
        for name, end in (("Run-OF-Model", self.run.model), ("Run-ON-Dataset", self.run.dataset)):
            if name not in self._tables:
                self.write(name, {"start": [self.run.id], "end": [end]})
        with self._guarded():
            files = {name: writer.close() for name, writer in self._tables.items()}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            run = self.run.ended(self.run.finished or now, facts or {})
            _write_synced(self._part / MANIFEST, Manifest(run, files).text())
            _put_in_place(self._part, self.folder)
        return self.folder

    def abort(self) -> None:
        """Give up an unfinished spool and remove what was written of it."""
        for writer in self._tables.values():
            writer.drop()
        shutil.rmtree(self._part, ignore_errors=True)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with _disk(self.folder):
                yield
        except DiskError:
            self.abort()
            raise


class _TableWriter:
    """One Parquet file, written in row groups as rows come in."""

    def __init__(self, item: Table, path: Path) -> None:
        self._table = item
        self._path = path
        self._schema = arrow_schema(item)
        self._writer: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._pending: list[pa.Table] = []
        self._pending_rows = self._pending_bytes = 0
        self._rows = 0
        self._seen: set[str] = set()

    def append(self, columns: Mapping[str, Values]) -> None:
        declared = {p.name: p for p in self._table.columns}
        for name in columns:
            if name not in declared:
                self._refuse("a column that the schema does not know", name, sorted(declared))
        for prop in declared.values():
            if prop.required and prop.name not in columns:
                self._refuse("a required column is missing", prop.name, prop.kind)
        checked = {
            name: check(self._table.name, declared[name], values, self._rows)
            for name, values in columns.items()
        }
        lengths = {name: len(column) for name, column in checked.items()}
        length = lengths[self._table.columns[0].name]
        for name, other in lengths.items():
            if other != length:
                self._refuse("columns of unequal length", name, f"{length} rows", f"{other}")
        arrays = [
            to_arrow(p, checked[p.name]) if p.name in checked else nulls(p, length)
            for p in self._table.columns
        ]
        self._rows += length
        self._seen |= set(columns)
        part = pa.Table.from_arrays(arrays, schema=self._schema)
        self._pending.append(part)
        self._pending_rows += part.num_rows
        self._pending_bytes += part.nbytes
        if self._pending_rows >= GROUP_ROWS or self._pending_bytes >= GROUP_BYTES:
            self._flush()

    def _refuse(self, what: str, column: str, expected: object, got: object = None) -> NoReturn:
        raise SpoolError(what, where=f"{self._table.name}.{column}", expected=expected, got=got)

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending), row_group_size=GROUP_ROWS)
        self._pending = []
        self._pending_rows = self._pending_bytes = 0

    def close(self) -> TableFile:
        self._flush()
        self._writer.close()
        _sync(self._path)
        columns = tuple(p.name for p in self._table.columns if p.name in self._seen)
        return TableFile(self._path.name, self._rows, file_digest(self._path), columns)

    def drop(self) -> None:
        self._pending = []
        try:
            self._writer.close()
        except OSError:
            # The disk is full: the file is about to be removed.
            return


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _sync(path)


def _put_in_place(part: Path, folder: Path) -> None:
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    part.replace(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
