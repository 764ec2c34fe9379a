"""The managed server: one Neo4j per ATLAS_HOME, started, found, stopped, and never left half-made.

Files under ATLAS_HOME: `server/` is Neo4j's home; `run/lock` is held by whoever starts or stops;
`run/ports.json` keeps the ports; `run/password` the password, `run/password.first` the throw-away one until
it is changed; `run/server.json` tells process, address and version, and is written when the server answers.
It stays after a stop: a process counts only if its id and its creation time both match.
"""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from atlas.errors import AtlasError, BusyError, DiskError, StoreError
from atlas.store import process, state
from atlas.store.configuration import Memory, Ports, memory_limit, plan_memory, server_configuration
from atlas.store.connection import Connection, Target, change_password
from atlas.store.files import disk_errors, says_full, write_atomic
from atlas.store.jars import NEO4J_VERSION, ensure_jars
from atlas.store.settings import Settings
from atlas.store.state import Places

READY_SECONDS = 180.0
STOP_SECONDS = 60.0
LOCK_SECONDS = 240.0
USER = "neo4j"
Notify = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """How to start the process: Java options after our own, and a command that executes what follows it.

    ``unfinished`` starts it in spite of the mark of an import, for that import to finish.
    """

    java: tuple[str, ...] = ()
    wrapper: tuple[str, ...] = ()
    unfinished: bool = False


def running_target(settings: Settings) -> Target | None:
    """Where the managed server listens, or None when it does not run."""
    places = Places(settings.atlas_home)
    running = state.running(places)
    return None if running is None else _target(places, running["uri"], settings)


def start(settings: Settings, *, notify: Notify | None = None, launch: Launch = Launch()) -> Target:
    """Start the managed server, or find it running; returns when it answers an authenticated query.

    Raises
    ------
    StoreError : it ended while starting (the log's last words are in the line), a newer store, or Windows.
    BusyError : another start or stop has held the lock for minutes.
    DiskError : the disk of ATLAS_HOME is full or cannot be written.
    """
    if sys.platform == "win32":
        raise StoreError("the managed server does not run on Windows", next_step="use WSL, or set NEO4J_URI")
    places = Places(settings.atlas_home)
    with _locked(places):
        target = running_target(settings)
        if target is not None:
            return target
        state.refuse_newer(places)
        if places.importing.exists() and not launch.unfinished:
            raise StoreError(
                "an import into this server was cut",
                where=places.home,
                next_step="run the same command (`atlas demo`, `atlas ingest` or `atlas load --via import`) again; "
                "it begins anew",
            )
        jars = ensure_jars(settings, notify)
        if notify is not None:
            notify(f"Starting Neo4j {NEO4J_VERSION} in {places.home} (stop it with: atlas server stop)")
        with disk_errors(places.root):
            return _start_locked(places, settings, jars, launch)


def stop(settings: Settings) -> bool:
    """Stop the managed server and wait until its process is gone; False when none was running.

    Raises
    ------
    BusyError : another start or stop has held the lock for minutes.
    """
    places = Places(settings.atlas_home)
    if not places.root.is_dir():
        return False
    with _locked(places):
        pids = [found["pid"]] if (found := state.running(places)) else process.of_home(places.home)
        for pid in pids:
            process.end(pid, signal.SIGTERM, STOP_SECONDS)
        return bool(pids)


@contextmanager
def stopped(settings: Settings) -> Iterator[Path]:
    """Keep the managed server down for the length of the block, with its lock held; gives Neo4j's home.

    For offline work such as an import; the server is not started again.
    """
    places = Places(settings.atlas_home)
    stop(settings)
    with _locked(places):
        if state.running(places) is not None:
            raise BusyError(
                "another process started the server again", where=places.home, next_step="try again"
            )
        yield places.home


def admin(settings: Settings, *arguments: str, heard: Callable[[str], None] | None = None) -> str:
    """Run `neo4j-admin` with `arguments` on the managed server's home, in its memory; give what it printed.

    ``heard`` is called with each line as it is printed.

    Raises
    ------
    StoreError : it failed; the line carries its last words.
    """
    places = Places(settings.atlas_home)
    return process.admin(ensure_jars(settings), places.home, arguments, memory_of(settings).heap, heard)


