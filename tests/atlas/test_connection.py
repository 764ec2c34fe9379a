"""Tests of `atlas.store.connection` and `atlas.store.failures`: plain values out, one clear line for each failure."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atlas.errors import QueryError, StoreError
from atlas.store import local
from atlas.store.connection import Connection, Target, connect
from atlas.store.failures import check_version
from atlas.store.settings import Settings
from atlas.store.values import GraphNode, GraphPath, GraphRelationship

server_test = pytest.mark.server


@server_test
def test_rows_are_plain_values(connection: Connection) -> None:
    wrote = connection.write(
        "CREATE (a:Neuron {id: $a, n: 1})-[r:DRIVES {raw: .5}]->(b:Neuron {id: $b}) RETURN 1 AS one",
        {"a": "x", "b": "y"},
    )
    assert wrote.counters["nodes_created"] == 2
    assert wrote.columns == ("one",)
    got = connection.read("MATCH p = (a)-[r:DRIVES]->(b) RETURN a, r, p, [a.id, b.id] AS ids, {m: a.n} AS m")
    a, r, p, ids, mapped = got.rows[0]
    assert isinstance(a, GraphNode)
    assert isinstance(r, GraphRelationship)
    assert isinstance(p, GraphPath)
    assert (a.labels, a.properties) == (("Neuron",), {"id": "x", "n": 1})
    assert (r.type, r.properties, r.start, r.end) == ("DRIVES", {"raw": 0.5}, a.key, p.nodes[1].key)
    assert [n.properties["id"] for n in p.nodes] == ids == ["x", "y"]
    assert p.relationships == (r,)
    assert mapped == {"m": 1}
    assert got.records()[0]["ids"] == ids
    assert got.counters == {}


@server_test
def test_times_points_and_durations_are_plain_values(connection: Connection) -> None:
    cypher = "RETURN datetime('2026-01-02T03:04:05Z') AS t, point({x: 1, y: 2}) AS p, duration('PT1S') AS d"
    t, p, d = connection.read(cypher).rows[0]
    assert t == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert (p, d) == ((1.0, 2.0), "PT1S")


@server_test
def test_read_mode_refuses_to_write(connection: Connection) -> None:
    with pytest.raises(QueryError, match=r"(?i)write"):
        connection.read("CREATE (n:Neuron {id: 'x'})")
    assert connection.read("MATCH (n) RETURN count(n) AS n").rows == ((0,),)


@server_test
def test_a_transaction_is_undone_by_any_error_of_its_work(connection: Connection) -> None:
    def work(run: Callable[..., object]) -> None:
        run("CREATE (:Neuron {id: $id})", {"id": "x"})
        raise RuntimeError("the caller's own error passes unchanged")

    with pytest.raises(RuntimeError, match="unchanged"):
        connection.transact(work)
    assert connection.read("MATCH (n) RETURN count(n) AS n").rows == ((0,),)


@server_test
def test_rows_are_capped_lazily(connection: Connection) -> None:
    got = connection.read("UNWIND range(1, 10000000) AS i RETURN i", limit=2)
    assert got.rows == ((1,), (2,))
    assert got.truncated
    assert not connection.read("RETURN 1 AS i", limit=1).truncated


@server_test
def test_explain_runs_nothing_and_profile_counts(connection: Connection) -> None:
    plan = connection.explain("CREATE (n:Neuron {id: $id}) RETURN n.id AS id")
    assert (plan.kind, plan.columns, plan.hits) == ("rw", ("id",), 0)
    connection.auto("UNWIND range(1, 5) AS i CREATE (:Neuron {id: toString(i)})")
    profile = connection.profile("MATCH (n) RETURN n.id AS id")
    assert profile.hits >= 5
    assert profile.operators == ("ProduceResults", "Projection", "AllNodesScan")
    product = connection.explain("MATCH (a), (b) RETURN a, b")
    assert [code for code, _ in product.notices] == ["03N90"]


@server_test
def test_strict_turns_notices_into_warnings_and_the_default_is_silent(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = "MATCH (n:NoSuchLabelAnywhere) RETURN n"
    with pytest.raises(Warning, match="NoSuchLabelAnywhere"):
        connection.read(unknown)
    caplog.clear()
    with Connection(connection.target) as quiet:
        assert quiet.read(unknown).rows == ()
    assert not caplog.records


@server_test
def test_transactions_of_a_statement_need_auto(connection: Connection) -> None:
    connection.auto("UNWIND range(1, 30) AS i CREATE (:Neuron {id: toString(i)})")
    batches = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10 ROWS"
    with pytest.raises(StoreError):
        connection.write(batches)
    assert connection.auto(batches).counters["nodes_deleted"] == 30


@server_test
def test_a_bad_statement_is_one_line(connection: Connection) -> None:
    with pytest.raises(QueryError, match="the server refuses the query") as caught:
        connection.read("MATCH (n)\nRETRUN n")
    assert "\n" not in str(caught.value)


@server_test
def test_wrong_password_user_and_database(connection: Connection, server_environment: dict[str, str]) -> None:
    uri = connection.target.uri
    with pytest.raises(StoreError, match="user name or password"):
        Connection(Target(uri, "nobody", "wrong-password"))
    with pytest.raises(StoreError, match="user name or password"):
        Connection(Target(uri, "nobody", None))
    missing = Target(uri, connection.target.user, connection.target.password, "nowhere")
    with Connection(missing) as other, pytest.raises(StoreError, match="NEO4J_DATABASE"):
        other.read("RETURN 1 AS one")


@server_test
def test_a_foreign_server_is_used_and_none_is_started(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEO4J_URI", connection.target.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", connection.target.password or "")
    with connect(notify=pytest.fail) as foreign:
        assert foreign.version.startswith("5.26")
    assert not (tmp_path / "home").exists()


@server_test
def test_the_managed_server_is_found_running(server_environment: dict[str, str]) -> None:
    with connect(notify=pytest.fail) as managed:
        assert managed.target == local.running_target(Settings())


def closes(client: socket.socket) -> None:
    client.close()


def speaks_http(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client.close()


def speaks_ssh(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-Example\r\n")
    client.recv(100)
    client.close()


def refuses_every_version(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"\0\0\0\0")
    client.recv(100)
    client.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Start a plain TCP server that treats each client by the given function; gives its port."""
    listeners: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def loop() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                    answer(client)
                except OSError:
                    return

        threading.Thread(target=loop, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("answer", [closes, speaks_http, speaks_ssh, refuses_every_version])
def test_another_service_on_the_port(
    answer: Callable[[socket.socket], None], serve: Callable[[Callable[[socket.socket], None]], int]
) -> None:
    uri = f"bolt://127.0.0.1:{serve(answer)}"
    with pytest.raises(StoreError, match="what answers is not Neo4j") as caught:
        Connection(Target(uri, "neo4j", "password"))
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j", "bolt+s"])
def test_nobody_on_the_port(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StoreError, match=f"no database answers.*{port}.*NEO4J_URI") as caught:
        Connection(Target(f"{scheme}://127.0.0.1:{port}", "neo4j", "password"))
    assert "\n" not in str(caught.value)


def test_an_unknown_host() -> None:
    with pytest.raises(StoreError, match="no database answers"):
        Connection(Target("bolt://no-such-host.invalid:7687", "neo4j", "password"))


@pytest.mark.parametrize(
    "agent", ["Neo4j/5.26.0", "Neo4j/5.26.30", "Neo4j/5.27-aura", "Neo4j/2025.01.0", "Neo4j/2026.08.1"]
)
def test_accepts_servers_from_5_26_on(agent: str) -> None:
    assert f"Neo4j/{check_version(agent, 'here')}" == agent


@pytest.mark.parametrize("agent", ["Neo4j/5.25.1", "Neo4j/4.4.38", "Neo4j/3.5.35"])
def test_refuses_older_servers(agent: str) -> None:
    with pytest.raises(StoreError, match=r"too old: here \(expected Neo4j 5\.26 or newer, got [345]\."):
        check_version(agent, "here")


@pytest.mark.parametrize(
    "agent", ["", "Memgraph/2.0", "Neo4j/v5.11.0 compatible graph database server", "FalkorDB/1.2"]
)
def test_refuses_other_products(agent: str) -> None:
    with pytest.raises(StoreError, match="not Neo4j"):
        check_version(agent, "here")


@pytest.mark.server
def test_profile_of_more_rows_than_one_fetch(connection: Connection) -> None:
    assert connection.profile("UNWIND range(1, 5000) AS x RETURN x").root.rows == 5000
