"""What a spool says about itself: the run that made it, and what its tables must look like on disk.

Plain JSON and dataclasses; the Parquet files themselves are the writer's and the reader's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from atlas.address import digest_of, run_id
from atlas.errors import SpoolError
from atlas.schema import SCHEMA_VERSION, TABLES

MANIFEST = "manifest.json"
# Written by the loader from the run record and the lease, never by a table.
LOADER_TABLES = frozenset({"Atlas", "Run"})


@dataclass(frozen=True)
class RunRecord:
    """One job with one set of parameters: what identifies it, then what is known about it.

    ``model`` is the address root, ``dataset`` the id of the Dataset node, ``requires`` the ids of the runs
    whose nodes it builds on. ``facts`` are the counts and shares the job reports about itself, JSON values.
    """

    model: str
    dataset: str
    data_digest: str
    weights_digest: str
    method: str
    version: str
    parameters: Mapping[str, Any]
    seed: int
    code: str = ""
    device: str = ""
    started: str = ""
    finished: str = ""
    requires: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """``r`` and 10 hex digits; device, code, times and facts are no part of it."""
        return run_id(
            self.model, self.data_digest, self.method, self.version, dict(self.parameters), self.seed
        )

    def ended(self, finished: str, facts: Mapping[str, Any]) -> RunRecord:
        """The same run, at its end."""
        return replace(self, finished=finished, facts={**self.facts, **facts})


@dataclass(frozen=True)
class TableFile:
    """One table on disk: file name in the folder, number of rows, SHA-256 of the file, columns written."""

    file: str
    rows: int
    sha256: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """The schema version, the run and its tables by name."""

    run: RunRecord
    tables: Mapping[str, TableFile]
    schema: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 over the tables: equal for equal content, whenever and wherever it was made."""
        return digest_of(f"{name} {t.rows} {t.sha256}" for name, t in sorted(self.tables.items()))

    def text(self) -> str:
        """The manifest as JSON."""
        run = {"id": self.run.id, **asdict(self.run)}
        tables = {name: asdict(table) for name, table in sorted(self.tables.items())}
        return json.dumps({"schema": self.schema, "run": run, "tables": tables}, indent=1, ensure_ascii=False)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a spool folder.

    Raises SpoolError if there is none, it is of a newer schema, or it cannot be understood.
    """
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpoolError(
            "no spool here",
            where=folder,
            expected=MANIFEST,
            got="none",
            next_step="`atlas ingest` writes one",
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    if not isinstance(document, dict):
        raise _unreadable(folder, TypeError("not a JSON object"))
    _check_version(folder, document.get("schema"))
    try:
        manifest = _parse(document)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error
    _check_names(folder, manifest)
    if manifest.run.id != document["run"]["id"]:
        raise SpoolError(
            "the run's id does not follow from its parameters",
            where=folder / MANIFEST,
            expected=manifest.run.id,
            got=document["run"]["id"],
        )
    return manifest


def _unreadable(folder: Path, error: Exception) -> SpoolError:
    return SpoolError(
        "the manifest cannot be read",
        where=folder / MANIFEST,
        expected="the manifest that ingestion wrote",
        got=f"{type(error).__name__}: {error}",
        next_step="ingest again",
    )


def _check_version(folder: Path, version: object) -> None:
    if version == SCHEMA_VERSION:
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    raise SpoolError(
        "a spool of a newer schema" if newer else "a spool of an unknown schema",
        where=folder,
        expected=f"schema {SCHEMA_VERSION}",
        got=version,
        next_step="upgrade circuit-atlas" if newer else "ingest again",
    )


def _parse(document: Mapping[str, Any]) -> Manifest:
    run = dict(document["run"])
    del run["id"]
    run["requires"] = tuple(run["requires"])
    tables = {
        str(name): TableFile(
            str(table["file"]), int(table["rows"]), str(table["sha256"]), tuple(table["columns"])
        )
        for name, table in document["tables"].items()
    }
    return Manifest(RunRecord(**run), tables)


def _check_names(folder: Path, manifest: Manifest) -> None:
    for name, table in manifest.tables.items():
        known = name in TABLES and name not in LOADER_TABLES
        columns = {p.name for p in TABLES[name].columns} if known else set()
        if not known or set(table.columns) - columns or Path(table.file).name != table.file:
            raise SpoolError(
                "the manifest names what the schema does not know",
                where=folder / MANIFEST,
                got=f"{name}: {', '.join(sorted(set(table.columns) - columns)) or table.file}",
                next_step="ingest again",
            )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