def _start_locked(places: Places, settings: Settings, jars: Path, launch: Launch) -> Target:
    orphans = process.of_home(places.home)
    if orphans:
        # Its starter was ended before it could write the state.
        return _await_ready(places, settings, orphans[0], state.kept_ports(places, busy=True), 0)
    for folder in (places.home / "conf", places.home / "logs", places.home / "import", places.run):
        folder.mkdir(parents=True, exist_ok=True)
    _write_password(places)
    for attempt in range(3):
        ports = state.kept_ports(places) if attempt == 0 else state.new_ports(places)
        _configure(places, settings, jars, ports)
        offset = places.log.stat().st_size if places.log.exists() else 0
        pid = process.spawn(jars, places.home, memory_of(settings).heap, launch.java, launch.wrapper)
        try:
            return _await_ready(places, settings, pid, ports, offset)
        except _PortTakenError:
            continue
        except BaseException:
            # Nothing half-started is left behind, whether the server or the person waiting gave up.
            process.end(pid, signal.SIGTERM, STOP_SECONDS)
            raise
    raise StoreError(
        "no free port could be kept", where="127.0.0.1", next_step="end what takes every port, then try again"
    )


def _configure(places: Places, settings: Settings, jars: Path, ports: Ports) -> None:
    write_atomic(places.home / "conf" / "neo4j.conf", server_configuration(memory_of(settings), ports))
    if not (places.home / "data" / "databases").exists():
        # The argument list is public on this machine: what it shows is changed as soon as the server answers.
        throw_away = secrets.token_urlsafe(24)
        write_atomic(places.first_password, throw_away, mode=0o600)
        process.admin(jars, places.home, ("dbms", "set-initial-password", "--", throw_away))


def _await_ready(places: Places, settings: Settings, pid: int, ports: Ports, offset: int) -> Target:
    uri = f"bolt://127.0.0.1:{ports.bolt}"
    target = _target(places, uri, settings)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if not process.alive(pid):
            raise _why_ended(places, offset)
        if process.listens(pid, ports.bolt, ports.http):
            try:
                _settle_password(places, target)
                with Connection(target) as connection:
                    connection.read("RETURN 1 AS one")
                    version = connection.version
            except StoreError:
                if not process.alive(pid) or says_full(process.said_since(places.home, places.log, offset)):
                    raise _why_ended(places, offset) from None
            else:
                state.write(places, pid, ports, uri, version)
                return target
        time.sleep(0.1)
    raise StoreError(
        f"the server did not answer within {READY_SECONDS:.0f} s",
        where=uri,
        next_step="read the log: atlas server logs",
    )


def _settle_password(places: Places, target: Target) -> None:
    """Change the throw-away password into the kept one; does nothing the second time."""
    if not places.first_password.exists():
        return
    first = places.first_password.read_text(encoding="utf-8")
    try:
        change_password(Target(target.uri, target.user, first), target.password or "")
    except StoreError:
        # Changed before, and cut before the file went: then the kept password works.
        Connection(target).close()
    places.first_password.unlink()


def _target(places: Places, uri: str, settings: Settings) -> Target:
    try:
        password = places.password.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StoreError(
            "the password of the managed server is gone",
            where=places.password,
            next_step="put the file back; without it the store cannot be opened",
        ) from None
    return Target(uri, USER, password, settings.neo4j_database)


def _write_password(places: Places) -> None:
    if not places.password.exists():
        write_atomic(places.password, secrets.token_urlsafe(24), mode=0o600)


def memory_of(settings: Settings) -> Memory:
    """Heap and page cache of the managed server: what the settings say, or a part of this machine's memory."""
    return plan_memory(
        memory_limit(psutil.virtual_memory().total),
        heap=settings.atlas_heap,
        page_cache=settings.atlas_page_cache,
    )


class _PortTakenError(Exception):
    """The server found one of its ports taken between our look and its own."""


def _why_ended(places: Places, offset: int) -> AtlasError | _PortTakenError:
    said = process.said_since(places.home, places.log, offset)
    if "Address already in use" in said or "PortBindException" in said:
        return _PortTakenError()
    if says_full(said):
        return DiskError(
            "the server cannot write: the disk is full",
            where=places.home,
            next_step="free some space and start it again; what was committed is kept",
        )
    return StoreError(
        f"the server ended while starting, saying {process.reason(said)!r}",
        where=places.log,
        next_step="read the log: atlas server logs",
    )


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    with disk_errors(places.root):
        places.run.mkdir(parents=True, exist_ok=True)
        places.run.chmod(0o700)
        lock = FileLock(places.run / "lock", timeout=LOCK_SECONDS)
    try:
        with lock:
            yield
    except Timeout:
        raise BusyError(
            "another process is starting or stopping the server",
            where=places.run / "lock",
            next_step="wait for it, or end it and try again",
        ) from None
