"""Tests of `atlas.store.guard`: typed Cypher reads the graph and nothing else."""

from __future__ import annotations

import pytest

from atlas.errors import QueryError
from atlas.store.connection import Connection
from atlas.store.guard import PROCEDURES, guarded_read

pytestmark = pytest.mark.server

REFUSED = {
    "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row": "LOAD CSV",
    "LOAD CSV FROM 'http://127.0.0.1:1/' AS row RETURN row": "LOAD CSV",
    "SHOW SETTINGS": "SHOW SETTINGS",
    "SHOW SETTINGS YIELD name WHERE name STARTS WITH 'server' RETURN name": "SHOW SETTINGS",
    "SHOW TRANSACTIONS": "SHOW TRANSACTIONS",
    "TERMINATE TRANSACTION 'neo4j-transaction-1'": "TERMINATE TRANSACTIONS",
    "SHOW USERS": "administration",
    "USE system SHOW SETTINGS": "administration",
    "CALL dbms.listConfig() YIELD name RETURN name": "administration",
    "CALL () { CALL dbms.listConfig() YIELD name RETURN name } RETURN name": "administration",
    "CALL db.prepareForReplanning()": "db.prepareForReplanning",
    "CALL db.stats.clear('QUERIES')": "db.stats.clear",
    "CALL db.createLabel('Made')": "writes",
    "CREATE (n)": "writes",
    "MATCH (n) SET n.x = 1 RETURN n": "writes",
    "MATCH (n) CALL (n) { DELETE n } IN TRANSACTIONS": "writes",
    "CREATE INDEX made FOR (n:Neuron) ON (n.x)": "administration",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'bcdefghij'": "administration",
}


@pytest.mark.parametrize("cypher", REFUSED)
def test_refuses_with_the_reason(connection: Connection, cypher: str) -> None:
    with pytest.raises(QueryError, match="the statement is refused") as caught:
        guarded_read(connection, cypher)
    assert REFUSED[cypher] in str(caught.value)


@pytest.mark.parametrize(
    "cypher", ["RETURN 1; CREATE (n)", "PROFILE CREATE (n)", "", "MATCH (n RETURN n", "CALL no.such()"]
)
def test_what_the_server_cannot_plan_is_one_clear_line(connection: Connection, cypher: str) -> None:
    with pytest.raises(QueryError, match="the server refuses the query") as caught:
        guarded_read(connection, cypher)
    assert "\n" not in str(caught.value)


def test_reads_with_parameters_and_a_row_cap(connection: Connection) -> None:
    got = guarded_read(connection, "UNWIND range(1, $n) AS i RETURN i", {"n": 10}, limit=3)
    assert got.rows == ((1,), (2,), (3,))
    assert got.truncated
    assert not guarded_read(connection, "UNWIND range(1, $n) AS i RETURN i", {"n": 3}, limit=3).truncated


def test_a_time_limit_ends_the_query(connection: Connection) -> None:
    endless = "UNWIND range(1, 100000000) AS i WITH i WHERE i % 2 = 3 RETURN count(i) AS n"
    with pytest.raises(QueryError, match="time limit"):
        guarded_read(connection, endless, timeout=0.2)


def test_every_allowed_procedure_exists_and_reads(connection: Connection) -> None:
    rows = connection.read("SHOW PROCEDURES YIELD name, mode RETURN name, mode").rows
    modes = dict(rows)
    assert {name: modes.get(name) for name in PROCEDURES} == dict.fromkeys(PROCEDURES, "READ")


def test_an_allowed_procedure_runs(connection: Connection) -> None:
    connection.write("CREATE (:Neuron {id: 'x'})")
    assert ("Neuron",) in guarded_read(connection, "CALL db.labels() YIELD label RETURN label").rows
