"""Spools into an empty managed server by Neo4j's offline importer: ten times as fast as Bolt, for whole atlases.

The importer replaces the database, so it is refused for one that holds anything, and nobody on this machine may
write to it meanwhile. While it works, a mark lies in Neo4j's home: a server whose import was cut is not started, and
the same command begins anew.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from atlas.address import canonical
from atlas.errors import BusyError, SpoolError, StoreError
from atlas.schema import TABLES
from atlas.spool import Spool
from atlas.spool.csv import SEPARATOR, CsvTable, write_nodes, write_tables
from atlas.store import local, prepare
from atlas.store.connection import Connection
from atlas.store.files import disk_errors
from atlas.store.lease import file_lock
from atlas.store.loader import run_properties
from atlas.store.runs import COMPLETE
from atlas.store.settings import Settings
from atlas.store.state import Places

Progress = Callable[[str, int, int], None]
Checkpoint = Callable[[str], None]
IMPORTER = "import: Neo4j's importer"
_STAGE = re.compile(r"\((\d+)/(\d+)\) ")
_PERCENT = re.compile(r"[.\- ]*\s(\d+)%")
MANY_ROWS = 300_000
"""From here on the import is the faster way: below, Bolt is done before the server has been stopped and started."""
_DESCRIBE = "UNWIND $rows AS row MATCH (r:Run {id: row.id}) SET r += row"


@dataclass(frozen=True)
class ImportReport:
    """What an import did: rows per table, and the seconds of writing CSV, importing, and building indexes."""

    rows: dict[str, int]
    csv_seconds: float
    import_seconds: float
    index_seconds: float


def fits(spools: Sequence[Spool], settings: Settings, *, least: int = MANY_ROWS) -> bool:
    """Whether these spools go in best by import: very many rows, and the managed server empty or cut in an import."""
    try:
        _check(spools, settings)
    except (StoreError, SpoolError):
        return False
    if cut(settings):
        return True
    if sum(spool.rows(table.name) for spool in spools for table in spool.tables()) < least:
        return False
    with Connection(local.start(settings)) as connection:
        return _nodes(connection) == 0


def cut(settings: Settings) -> bool:
    """Whether an import into the managed server was cut: only another import starts it again."""
    return settings.neo4j_uri is None and Places(settings.atlas_home).importing.exists()


class Heard:
    """What Neo4j's importer prints as progress: its stage ``(2/4)`` and each line's percentage of that stage."""

    def __init__(self, step: Progress) -> None:
        self._step = step
        self._stage, self._stages = 0, 4
        step(IMPORTER, 0, 100 * self._stages)

    def __call__(self, line: str) -> None:
        """One line as it was printed."""
        if stage := _STAGE.match(line):
            self._stage, self._stages = int(stage[1]) - 1, int(stage[2])
        elif percent := _PERCENT.match(line):
            self._step(IMPORTER, 100 * self._stage + int(percent[1]), 100 * self._stages)


def import_spools(
    spools: Sequence[Spool],
    settings: Settings,
    *,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    launch: local.Launch | None = None,
) -> ImportReport:
    """Fill the empty managed server with all of these spools; it runs again afterwards.

    Raises
    ------
    StoreError : another server is set, the database is not empty, or the importer fails.
    SpoolError : a spool requires a run that is not among them, or two are of one method on one model.
    DiskError : no room for the CSV files.
    """
    step, at = progress or (lambda *_: None), checkpoint or (lambda _: None)
    launch = launch or local.Launch()
    _check(spools, settings)
    places = Places(settings.atlas_home)
    folder = settings.atlas_home / "work" / "import"
    with _sole_writer(settings, launch):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            total = sum(spool.rows(table.name) for spool in spools for table in spool.tables())
            step("import: CSV", 0, total)
            begun = time.monotonic()
            with disk_errors(folder):
                folder.mkdir(parents=True)
                runs = write_nodes(TABLES["Run"], [{"id": spool.run.id} for spool in spools], folder)
                tables = [runs]
                for table in write_tables(spools, folder):
                    tables.append(table)
                    step("import: CSV", sum(written.rows for written in tables), total)
            written = time.monotonic()
            at("csv")
            with local.stopped(settings):
                with disk_errors(places.home):
                    places.importing.touch()
                at("stopped")
                memory = local.memory_of(settings).page_cache
                local.admin(settings, *_arguments(tables, folder, memory), heard=Heard(step))
                at("imported")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        imported = time.monotonic()
        step("import: indexes", 0, 1)
        with Connection(local.start(settings, launch=replace(launch, unfinished=True))) as connection:
            prepare.introduce(connection)
            prepare.constrain(connection)
            at("indexed")
            # Not in the CSV: an empty list there is no list.
            connection.write(_DESCRIBE, {"rows": _runs(spools)})
        places.importing.unlink()
    step("import: indexes", 1, 1)
    rows = {table.table.name: table.rows for table in tables}
    return ImportReport(rows, written - begun, imported - written, time.monotonic() - imported)


@contextmanager
def _sole_writer(settings: Settings, launch: local.Launch) -> Iterator[None]:
    """Hold the locks of imports and, unless one was cut, of the server's writers; refuse one that is not empty."""
    places = Places(settings.atlas_home)
    with disk_errors(places.root):
        places.run.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(places.run / "import.lock", timeout=0):
            if places.importing.exists():
                yield
                return
            with Connection(local.start(settings, launch=launch)) as connection, file_lock(connection):
                held = _nodes(connection)
                if held:
                    raise StoreError(
                        "an import needs an empty database",
                        where=connection.target.uri,
                        expected="no nodes",
                        got=f"{held:,} nodes",
                        next_step="load over Bolt, or set ATLAS_HOME to a new folder",
                    )
                connection.close()
                yield
    except Timeout:
        raise BusyError(
            "another command imports into this server", where=places.home, next_step="wait for it to end"
        ) from None


