"""Tests of `atlas.store.local`: two starts, stale files, taken ports, full disks and kills lose nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import psutil
import pytest

from atlas.errors import DiskError, StoreError
from atlas.store import jars as jars_module
from atlas.store import local, process, state
from atlas.store.connection import Connection, Target
from atlas.store.settings import Settings
from atlas.store.state import Places

pytestmark = pytest.mark.server
SMALL = {"atlas_heap": "512m", "atlas_page_cache": "64m"}


def settings_of(home: Path, jars: Path) -> Settings:
    return Settings(atlas_home=home, atlas_neo4j_lib=jars, **SMALL)  # type: ignore[arg-type]


@pytest.fixture
def settings(template: Path, jars: Path, tmp_path: Path) -> Iterator[Settings]:
    """An initialised home of the test's own, its server down; stopped afterwards whatever happens."""
    home = tmp_path / "atlas"
    shutil.copytree(template, home)
    own = settings_of(home, jars)
    yield own
    local.stop(own)


def pid_of(settings: Settings) -> int:
    running = state.running(Places(settings.atlas_home))
    assert running is not None
    return int(running["pid"])


def add(target: Target) -> None:
    with Connection(target) as connection:
        connection.write("CREATE (:Kept)")


def count(target: Target) -> int:
    with Connection(target) as connection:
        return int(connection.read("MATCH (n) RETURN count(n) AS n").rows[0][0])


def test_the_running_server_is_found_again_at_once(server: object, jars: Path) -> None:
    own: Settings = server.settings  # type: ignore[attr-defined]
    before = pid_of(own)
    assert local.start(own, notify=pytest.fail) == local.running_target(own)
    assert pid_of(own) == before


def test_the_password_is_private(server: object) -> None:
    places = Places(server.settings.atlas_home)  # type: ignore[attr-defined]
    assert stat.S_IMODE(places.password.stat().st_mode) == 0o600
    assert stat.S_IMODE(places.run.stat().st_mode) == 0o700
    assert not places.first_password.exists()
    arguments = psutil.Process(pid_of(server.settings)).cmdline()  # type: ignore[attr-defined]
    assert places.password.read_text() not in " ".join(arguments)


def test_without_its_password_file_the_server_is_not_guessed_at(settings: Settings) -> None:
    places = Places(settings.atlas_home)
    state.write(places, os.getpid(), state.new_ports(places), "bolt://127.0.0.1:1", "5.26.30")
    places.password.unlink()
    try:
        with pytest.raises(StoreError, match="password of the managed server is gone"):
            local.running_target(settings)
    finally:
        places.state.unlink()


@pytest.mark.slow
def test_a_cold_start_changes_the_throw_away_password(
    tmp_path: Path, jars: Path, launch: local.Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings_of(tmp_path / "atlas", jars)
    places = Places(own.atlas_home)
    seen: list[str] = []
    run_admin = process.admin

    def watched(lib: Path, home: Path, arguments: tuple[str, ...]) -> str:
        seen.extend(arguments)
        return run_admin(lib, home, arguments)

    monkeypatch.setattr(process, "admin", watched)
    said: list[str] = []
    target = local.start(own, notify=said.append, launch=launch)
    try:
        assert len(said) == 1
        assert target.password not in seen
        assert places.password.read_text() == target.password
        with pytest.raises(StoreError, match="user name or password"):
            Connection(replace(target, password=seen[-1]))
        # Cut after the change and before the throw-away file was removed: the next start copes.
        local.stop(own)
        places.first_password.write_text(seen[-1])
        add(local.start(own, launch=launch))
        assert not places.first_password.exists()
    finally:
        local.stop(own)


@pytest.mark.slow
def test_two_starts_at_once_give_one_server(settings: Settings, launch: local.Launch) -> None:
    together = Barrier(2)

    def start(_: int) -> Target:
        together.wait()
        return local.start(settings, launch=launch)

    # The pool outlives the check: a server started for tests ends with the thread that started it.
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, range(2))
        assert first == second
        assert process.of_home(Places(settings.atlas_home).home) == [pid_of(settings)]
        assert count(first) == 0
        assert local.stop(settings)


@pytest.mark.slow
def test_killed_restarted_stale_and_reused_ids_lose_nothing(settings: Settings, launch: local.Launch) -> None:
    places = Places(settings.atlas_home)
    add(local.start(settings, launch=launch))
    first = pid_of(settings)
    process.end(first, signal.SIGKILL, 10)
    assert local.running_target(settings) is None

    stale = json.loads(places.state.read_text())
    places.state.write_text(json.dumps(stale | {"pid": os.getpid(), "created": stale["created"] - 60}))
    target = local.start(settings, launch=launch)
    assert pid_of(settings) not in (first, os.getpid())
    assert target.uri == stale["uri"]
    assert count(target) == 1

    places.state.unlink()
    adopted = local.start(settings, notify=lambda _: None, launch=launch)
    assert adopted == target
    assert process.of_home(places.home) == [pid_of(settings)]
    assert local.stop(settings)
    assert not local.stop(settings)
    assert process.of_home(places.home) == []


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_a_taken_port_is_replaced(
    settings: Settings, launch: local.Launch, monkeypatch: pytest.MonkeyPatch, *, seen: bool
) -> None:
    """Taken when we look, or taken between our look and the server's own."""
    places = Places(settings.atlas_home)
    ports = state.new_ports(places)
    if not seen:
        monkeypatch.setattr(process, "free", lambda *_: True)
    with socket.create_server(("127.0.0.1", ports.bolt)):
        target = local.start(settings, launch=launch)
    assert target.uri != f"bolt://127.0.0.1:{ports.bolt}"
    assert count(target) == 0


