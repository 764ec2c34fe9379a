"""The declared schema as Cypher: constraints, indexes, load and removal. Names come from the schema alone.

Rows are sent as lists in the order of ``Table.columns``, because a list is a third of a map on the wire.
"""

from __future__ import annotations

from atlas.schema.catalogue import INDEXES, NODE_TYPES
from atlas.schema.core import Index, RelationshipType, Table


def constraints() -> list[str]:
    """One uniqueness constraint on ``id`` per label."""
    return [
        f"CREATE CONSTRAINT {label.lower()}_id IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE"
        for label in NODE_TYPES
    ]


def indexes() -> list[str]:
    """Range, full-text and vector indexes."""
    return [_index(index) for index in INDEXES]


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
    """Statement that loads ``$rows`` of a table and returns how many rows found their ends."""
    if table.relationship is None:
        # SET with null would erase what another run wrote, so each property keeps its value then.
        sets = ", ".join(
            f"n.{p.name} = coalesce(row[{i}], n.{p.name})" for i, p in enumerate(table.columns) if i
        )
        return f"UNWIND $rows AS row MERGE (n:{table.name} {{id: row[0]}}) SET {sets} RETURN count(*) AS rows"
    ends = f"UNWIND $rows AS row MATCH (a:{table.start} {{id: row[0]}}) MATCH (b:{table.end} {{id: row[1]}}) "
    columns = {p.name: i for i, p in enumerate(table.columns)}
    relationship = table.relationship
    if not relationship.merged:
        values = ", ".join(f"{p.name}: row[{columns[p.name]}]" for p in relationship.properties)
        return f"{ends}CREATE (a)-[:{relationship.type} {{{values}}}]->(b) RETURN count(*) AS rows"
    key = ", ".join(f"{name}: row[{columns[name]}]" for name in relationship.key)
    rest = [p.name for p in relationship.properties if p.name not in relationship.key]
    sets = f" SET {', '.join(f'r.{name} = row[{columns[name]}]' for name in rest)}" if rest else ""
    pattern = f"[r:{relationship.type} {{{key}}}]" if key else f"[r:{relationship.type}]"
    return f"{ends}MERGE (a)-{pattern}->(b){sets} RETURN count(*) AS rows"


def remove_relationships(relationship: RelationshipType, batch: int = 10_000) -> str:
    """Statement that deletes what run ``$run`` wrote of one type; for an implicit transaction."""
    return (
        f"MATCH ()-[r:{relationship.type}]->() WHERE r.run = $run "
        f"CALL (r) {{ DELETE r }} IN TRANSACTIONS OF {batch} ROWS"
    )


def remove_nodes(label: str, batch: int = 10_000) -> str:
    """Statement that deletes the nodes of one label that run ``$run`` wrote; for an implicit transaction."""
    return (
        f"MATCH (n:{NODE_TYPES[label].label}) WHERE n.run = $run "
        f"CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF {batch} ROWS"
    )
