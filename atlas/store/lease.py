"""One writer per atlas: a file lock on this machine, and a lease on the Atlas node for all others.

Batches check the lease inside their own transaction, so a writer that lost it (it slept too long) writes no more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from atlas.errors import AtlasError, BusyError
from atlas.store.connection import Connection, Run
from atlas.store.files import disk_errors
from atlas.store.prepare import ATLAS, constrain, introduce, migrate
from atlas.store.settings import load_settings

LEASE_SECONDS = 60.0

# Writing any property takes the node's lock, so what is read behind it cannot change before the commit.
_LOOK = (
    "MATCH (a:Atlas {id: $atlas}) SET a.schema = a.schema "
    "RETURN a.lease AS lease, coalesce(a.lease_until, 0.0) - timestamp() / 1000.0 AS left"
)
_TAKE = "MATCH (a:Atlas {id: $atlas}) SET a.lease = $holder, a.lease_until = timestamp() / 1000.0 + $seconds"
_RENEW = (
    "MATCH (a:Atlas {id: $atlas}) WHERE a.lease = $holder "
    "SET a.lease_until = timestamp() / 1000.0 + $seconds RETURN a.id"
)
_RELEASE = "MATCH (a:Atlas {id: $atlas}) WHERE a.lease = $holder SET a.lease = null, a.lease_until = null"


@dataclass(frozen=True)
class Holder:
    """A process that writes: its machine, id, time of creation, and a mark of the job inside it."""

    machine: str
    pid: int
    created: int
    mark: str

    @classmethod
    def here(cls) -> Holder:
        """This process, with a new mark."""
        return cls(platform.node(), os.getpid(), _created(os.getpid()), uuid.uuid4().hex[:8])

    def __str__(self) -> str:
        return f"{self.machine} {self.pid} {self.created} {self.mark}"

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """The holder of a lease, None if the text is not ours."""
        parts = text.rsplit(" ", 3)
        if len(parts) != 4 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])

    def gone(self) -> bool:
        """Whether it was a process of this machine that no longer lives."""
        if self.machine != platform.node():
            return False
        try:
            return _created(self.pid) != self.created
        except psutil.NoSuchProcess:
            return True


def _created(pid: int) -> int:
    return int(psutil.Process(pid).create_time())


@contextmanager
def writing(connection: Connection, *, seconds: float = LEASE_SECONDS) -> Iterator[str]:
    """Be the one writer of the atlas inside the block; the schema is ready then.

    Parameters
    ----------
    seconds : length of the lease; it is renewed four times as often. One that ran out, or whose process died
        on this machine, is taken over.

    Yields
    ------
    The holder's text, which every write checks against ``Atlas.lease``.

    Raises
    ------
    BusyError : somebody else writes.
    StoreError : the graph is of a newer schema, or the database cannot be reached.
    """
    with file_lock(connection):
        version = introduce(connection)
        holder = str(Holder.here())
        connection.transact(lambda run: _take(run, holder, seconds))
        ended = threading.Event()
        renewal = threading.Thread(
            target=_renew, args=(connection, holder, seconds, ended), name="lease", daemon=True
        )
        renewal.start()
        try:
            migrate(connection, version)
            constrain(connection)
            yield holder
        finally:
            ended.set()
            renewal.join()
            _release(connection, holder)


def _take(run: Run, holder: str, seconds: float) -> None:
    lease, left = run(_LOOK, {"atlas": ATLAS}).rows[0]
    if lease is not None and lease != holder and left > 0:
        other = Holder.parse(lease)
        if other is None or not other.gone():
            who = lease if other is None else f"process {other.pid} on {other.machine}"
            raise BusyError(
                "somebody else writes to this atlas",
                where=who,
                next_step=f"wait for it to end; if it died, its lease ends in {left:.0f} s",
            )
    run(_TAKE, {"atlas": ATLAS, "holder": holder, "seconds": seconds})


def _renew(connection: Connection, holder: str, seconds: float, ended: threading.Event) -> None:
    while not ended.wait(seconds / 4):
        try:
            connection.write(_RENEW, {"atlas": ATLAS, "holder": holder, "seconds": seconds})
        except AtlasError:
            # The next turn may succeed; if none does, the writer's own transactions find the lease lost.
            continue


def _release(connection: Connection, holder: str) -> None:
    try:
        connection.write(_RELEASE, {"atlas": ATLAS, "holder": holder})
    except AtlasError:
        # The database is gone; this process's end frees the lease.
        return


@contextmanager
def file_lock(connection: Connection) -> Iterator[None]:
    """Keep every other writer of this machine out. Raises BusyError if there is one."""
    path = lock_path(connection)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                "another command on this machine writes to this atlas",
                where=connection.target.uri,
                next_step="wait for it to end",
            ) from None
    try:
        yield
    finally:
        lock.release()


def lock_path(connection: Connection) -> Path:
    """The file that a writer of this database locks on this machine."""
    database = f"{connection.target.uri} {connection.target.database}"
    name = hashlib.sha256(database.encode()).hexdigest()[:12]
    return load_settings().atlas_home / "run" / f"writer-{name}.lock"
