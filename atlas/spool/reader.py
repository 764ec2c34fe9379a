"""A spool read: verified as a whole when opened, then rows in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from atlas.errors import SpoolError
from atlas.schema import TABLES, Table
from atlas.spool.arrow import to_rows
from atlas.spool.manifest import MANIFEST, Manifest, RunRecord, TableFile, file_digest, read_manifest


@dataclass(frozen=True)
class Spool:
    """A complete, verified spool."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Spool:
        """Open a spool and verify schema version, table names, row counts and digests.

        Raises SpoolError if anything differs from what was written.
        """
        manifest = read_manifest(folder)
        for name, entry in manifest.tables.items():
            path = folder / entry.file
            if not path.is_file():
                raise SpoolError("a table of the spool is missing", where=path, next_step="ingest again")
            digest = file_digest(path)
            if digest != entry.sha256:
                raise SpoolError(
                    "a table of the spool was altered or cut short",
                    where=path,
                    expected=f"SHA-256 {entry.sha256[:12]}…",
                    got=f"{digest[:12]}…",
                    next_step="ingest again",
                )
            with pq.ParquetFile(path) as file:
                _check_shape(path, file, TABLES[name], entry)
        return cls(folder, manifest)

    @property
    def run(self) -> RunRecord:
        """The run that made it."""
        return self.manifest.run

    @property
    def digest(self) -> str:
        """Digest of its content."""
        return self.manifest.digest

    def tables(self) -> tuple[Table, ...]:
        """Its tables in load order: nodes before the relationships between them."""
        return tuple(item for name, item in TABLES.items() if name in self.manifest.tables)

    def rows(self, name: str) -> int:
        """Rows of a table, 0 if it is not there."""
        entry = self.manifest.tables.get(name)
        return 0 if entry is None else entry.rows

    def batches(self, item: Table, start: int = 0, size: int = 10_000) -> Iterator[list[list[Any]]]:
        """Rows from ``start`` on, at most ``size`` at a time, each a list in order of ``item.columns``."""
        if start >= self.rows(item.name):
            return
        with pq.ParquetFile(self.folder / self.manifest.tables[item.name].file) as file:
            first, groups = 0, range(file.metadata.num_row_groups)
            while first + file.metadata.row_group(groups[0]).num_rows <= start:
                first += file.metadata.row_group(groups[0]).num_rows
                groups = groups[1:]
            skip = start - first
            for group in groups:
                rows = file.read_row_group(group)
                for at in range(skip, rows.num_rows, size):
                    yield to_rows(rows.slice(at, size), item)
                skip = 0


def _check_shape(path: Path, file: Any, item: Table, entry: TableFile) -> None:
    columns = [p.name for p in item.columns]
    if file.metadata.num_rows != entry.rows or file.schema_arrow.names != columns:
        raise SpoolError(
            "a table is not what the manifest says",
            where=path,
            expected=f"{entry.rows} rows of {', '.join(columns)}",
            got=f"{file.metadata.num_rows} rows of {', '.join(file.schema_arrow.names)}",
            next_step="ingest again",
        )


def open_spools(folder: Path) -> list[Spool]:
    """The spool in a folder, or all spools in its subfolders, each after those it requires.

    Raises SpoolError if there is none, one is damaged, or two require each other.
    """
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return [Spool.open(folder)]
    parts = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}") if path.parent.suffix != ".part")
    if not parts:
        return [Spool.open(folder)]
    waiting = {spool.run.id: spool for spool in map(Spool.open, parts)}
    ordered: list[Spool] = []
    while waiting:
        ready = [s for s in waiting.values() if not set(s.run.requires) & (set(waiting) - {s.run.id})]
        if not ready:
            raise SpoolError("spools that require each other", where=folder, got=", ".join(sorted(waiting)))
        ordered += ready
        for spool in ready:
            del waiting[spool.run.id]
    return ordered