def _check(spools: Sequence[Spool], settings: Settings) -> None:
    if settings.neo4j_uri is not None:
        raise StoreError(
            "only the managed server can be filled by import",
            where=settings.neo4j_uri,
            next_step="unset NEO4J_URI, or load over Bolt",
        )
    known: dict[tuple[str, str], str] = {}
    runs = {spool.run.id for spool in spools}
    for spool in spools:
        run = spool.run
        other = known.setdefault((run.model, run.method), run.id)
        if other != run.id:
            raise SpoolError(
                "two runs of one method on one model",
                where=spool.folder,
                expected=f"one of {other} and {run.id}",
                next_step="take one out of the folder",
            )
        missing = [needed for needed in run.requires if needed not in runs]
        if missing:
            raise SpoolError(
                "a run that this one builds on is not among the spools",
                where=spool.folder,
                expected=f"run {missing[0]}",
                got=", ".join(sorted(runs)),
            )


def _nodes(connection: Connection) -> int:
    """Nodes in the database, the atlas's own apart."""
    return int(connection.read("MATCH (n) WHERE NOT n:Atlas RETURN count(n)", timeout=0).rows[0][0])


def _runs(spools: Sequence[Spool]) -> list[dict[str, Any]]:
    """Run nodes as a finished load leaves them."""
    rows = []
    for spool in spools:
        cursor = {item.name: spool.rows(item.name) for item in spool.tables()}
        done = {"id": spool.run.id, "status": COMPLETE, "cursor": canonical(cursor)}
        rows.append(run_properties(spool) | done)
    return rows


def _arguments(tables: Sequence[CsvTable], folder: Path, memory: int) -> list[str]:
    """The import's command line; ``memory`` in MiB beside Java's heap, of which it would take nine tenths of all."""
    return [
        "database",
        "import",
        "full",
        "neo4j",
        "--overwrite-destination=true",
        "--bad-tolerance=0",
        f"--max-off-heap-memory={memory}m",
        f"--report-file={folder / 'report'}",
        f"--array-delimiter=U+{ord(SEPARATOR):04X}",
        f"--multiline-fields={'true' if any(table.multiline for table in tables) else 'false'}",
        *(table.argument for table in tables if table.rows),
    ]
