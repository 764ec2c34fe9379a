"""A spool into the graph over Bolt: batches, each moving the run's cursor in its own transaction.

Relationships are CREATEd, four times as fast as MERGE; that a batch is loaded once is the cursor's work. An
interrupted load goes on at the cursor, a finished one has nothing left to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlas.address import canonical
from atlas.errors import BusyError, DataError, SpoolError, StoreError
from atlas.schema import NODE_TYPES, Table, statements
from atlas.spool import RunRecord, Spool
from atlas.store.connection import Connection, Run
from atlas.store.lease import writing
from atlas.store.prepare import ATLAS
from atlas.store.runs import COMPLETE, LOADING, Checkpoint, RunInfo, dependents, list_runs, remove_held

BATCH_ROWS = 10_000
LIST_ROWS = 500
REPLAN_SECONDS = 600
Progress = Callable[[str, int, int], None]

_BEGIN = "MERGE (r:Run {id: $run}) ON CREATE SET r += $properties RETURN r.cursor AS cursor"
_LOOK = (
    "MATCH (a:Atlas {id: $atlas}) WHERE a.lease = $holder "
    "MATCH (r:Run {id: $run}) SET r.status = $loading RETURN r.cursor AS cursor"
)
_ADVANCE = "MATCH (r:Run {id: $run}) SET r.cursor = $after"
_END = "MATCH (r:Run {id: $run}) SET r.status = $complete"


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    ``rows`` loaded now per table; ``resumed`` if an interrupted load was finished, ``unchanged`` if the run was
    there already; ``replaced`` are the runs removed for it.
    """

    run: str
    rows: Mapping[str, int]
    resumed: bool
    unchanged: bool
    replaced: tuple[str, ...]
    seconds: float


