"""The runs of an atlas: what is there, and taking one out without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlas.errors import AddressError, StoreError
from atlas.schema import NODE_TYPES, statements
from atlas.store.connection import Connection
from atlas.store.lease import writing

Checkpoint = Callable[[str], None]
LOADING, COMPLETE, DELETING = "loading", "complete", "deleting"


@dataclass(frozen=True)
class RunInfo:
    """A Run node. ``cursor`` counts the rows loaded per table, ``wrote`` lists properties per shared label."""

    id: str
    model: str
    dataset: str
    data: str
    method: str
    version: str
    status: str
    parameters: Mapping[str, Any]
    seed: int
    code: str
    device: str
    started: str
    finished: str
    requires: tuple[str, ...]
    digest: str
    facts: Mapping[str, Any]
    cursor: Mapping[str, int]
    wrote: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Removal:
    """What was removed: run ids, dependents first, and how many nodes and relationships went."""

    runs: tuple[str, ...]
    nodes: int
    relationships: int


_JSON = {p.name for p in NODE_TYPES["Run"].own if p.kind == "json"}
_NAMES = tuple(p.name for p in NODE_TYPES["Run"].properties)
_LIST = f"MATCH (r:Run) RETURN {', '.join(f'r.{name} AS {name}' for name in _NAMES)} ORDER BY id"


def list_runs(connection: Connection) -> list[RunInfo]:
    """All runs by id, also those still loading or half removed."""
    return [_info(dict(zip(_NAMES, row, strict=True))) for row in connection.read(_LIST, timeout=0).rows]


def _info(row: Mapping[str, Any]) -> RunInfo:
    values = {name: json.loads(row[name] or "{}") if name in _JSON else row[name] for name in _NAMES}
    return RunInfo(**values | {"requires": tuple(row["requires"] or ())})


def dependents(runs: Iterable[RunInfo], ids: Iterable[str]) -> list[str]:
    """The given runs and all that build on them, those that others build on last."""
    known = {run.id: run for run in runs}
    wanted = set(ids)
    while more := {run.id for run in known.values() if set(run.requires) & wanted} - wanted:
        wanted |= more
    ordered: list[str] = []
    while wanted:
        free = sorted(
            w for w in wanted if not any(w in known[o].requires for o in wanted - {w} if o in known)
        )
        # Runs that require each other cannot come from a spool; were there some, their order is free.
        ordered += free or sorted(wanted)
        wanted -= set(ordered)
    return ordered


def remove(
    connection: Connection,
    run: str,
    *,
    with_dependents: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Removal:
    """Remove what a run wrote and nothing else; a removal that was cut goes on where it stopped.

    What several runs share goes with the last of them; a property of it goes with the last run that wrote it.

    Parameters
    ----------
    with_dependents : also remove the runs that require this one.
    checkpoint : called with a name at each step, for tests that cut the removal there.

    Raises
    ------
    AddressError : no such run.
    StoreError : other runs require it.
    BusyError : somebody else writes.
    """
    with writing(connection):
        runs = list_runs(connection)
        if run not in {known.id for known in runs}:
            raise AddressError("no such run", where=run, next_step="`atlas runs` lists them")
        ids = dependents(runs, [run])
        if len(ids) > 1 and not with_dependents:
            raise StoreError(
                "other runs build on this one",
                where=run,
                got=", ".join(i for i in ids if i != run),
                expected="none",
                next_step="remove these too with --with-dependents",
            )
        return remove_held(connection, ids, checkpoint or (lambda name: None))


def remove_held(connection: Connection, ids: Sequence[str], checkpoint: Checkpoint) -> Removal:
    """Remove runs in this order. The caller holds the lease and has looked after dependents."""
    nodes = relationships = 0
    for run in ids:
        connection.write("MATCH (r:Run {id: $run}) SET r.status = $status", {"run": run, "status": DELETING})
        checkpoint(f"deleting {run}")
        for number, statement in enumerate(_steps(connection, run)):
            counters = connection.auto(statement, {"run": run}).counters
            nodes += counters.get("nodes_deleted", 0)
            relationships += counters.get("relationships_deleted", 0)
            checkpoint(f"step {number} {run}")
        counters = connection.write("MATCH (r:Run {id: $run}) DETACH DELETE r", {"run": run}).counters
        nodes += counters.get("nodes_deleted", 0)
        relationships += counters.get("relationships_deleted", 0)
        checkpoint(f"removed {run}")
    return Removal(tuple(ids), nodes, relationships)


def _steps(connection: Connection, run: str) -> Iterable[str]:
    yield from statements.removal()
    # Only now is what is left of this run shared with others, whose properties must stay.
    yield from statements.release(_written_alone(connection, run))


def _written_alone(connection: Connection, run: str) -> dict[str, list[str]]:
    """Properties per shared label that this run wrote and no other run on the same nodes did."""
    runs = {info.id: info for info in list_runs(connection)}
    alone: dict[str, list[str]] = {}
    for label, names in runs[run].wrote.items():
        others = connection.read(statements.owners(label), {"run": run}, timeout=0).rows[0][0]
        theirs = {name for other in others if other in runs for name in runs[other].wrote.get(label, ())}
        alone[label] = [name for name in names if name not in theirs]
    return alone
