"""Tests of `atlas.store.state` and `atlas.store.process`: which process is ours, which ports are free."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.errors import BusyError, DiskError, StoreError
from atlas.store import files, local, process, state
from atlas.store.configuration import Ports
from atlas.store.settings import Settings
from atlas.store.state import Places
from atlas.store.status import log_tail, server_status

PORTS = Ports(20001, 20002)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "atlas")


def test_a_pid_counts_only_with_its_creation_time(places: Places) -> None:
    """After a reboot the id in the file may belong to anybody, here to this very test."""
    state.write(places, os.getpid(), PORTS, "bolt://127.0.0.1:20001", "5.26.30")
    assert state.running(places) is not None
    found = json.loads(places.state.read_text())
    places.state.write_text(json.dumps(found | {"created": found["created"] - 3600}))
    assert state.running(places) is None
    assert state.read(places)["pid"] == os.getpid()


def test_a_dead_process_does_not_run(places: Places) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        state.write(places, child.pid, PORTS, "bolt://127.0.0.1:20001", "5.26.30")
    assert state.running(places) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "1"}', '{"pid": 1}'])
def test_a_damaged_state_counts_as_none(places: Places, text: str) -> None:
    places.run.mkdir(parents=True)
    places.state.write_text(text)
    assert state.running(places) is None


def test_a_store_of_a_newer_server_is_refused_before_anything_is_touched(places: Places) -> None:
    state.write(places, os.getpid(), PORTS, "bolt://127.0.0.1:20001", "5.27.0")
    found = json.loads(places.state.read_text())
    places.state.write_text(json.dumps(found | {"created": 0.0}))
    with pytest.raises(StoreError, match=r"newer Neo4j.*expected 5\.26\.30 or older, got 5\.27\.0"):
        local.start(Settings(atlas_home=places.root))
    assert not places.home.exists()


def test_ports_are_kept_until_one_is_taken(places: Places) -> None:
    first = state.kept_ports(places)
    assert state.kept_ports(places) == first
    with socket.create_server(("127.0.0.1", first.http)):
        assert state.kept_ports(places, busy=True) == first
        second = state.kept_ports(places)
    assert second != first
    assert state.kept_ports(places) == second


def test_only_the_process_itself_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert process.listens(os.getpid(), port)
        assert not process.listens(os.getpid(), port, 1)
        assert not process.listens(os.getppid(), port)
        assert not process.free(port)


def test_end_is_over_when_the_process_is_gone() -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    stubborn = f"{ignoring}; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process.end(child.pid, process.signal.SIGTERM, 0.2)
        assert not process.alive(child.pid)


def test_the_reason_is_the_last_cause() -> None:
    said = "INFO Starting...\nERROR Failed\njava.lang.RuntimeException: x\n\tat a.b(C.java:1)\n"
    said += "Caused by: y\n\tat d\n... 3 more\nINFO bye"
    assert process.reason(said) == "Caused by: y"
    assert process.reason("") == "it said nothing"


def test_the_server_sees_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "secret")
    monkeypatch.setenv("ATLAS_HOME", "here")
    assert not [name for name in process._environment() if name.startswith(("NEO4J_", "ATLAS_"))]


def test_nothing_to_stop_and_no_log_yet(places: Places) -> None:
    settings = Settings(atlas_home=places.root)
    assert not local.stop(settings)
    assert not places.root.exists()
    assert log_tail(settings, 5) == []
    status = server_status(settings)
    assert (status.running, status.managed, status.pid, status.uri) == (False, True, None, None)


def test_a_held_lock_is_a_clear_line(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.1)
    settings = Settings(atlas_home=places.root)
    with local._locked(places):
        for action in (local.start, local.stop):
            with pytest.raises(BusyError, match="starting or stopping the server"):
                action(settings)


def test_a_home_that_is_a_file_is_a_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="where a folder is needed"):
        local.start(Settings(atlas_home=tmp_path / "file"))


def test_windows_is_pointed_elsewhere(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "platform", "win32")
    with pytest.raises(StoreError, match=r"Windows.*WSL.*NEO4J_URI"):
        local.start(Settings(atlas_home=places.root))


def test_a_file_is_written_whole_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    files.write_atomic(path, "one", mode=0o600)
    files.write_atomic(path, "two", mode=0o600)
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


FULL = """
import pathlib, resource, signal, sys
from atlas.errors import DiskError
from atlas.store.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    write_atomic(pathlib.Path(sys.argv[1]), "x" * 100)
except DiskError as error:
    print(error)
"""


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"the disk is full: {path}")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
