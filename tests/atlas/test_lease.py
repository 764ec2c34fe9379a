"""One writer per atlas, and a dead one does not keep the others out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from atlas.errors import BusyError, StoreError
from atlas.schema import statements
from atlas.store.connection import Connection
from atlas.store.lease import Holder, lock_path, writing
from atlas.store.loader import load
from atlas.store.prepare import ATTEMPTS, again, constrain, introduce

pytestmark = pytest.mark.server
Graph = Callable[[Connection], list[str]]


def lease(connection: Connection) -> tuple[Any, ...]:
    return connection.read("MATCH (a:Atlas) RETURN a.lease, a.lease_until - timestamp() / 1000.0").rows[0]


def hold(connection: Connection, holder: str, seconds: float) -> None:
    introduce(connection)
    connection.write(
        "MATCH (a:Atlas) SET a.lease = $holder, a.lease_until = timestamp() / 1000.0 + $seconds",
        {"holder": holder, "seconds": seconds},
    )


def test_the_lease_is_held_renewed_and_given_back(connection: Connection) -> None:
    with writing(connection, seconds=2.0) as holder:
        assert Holder.parse(holder) == Holder.parse(lease(connection)[0])
        threading.Event().wait(3.0)
        assert lease(connection)[0] == holder
        assert lease(connection)[1] > 0
    assert lease(connection) == (None, None)


def test_a_second_writer_of_this_machine_is_refused(connection: Connection) -> None:
    with (
        FileLock(lock_path(connection)),
        pytest.raises(BusyError, match="another command on this machine writes"),
        writing(connection),
    ):
        pass


def test_a_writer_elsewhere_is_waited_for_until_its_lease_ends(connection: Connection) -> None:
    hold(connection, "elsewhere 77 1700000000 abcd", 30)
    with (
        pytest.raises(
            BusyError, match=r"somebody else writes to this atlas: process 77 on elsewhere\. .* (30|29) s"
        ),
        writing(connection),
    ):
        pass
    hold(connection, "elsewhere 77 1700000000 abcd", -0.001)
    with writing(connection) as holder:
        assert lease(connection)[0] == holder


def test_the_lease_of_a_dead_process_here_is_taken_over(connection: Connection) -> None:
    here = Holder.here()
    hold(connection, str(here), 30)
    with pytest.raises(BusyError), writing(connection):
        pass
    # The same process id, used again by a later process.
    hold(connection, str(Holder(here.machine, here.pid, here.created - 100, "abcd")), 30)
    with writing(connection):
        pass


def test_a_lost_lease_stops_the_load(connection: Connection, spools: Any, tmp_path: Path) -> None:
    run = spools.run_record()
    spool = spools.write(tmp_path / "s", run, spools.structure(run))

    def lose(name: str) -> None:
        if name == "after Layer 2":
            hold(connection, "elsewhere 77 1700000000 abcd", 30)

    with pytest.raises(BusyError, match="the right to write was lost"):
        load(spool, connection, checkpoint=lose)
    assert connection.read("MATCH (n:Neuron) RETURN count(*)").rows == ((0,),)
    assert lease(connection)[0] == "elsewhere 77 1700000000 abcd"


def test_a_stumble_of_the_server_is_tried_again_and_nothing_else() -> None:
    said = ["50N42: Unexpected error", "50N42: Unexpected error"]

    def step() -> int:
        if said:
            raise StoreError(said.pop(), where="bolt://somewhere")
        return 7

    assert again(step, pause=0) == 7
    said += ["50N42"] * ATTEMPTS
    with pytest.raises(StoreError, match="50N42"):
        again(step, pause=0)
    said[:] = ["a lock"]
    with pytest.raises(StoreError, match="a lock"):
        again(step, pause=0)


def test_two_sessions_may_make_the_schema_at_once(bare_connection: Connection) -> None:
    failures: list[BaseException] = []

    def prepare() -> None:
        try:
            introduce(bare_connection)
            constrain(bare_connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    names = bare_connection.auto("SHOW INDEXES YIELD name RETURN collect(name)").rows[0][0]
    assert set(statements.definitions()) <= set(names)


KILLED = """
import os, signal, sys
from pathlib import Path
from atlas.spool import Spool
from atlas.store import loader
from atlas.store.connection import connect
loader.BATCH_ROWS, loader.LIST_ROWS = 5, 3

def checkpoint(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

with connect() as connection:
    loader.load(Spool.open(Path(sys.argv[1])), connection, checkpoint=checkpoint)
"""


def test_a_load_killed_and_resumed_equals_one_that_was_not(
    connection: Connection,
    server_environment: dict[str, str],
    spools: Any,
    whole_graph: Graph,
    tmp_path: Path,
) -> None:
    run = spools.run_record()
    spool = spools.write(tmp_path / "s", run, spools.structure(run))
    load(spool, connection)
    uncut = whole_graph(connection)
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    for name in ("run", "inside Neuron 5", "after Neuron-ACTIVATED_BY-Image 15", "loaded"):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(spool.folder), name],
            env=os.environ | server_environment,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, name
        assert lease(connection)[0] is not None
    report = load(spool, connection)
    assert (report.resumed, report.rows) == (True, {})
    assert whole_graph(connection) == uncut