def limited(launch: local.Launch, size: int) -> local.Launch:
    """A disk on which no file can grow beyond `size` bytes: what a full one looks like, without a mount."""
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    code = f"import os, resource, sys; {limit}; os.execv(sys.argv[1], sys.argv[1:])"
    return replace(launch, wrapper=(*launch.wrapper, sys.executable, "-S", "-E", "-c", code))


@pytest.mark.slow
def test_a_full_disk_is_a_clear_line_and_nothing_is_lost(settings: Settings, launch: local.Launch) -> None:
    add(local.start(settings, launch=launch))
    local.stop(settings)
    with pytest.raises(DiskError, match="disk is full"):
        local.start(settings, launch=limited(launch, 4096))
    assert process.of_home(Places(settings.atlas_home).home) == []
    assert local.running_target(settings) is None
    assert count(local.start(settings, launch=launch)) == 1


@pytest.mark.slow
def test_a_disk_that_fills_while_writing_keeps_every_committed_batch(
    settings: Settings, launch: local.Launch
) -> None:
    cypher = "UNWIND range(1, 1000) AS i CREATE (:Kept {batch: $batch, text: $text})"
    committed: list[int] = []

    def fill(connection: Connection) -> None:
        for batch in range(100):
            connection.write(cypher, {"batch": batch, "text": "x" * 500})
            committed.append(batch)

    target = local.start(settings, launch=limited(launch, 3_000_000))
    with Connection(target) as connection, pytest.raises(DiskError, match="disk is full"):
        fill(connection)
    assert committed
    assert local.stop(settings)
    with Connection(local.start(settings, launch=launch)) as connection:
        kept = connection.read("MATCH (n) RETURN n.batch AS batch, count(*) AS n ORDER BY batch").rows
    assert kept == tuple((batch, 1000) for batch in committed)


@pytest.mark.slow
def test_a_test_server_dies_with_its_parent(settings: Settings, launch: local.Launch) -> None:
    """What lets a killed test run leave nothing behind."""
    code = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from atlas.store import local
        from atlas.store.settings import Settings
        wrapper = (*sys.argv[2:-1], str(os.getpid()))
        local.start(Settings(), launch=local.Launch(wrapper=wrapper))
        print("up", flush=True)
        time.sleep(60)
    """)
    environment = {
        **os.environ,
        "ATLAS_HOME": str(settings.atlas_home),
        "ATLAS_NEO4J_LIB": str(settings.atlas_neo4j_lib),
        "ATLAS_HEAP": "512m",
    }
    command = [sys.executable, "-c", code, "--", *launch.wrapper]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        pid = pid_of(settings)
        parent.kill()
    psutil.wait_procs([found for found in psutil.process_iter() if found.pid == pid], timeout=30)
    assert not process.alive(pid)


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(settings: Settings, launch: local.Launch) -> None:
    broken = replace(launch, java=("-XX:NoSuchOption",))
    with pytest.raises(StoreError, match=r"ended while starting.*atlas server logs"):
        local.start(settings, launch=broken)
    assert process.of_home(Places(settings.atlas_home).home) == []


@pytest.mark.slow
def test_an_interrupted_start_leaves_no_process(
    settings: Settings, launch: local.Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "listens", interrupted)
    with pytest.raises(KeyboardInterrupt):
        local.start(settings, launch=launch)
    assert process.of_home(Places(settings.atlas_home).home) == []


@pytest.mark.slow
def test_the_server_outlives_the_command_that_started_it(settings: Settings) -> None:
    environment = {
        **os.environ,
        "ATLAS_HOME": str(settings.atlas_home),
        "ATLAS_NEO4J_LIB": str(settings.atlas_neo4j_lib),
        "ATLAS_HEAP": "512m",
        "ATLAS_PAGE_CACHE": "64m",
    }
    code = textwrap.dedent("""
        import sys
        from atlas.store.connection import connect
        with connect(notify=lambda line: print(line, file=sys.stderr)) as connection:
            connection.write("CREATE (:Kept)")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"Starting Neo4j {jars_module.NEO4J_VERSION}" in done.stderr
    target = local.running_target(settings)
    assert target is not None
    assert count(target) == 1


@pytest.mark.slow
def test_offline_work_holds_the_server_down(settings: Settings, launch: local.Launch) -> None:
    local.start(settings, launch=launch)
    with local.stopped(settings) as home:
        assert local.running_target(settings) is None
        assert "full" in local.admin(settings, "database", "import", "--help")
        assert home == Places(settings.atlas_home).home
    with pytest.raises(StoreError, match="neo4j-admin no such failed"):
        local.admin(settings, "no", "such")