def load(
    spool: Spool,
    connection: Connection,
    *,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> LoadReport:
    """Load a spool; twice is once, and interrupted anywhere it goes on where it stopped.

    An older run of the same method under the same address root, and all that build on it, are removed first.

    Parameters
    ----------
    progress : called with table, rows done and rows in all after each batch.
    checkpoint : called with a name at each step, for tests that cut the load there.

    Raises
    ------
    DataError : the model is in the atlas through another data set.
    SpoolError : a required run is missing, or a row names a node that is not there.
    BusyError : somebody else writes.
    StoreError : the graph is of a newer schema, or the database fails.
    """
    started = time.monotonic()
    with writing(connection) as holder:
        job = _Job(spool, connection, holder, progress or (lambda *_: None), checkpoint or (lambda _: None))
        job.checkpoint("lease")
        runs = list_runs(connection)
        replaced = job.make_room(runs)
        before = next((run for run in runs if run.id == spool.run.id and run.id not in replaced), None)
        unchanged = before is not None and before.status == COMPLETE
        rows = {} if unchanged else job.load(dict(before.cursor) if before else {})
    return LoadReport(
        spool.run.id,
        rows,
        before is not None and not unchanged,
        unchanged,
        replaced,
        time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Job:
    spool: Spool
    connection: Connection
    holder: str
    progress: Progress
    checkpoint: Checkpoint

    def make_room(self, runs: Sequence[RunInfo]) -> tuple[str, ...]:
        """Check that the run may be loaded, remove what it replaces, and return that."""
        run = self.spool.run
        check_place(run, runs)
        old = dependents(runs, [known.id for known in runs if _replaced(known, run, self.spool.digest)])
        for needed in run.requires:
            if needed in old or not any(r.id == needed and r.status == COMPLETE for r in runs):
                raise SpoolError(
                    "a run that this one builds on is not in the atlas",
                    where=self.spool.folder,
                    expected=f"run {needed}",
                    got="none" if needed not in old else "one that this spool replaces",
                    next_step="load its spool first",
                )
        remove_held(self.connection, old, self.checkpoint)
        return tuple(old)

    def load(self, cursor: dict[str, int]) -> dict[str, int]:
        """Load all rows behind the cursor."""
        properties = run_properties(self.spool)
        self.connection.write(_BEGIN, {"run": self.spool.run.id, "properties": properties})
        self.checkpoint("run")
        loaded: dict[str, int] = {}
        for item in self.spool.tables():
            first, total = cursor.get(item.name, 0), self.spool.rows(item.name)
            for batch in self.spool.batches(item, first, batch_rows(item)):
                after = cursor | {item.name: cursor.get(item.name, 0) + len(batch)}
                self._batch(item, batch, cursor, after)
                cursor = after
                self.progress(item.name, cursor[item.name], total)
                self.checkpoint(f"after {item.name} {cursor[item.name]}")
            if total > first:
                loaded[item.name] = total - first
        self.checkpoint("loaded")
        self.connection.write(_END, {"run": self.spool.run.id, "complete": COMPLETE})
        self.checkpoint("complete")
        # Plans made while the graph was empty would go on scanning it.
        self.connection.auto("CALL db.prepareForReplanning($seconds)", {"seconds": REPLAN_SECONDS})
        return loaded

    def _batch(
        self, item: Table, batch: list[list[Any]], before: Mapping[str, int], after: Mapping[str, int]
    ) -> None:
        run = self.spool.run.id

        def work(do: Run) -> None:
            found = do(_LOOK, {"atlas": ATLAS, "holder": self.holder, "run": run, "loading": LOADING}).rows
            if not found:
                raise BusyError(
                    "the right to write was lost to somebody else",
                    where=self.connection.target.uri,
                    next_step="run the command again; it goes on where it stopped",
                )
            if found[0][0] == canonical(after):
                # The commit had happened and only its answer was lost.
                return
            if found[0][0] != canonical(before):
                raise StoreError("the run's cursor moved under the load", where=run, next_step="load again")
            stored = do(statements.load(item), {"rows": batch, "run": run}).rows[0][0]
            if stored != len(batch):
                raise _MissingEndError
            do(_ADVANCE, {"run": run, "after": canonical(after)})
            self.checkpoint(f"inside {item.name} {after[item.name]}")

        try:
            self.connection.transact(work, timeout=0)
        except _MissingEndError:
            raise self._missing(item, batch, before.get(item.name, 0)) from None

    def _missing(self, item: Table, batch: list[list[Any]], first: int) -> SpoolError:
        at, label, name = self.connection.read(statements.missing_end(item), {"rows": batch}, timeout=0).rows[
            0
        ]
        return SpoolError(
            "a row names a node that is not in the atlas",
            where=f"{self.spool.folder}: {item.name} row {first + at}",
            expected=f"a {label}",
            got=name,
            next_step="ingest again",
        )


class _MissingEndError(Exception):
    """Undoes the transaction of a batch that did not find all its ends."""


def batch_rows(item: Table) -> int:
    """Rows per transaction: a row with a list weighs as much as twenty without."""
    return LIST_ROWS if any(p.kind in ("floats", "integers") for p in item.columns) else BATCH_ROWS


def check_place(run: RunRecord, runs: Sequence[RunInfo]) -> None:
    """Refuse a run whose address root is in the atlas through another data set.

    Raises
    ------
    DataError : naming both data sets and the two ways out.
    """
    for known in runs:
        if known.model == run.model and known.data != run.data_digest:
            raise DataError(
                "this model is in the atlas through another data set",
                where=run.model,
                expected=f"{known.dataset} ({known.data[:8]})",
                got=f"{run.dataset} ({run.data_digest[:8]})",
                next_step=f"put it beside with --as TAG, or remove {known.id} first with `atlas runs rm`",
            )


def _replaced(known: RunInfo, run: RunRecord, digest: str) -> bool:
    if known.id == run.id:
        return known.digest != digest or known.status not in (LOADING, COMPLETE)
    return (known.model, known.method) == (run.model, run.method)


def run_properties(spool: Spool) -> dict[str, Any]:
    """Properties of the Run node at the start of its load."""
    run = spool.run
    return {
        "model": run.model,
        "dataset": run.dataset,
        "data": run.data_digest,
        "method": run.method,
        "version": run.version,
        "parameters": canonical(run.parameters),
        "seed": run.seed,
        "code": run.code,
        "device": run.device,
        "started": run.started,
        "finished": run.finished,
        "status": LOADING,
        "cursor": canonical({}),
        "wrote": canonical(
            {
                item.name: [name for name in spool.manifest.tables[item.name].columns if name != "id"]
                for item in spool.tables()
                if item.relationship is None and NODE_TYPES[item.name].shared
            }
        ),
        "requires": list(run.requires),
        "digest": spool.digest,
        "facts": canonical(run.facts),
    }
