"""Tests of `atlas server`: what a person and a script see."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atlas.cli.server import app
from atlas.errors import StoreError
from atlas.store import local
from atlas.store.settings import Settings

RUN = CliRunner()
FIELDS = ["running", "managed", "uri", "user", "password_file", "browser", "pid", "home", "log", "version"]


@pytest.mark.server
def test_status_of_the_running_server(server_environment: dict[str, str]) -> None:
    done = RUN.invoke(app, ["status", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found) == FIELDS
    assert (found["running"], found["managed"], found["user"], found["version"]) == (
        True,
        True,
        "neo4j",
        "5.26.30",
    )
    assert Path(found["password_file"]).stat().st_size > 16
    assert Path(found["log"]).is_file()
    assert found["browser"].startswith("http://127.0.0.1:")
    text = RUN.invoke(app, ["status"], catch_exceptions=False).stdout
    assert "Managed server: running" in text
    assert found["uri"] in text
    assert "Started." in RUN.invoke(app, ["logs", "-n", "500"], catch_exceptions=False).stdout
    assert "running" in RUN.invoke(app, ["start"], catch_exceptions=False).stdout


def test_status_without_a_server_starts_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "none"))
    found = json.loads(RUN.invoke(app, ["status", "--json"], catch_exceptions=False).stdout)
    assert (found["running"], found["pid"]) == (False, None)
    assert "not running" in RUN.invoke(app, ["stop"], catch_exceptions=False).stdout
    assert RUN.invoke(app, ["logs"], catch_exceptions=False).stdout == ""
    assert not (tmp_path / "none").exists()


@pytest.mark.server
def test_status_of_a_foreign_server(server: object, monkeypatch: pytest.MonkeyPatch) -> None:
    target = local.running_target(server.settings)  # type: ignore[attr-defined]
    assert target is not None
    monkeypatch.setenv("NEO4J_URI", target.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", target.password or "")
    found = json.loads(RUN.invoke(app, ["status", "--json"], catch_exceptions=False).stdout)
    assert found == dict.fromkeys(FIELDS) | {
        "running": True,
        "managed": False,
        "uri": target.uri,
        "user": "neo4j",
        "version": "5.26.30",
    }


@pytest.mark.parametrize("command", ["start", "stop", "logs"])
def test_a_foreign_server_is_not_ours_to_run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:1")
    with pytest.raises(StoreError, match="Unset NEO4J_URI"):
        RUN.invoke(app, [command], catch_exceptions=False)
    found = json.loads(RUN.invoke(app, ["status", "--json"], catch_exceptions=False).stdout)
    assert (found["running"], found["managed"], found["uri"]) == (False, False, "bolt://127.0.0.1:1")


@pytest.mark.server
@pytest.mark.slow
def test_start_and_stop(template: Path, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(template, tmp_path / "atlas")
    values = {"HOME": str(tmp_path / "atlas"), "NEO4J_LIB": str(jars), "HEAP": "512m", "PAGE_CACHE": "64m"}
    for name, value in values.items():
        monkeypatch.setenv(f"ATLAS_{name}", value)
    try:
        started = RUN.invoke(app, ["start"], catch_exceptions=False)
        assert "Managed server: running" in started.stdout
        assert "Starting Neo4j" in started.stderr
        assert "Stopped." in RUN.invoke(app, ["stop"], catch_exceptions=False).stdout
    finally:
        local.stop(Settings())
