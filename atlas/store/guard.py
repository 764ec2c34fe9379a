"""The guard of `atlas cypher`: what a person types may read the graph, and nothing else.

Read mode alone still loads files and addresses, shows settings and ends other people's transactions. So the
server plans the statement first; only a plan that reads, made of operators and procedures we know, is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas.errors import QueryError
from atlas.store.connection import Connection
from atlas.store.values import GraphNode, Plan, Result

REFUSED = {
    "LoadCSV": "LOAD CSV",
    "ShowSettings": "SHOW SETTINGS",
    "ShowTransactions": "SHOW TRANSACTIONS",
    "TerminateTransactions": "TERMINATE TRANSACTIONS",
}
PROCEDURES = frozenset(
    {
        "db.index.fulltext.listAvailableAnalyzers",
        "db.index.fulltext.queryNodes",
        "db.index.fulltext.queryRelationships",
        "db.index.vector.queryNodes",
        "db.index.vector.queryRelationships",
        "db.info",
        "db.labels",
        "db.ping",
        "db.propertyKeys",
        "db.relationshipTypes",
        "db.schema.nodeTypeProperties",
        "db.schema.relTypeProperties",
        "db.schema.visualization",
    }
)
KINDS = {"w": "it writes", "rw": "it writes", "s": "it changes or shows the server's administration"}


def guarded_read(
    connection: Connection,
    cypher: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout: float = 30.0,
    limit: int = 1000,
) -> Result:
    """Run a person's own Cypher: planned and checked first, then in read mode with a time limit and a row cap.

    Parameters
    ----------
    timeout : seconds, more than 0.
    limit : rows at most; `Result.truncated` says that there were more.

    Raises
    ------
    QueryError : the statement would do more than read, or the server refuses it.
    """
    refuse(connection.explain(cypher, params))
    return connection.read(cypher, params, timeout=timeout, limit=limit)


def guarded_ids(connection: Connection, cypher: str, *, limit: int) -> list[Any]:
    """All cells that a person's own Cypher returns, of a node its id; errors as :func:`guarded_read`."""
    return [
        cell.properties.get("id") if isinstance(cell, GraphNode) else cell
        for row in guarded_read(connection, cypher, {}, limit=limit).rows
        for cell in row
    ]


def refuse(plan: Plan) -> None:
    """Raise `QueryError` when the plan is of a kind, or holds an operator or procedure, that is not allowed."""
    if plan.kind != "r":
        raise _refusal(KINDS.get(plan.kind, f"its kind is {plan.kind!r}"))
    for node in plan.root.walk():
        if node.operator in REFUSED:
            raise _refusal(f"it uses {REFUSED[node.operator]}")
        if node.operator == "ProcedureCall" and (name := node.details.partition("(")[0]) not in PROCEDURES:
            raise _refusal(f"it calls {name}")


def _refusal(why: str) -> QueryError:
    return QueryError(
        f"the statement is refused: {why}",
        next_step="write a query that only reads the graph; administer the server in Neo4j Browser",
    )
