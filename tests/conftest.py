"""Fixtures every room shares: a real Neo4j of this worker's own, and an environment apart from the user's.

Usage
-----
    @pytest.mark.server
    def test_something(connection):        # an open atlas.store.connection.Connection, empty database
        connection.write("CREATE (:A {id: 'x'})")
        assert connection.read("MATCH (n:A) RETURN n.id AS id").rows == (("x",),)

`connection`    empty of nodes and relationships before each test; notices of level WARNING (unknown names,
                deprecations) are errors. Indexes and constraints stay: they cost seconds to make, so make
                them with IF NOT EXISTS, or clear them with the next fixture.
`bare_connection`  the same, also without any index or constraint.
`golden`        the golden graph, made once per module, for tests that only read it.
`server`        session-wide; `server.settings` (atlas.store.settings.Settings of the running managed
                server) and `server.environment` (variables for a subprocess that shall find it).
`server_environment`  sets those variables in this process for one test, for in-process CLI runs.
`cli`           the command line in this process, on that server; `good` and `refused` run it.
`jars`          the folder of verified jars.

Without the server fixture nothing is started. Nothing here is ever skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from atlas.schema import TABLES, statements
from atlas.store import local, prepare
from atlas.store.connection import Connection
from atlas.store.jars import NEO4J_VERSION, ensure_jars
from atlas.store.settings import Settings
from tests.cli_runner import Cli

SMALL: dict[str, Any] = {"atlas_heap": "512m", "atlas_page_cache": "64m"}
JAVA_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
VARIABLES = ("NEO4J_", "ATLAS_")
# Run as `python -c DIE_WITH_PARENT parent-id command…`: a killed test run must not leave a server behind.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test run is over")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Server:
    """This worker's running server."""

    settings: Settings
    environment: dict[str, str]


@pytest.fixture(scope="session")
def launch() -> local.Launch:
    """How tests start a server: small, quick to be up, and gone when this process is."""
    wrapper = (sys.executable, "-S", "-E", "-c", DIE_WITH_PARENT, str(os.getpid()))
    return local.Launch(java=JAVA_OPTIONS, wrapper=wrapper)


@pytest.fixture(scope="session")
def user_cache() -> Path:
    """The user's real cache: the jars and the initialised template are shared by all test runs."""
    return Settings().atlas_cache


@pytest.fixture(scope="session", autouse=True)
def _own_environment(user_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No variable of the user's reaches a test; homes and caches of tests lie in the temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(VARIABLES)]:
            patch.delenv(name)
        patch.setenv("ATLAS_HOME", str(tmp_path_factory.mktemp("atlas-home")))
        patch.setenv("ATLAS_CACHE", str(tmp_path_factory.mktemp("atlas-cache")))
        yield


@pytest.fixture(scope="session")
def jars(user_cache: Path, _own_environment: None) -> Path:
    """The folder of Neo4j's jars, fetched into the user's cache when it is not there yet."""
    return ensure_jars(Settings(atlas_cache=user_cache))


@pytest.fixture(scope="session")
def template(user_cache: Path, jars: Path, launch: local.Launch) -> Path:
    """An ATLAS_HOME whose server was initialised once and stopped; copies of it start sooner."""
    folder = user_cache / f"test-template-{NEO4J_VERSION}"
    with FileLock(user_cache / "test-template.lock"):
        if not folder.is_dir():
            making = folder.with_name(f"{folder.name}.making")
            shutil.rmtree(making, ignore_errors=True)
            settings = Settings(atlas_home=making, atlas_neo4j_lib=jars, **SMALL)
            local.start(settings, launch=launch)
            local.stop(settings)
            for name in ("ports.json", "server.json", "lock"):
                (making / "run" / name).unlink(missing_ok=True)
            making.replace(folder)
    return folder


@pytest.fixture(scope="session")
def server(
    template: Path, jars: Path, launch: local.Launch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One real server for this worker and session."""
    home = tmp_path_factory.mktemp("server") / "atlas"
    shutil.copytree(template, home)
    settings = Settings(atlas_home=home, atlas_neo4j_lib=jars, **SMALL)
    local.start(settings, launch=launch)
    yield Server(settings, {"ATLAS_HOME": str(home), "ATLAS_NEO4J_LIB": str(jars)})
    local.stop(settings)


@pytest.fixture(scope="session")
def _open_connection(server: Server) -> Iterator[Connection]:
    target = local.running_target(server.settings)
    assert target is not None
    with Connection(target, strict=True) as opened:
        yield opened


@pytest.fixture
def connection(_open_connection: Connection) -> Connection:
    """A connection to an empty database (schema kept)."""
    clear(_open_connection)
    return _open_connection


def clear(connection: Connection) -> None:
    """Delete all, relationships first and in small steps: the tests' servers have little memory."""
    for pattern in ("()-[x]->()", "(x)"):
        connection.auto(f"MATCH {pattern} CALL (x) {{ DELETE x }} IN TRANSACTIONS OF 5000 ROWS")


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server_environment: dict[str, str]
) -> Cli:
    """The command line, talking to this worker's server."""
    return Cli(monkeypatch, capsys)


@pytest.fixture
def empty(template: Path, jars: Path, launch: local.Launch, tmp_path: Path) -> Iterator[Settings]:
    """A server of this test's own, initialised and not running, which the importer may stop and fill."""
    home = tmp_path / "home"
    shutil.copytree(template, home)
    settings = Settings(atlas_home=home, atlas_neo4j_lib=jars, atlas_heap="512m", atlas_page_cache="64m")
    yield settings
    local.stop(settings)


@pytest.fixture
def bare_connection(connection: Connection) -> Connection:
    """A connection to an empty database without indexes and constraints."""
    for kind in ("CONSTRAINT", "INDEX"):
        names = connection.auto(f"SHOW {kind} YIELD name, type WHERE type <> 'LOOKUP' RETURN name").rows
        for (name,) in names:
            connection.auto(f"DROP {kind} `{name}` IF EXISTS")
    return connection


@pytest.fixture
def server_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables by which this process, for one test, finds the worker's server as its managed one."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.environment


@pytest.fixture(scope="module")
def golden(_open_connection: Connection) -> Connection:
    """A connection to the golden graph, `tests/queries/graph.json`; for modules that only read.

    Prepared as a load would, so that the server knows every name of the schema and warns of none.
    """
    clear(_open_connection)
    prepare.introduce(_open_connection)
    prepare.constrain(_open_connection)
    graph = json.loads((Path(__file__).parent / "queries" / "graph.json").read_text(encoding="utf-8"))
    for run, rows in graph.items():
        _load(_open_connection, run, rows)
    _open_connection.auto("CALL db.resampleOutdatedIndexes()")
    _open_connection.auto("CALL db.clearQueryCaches()")
    return _open_connection


def _load(connection: Connection, run: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    for name in sorted(rows, key=list(TABLES).index):
        columns = [column.name for column in TABLES[name].columns]
        values = [[row.get(column) for column in columns] for row in rows[name]]
        result = connection.write(statements.load(TABLES[name]), {"rows": values, "run": run})
        assert result.rows == ((len(values),),), name
