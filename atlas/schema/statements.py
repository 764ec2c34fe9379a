"""The declared schema as Cypher: constraints, indexes, load and removal. Names come from the schema alone.

Rows are sent as lists in the order of ``Table.columns``, because a list is a third of a map on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlas.schema.catalogue import INDEXES, NODE_TYPES, RELATIONSHIP_TYPES
from atlas.schema.core import Index, NodeType, RelationshipType, Table

BATCH = 10_000


def definitions() -> dict[str, str]:
    """Statements that create the constraints, then the indexes, by name; each does nothing if it is there."""
    return {f"{label.lower()}_id": constraint(label) for label in NODE_TYPES} | {
        index.name: _index(index) for index in INDEXES
    }


def constraint(label: str) -> str:
    """The uniqueness constraint on ``id`` of one label."""
    name = NODE_TYPES[label].label
    return f"CREATE CONSTRAINT {name.lower()}_id IF NOT EXISTS FOR (n:{name}) REQUIRE n.id IS UNIQUE"


def _index(index: Index) -> str:
    names = "|".join(index.targets)
    pattern = f"()-[x:{names}]-()" if index.relationship else f"(x:{names})"
    properties = ", ".join(f"x.{name}" for name in index.properties)
    if index.kind == "fulltext":
        return f"CREATE FULLTEXT INDEX {index.name} IF NOT EXISTS FOR {pattern} ON EACH [{properties}]"
    if index.kind == "vector":
        return (
            f"CREATE VECTOR INDEX {index.name} IF NOT EXISTS FOR {pattern} ON ({properties}) "
            "OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine'}}"
        )
    return f"CREATE RANGE INDEX {index.name} IF NOT EXISTS FOR {pattern} ON ({properties})"


def load(table: Table) -> str:
    """Statement that loads ``$rows`` of a table for run ``$run``; returns how many rows found their ends."""
    if table.relationship is None:
        return _load_nodes(table, NODE_TYPES[table.name])
    return _load_relationships(table, table.relationship)


def _load_nodes(table: Table, node: NodeType) -> str:
    # A null keeps what is there. On shared nodes so does a second value: a run removed then leaves no trace.
    columns = [(i, f"n.{p.name}") for i, p in enumerate(table.columns) if i]
    if node.shared:
        sets = [f"{name} = coalesce({name}, row[{i}])" for i, name in columns]
    else:
        sets = [f"{name} = coalesce(row[{i}], {name})" for i, name in columns]
    sets += ["n.run = $run"] if node.run else [_join("n")] if node.shared else []
    return (
        f"UNWIND $rows AS row MERGE (n:{node.label} {{id: row[0]}}) SET {', '.join(sets)} "
        "RETURN count(*) AS rows"
    )


def _load_relationships(table: Table, relationship: RelationshipType) -> str:
    ends = f"UNWIND $rows AS row MATCH (a:{table.start} {{id: row[0]}}) MATCH (b:{table.end} {{id: row[1]}}) "
    columns = {p.name: f"row[{i}]" for i, p in enumerate(table.columns)}
    if not relationship.merged:
        values = ", ".join(f"{p.name}: {columns.get(p.name, '$run')}" for p in relationship.properties)
        return f"{ends}CREATE (a)-[:{relationship.type} {{{values}}}]->(b) RETURN count(*) AS rows"
    key = ", ".join(f"{name}: {columns[name]}" for name in relationship.key)
    rest = [p.name for p in relationship.own if p.name not in relationship.key]
    sets = [f"r.{name} = {columns[name]}" for name in rest] + ([_join("r")] if relationship.shared else [])
    pattern = f"[r:{relationship.type} {{{key}}}]" if key else f"[r:{relationship.type}]"
    tail = f"SET {', '.join(sets)} " if sets else ""
    return f"{ends}MERGE (a)-{pattern}->(b) {tail}RETURN count(*) AS rows"


def _join(name: str) -> str:
    return (
        f"{name}.runs = CASE WHEN $run IN coalesce({name}.runs, []) THEN {name}.runs "
        f"ELSE coalesce({name}.runs, []) + $run END"
    )


def missing_end(table: Table) -> str:
    """Statement that returns the first of ``$rows`` with an end that is not there: its place, label and id."""
    return (
        "UNWIND range(0, size($rows) - 1) AS i "
        f"OPTIONAL MATCH (a:{table.start} {{id: $rows[i][0]}}) "
        f"OPTIONAL MATCH (b:{table.end} {{id: $rows[i][1]}}) "
        "WITH i, a, b WHERE a IS NULL OR b IS NULL "
        f"RETURN i, CASE WHEN a IS NULL THEN '{table.start}' ELSE '{table.end}' END AS label, "
        "CASE WHEN a IS NULL THEN $rows[i][0] ELSE $rows[i][1] END AS id ORDER BY i LIMIT 1"
    )


def removal() -> list[str]:
    """Statements that delete what run ``$run`` alone wrote; for implicit transactions, each safe to repeat.

    Relationships go first, so that no node is deleted together with millions of them.
    """
    relationships = [
        (f"()-[x:{r.type}]->()", r.run) for r in RELATIONSHIP_TYPES.values() if r.run or r.shared
    ]
    nodes = [(f"(x:{n.label})", n.run) for n in NODE_TYPES.values() if n.run or n.shared]
    return [_delete(pattern, "DELETE", own) for pattern, own in relationships] + [
        _delete(pattern, "DETACH DELETE", own) for pattern, own in nodes
    ]


def _delete(pattern: str, verb: str, own: bool) -> str:
    mine = "x.run = $run" if own else "x.runs = [$run]"
    return f"MATCH {pattern} WHERE {mine} CALL (x) {{ {verb} x }} IN TRANSACTIONS OF {BATCH} ROWS"


def owners(label: str) -> str:
    """Statement that returns the ids of all other runs on the shared nodes of one label that ``$run`` wrote."""
    return (
        f"MATCH (x:{NODE_TYPES[label].label}) WHERE $run IN x.runs UNWIND x.runs AS other "
        "WITH DISTINCT other WHERE other <> $run RETURN collect(other) AS others"
    )


def release(wrote: Mapping[str, Sequence[str]]) -> list[str]:
    """Statements that take run ``$run`` off what other runs share, with the properties that it alone wrote.

    ``wrote`` names these properties per label. For implicit transactions, each safe to repeat.
    """
    relationships = [(f"()-[x:{r.type}]->()", ()) for r in RELATIONSHIP_TYPES.values() if r.shared]
    nodes = [
        (f"(x:{n.label})", [p.name for p in n.own if p.name in wrote.get(n.label, ())])
        for n in NODE_TYPES.values()
        if n.shared
    ]
    return [_release(pattern, names) for pattern, names in (*relationships, *nodes)]


def _release(pattern: str, names: Sequence[str]) -> str:
    sets = ["x.runs = [other IN x.runs WHERE other <> $run]", *(f"x.{name} = null" for name in names)]
    return (
        f"MATCH {pattern} WHERE $run IN x.runs "
        f"CALL (x) {{ SET {', '.join(sets)} }} IN TRANSACTIONS OF {BATCH} ROWS"
    )
