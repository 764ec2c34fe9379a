"""The database made ready for the schema: its names, version, constraints and indexes.

The Atlas node carries the schema version from the first write on: a newer one is refused, an older one migrated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from atlas.errors import StoreError
from atlas.schema import NODE_TYPES, PROPERTIES, RELATIONSHIP_TYPES, SCHEMA_VERSION, statements
from atlas.store.connection import Connection

ATLAS = "atlas"
AWAIT_SECONDS = 24 * 3600
ATTEMPTS, PAUSE = 5, 0.2
UNEXPECTED = "50N42"
"""The server's word for an error inside it, which sessions that make the schema at one time can meet."""
T = TypeVar("T")
# From each older version the step to the next.
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {}


def introduce(connection: Connection) -> int:
    """Make sure that the Atlas node and all names of the schema are there; return the graph's schema version.

    Names that no row has used yet would otherwise draw warnings on correct queries.

    Raises
    ------
    StoreError : the graph was written by a newer circuit-atlas.
    """
    properties = {p for t in RELATIONSHIP_TYPES.values() for p in (q.name for q in t.properties)} | PROPERTIES
    for procedure, names in (
        ("createLabel", sorted(NODE_TYPES)),
        ("createRelationshipType", sorted(RELATIONSHIP_TYPES)),
        ("createProperty", sorted(properties)),
    ):
        statement = f"UNWIND $names AS name CALL db.{procedure}(name) RETURN count(*)"
        again(partial(connection.write, statement, {"names": names}))
    _create(connection, statements.constraint("Atlas"))
    found = again(
        lambda: connection.write(
            "MERGE (a:Atlas {id: $atlas}) ON CREATE SET a.schema = $schema RETURN a.schema",
            {"atlas": ATLAS, "schema": SCHEMA_VERSION},
        )
    )
    version = int(found.rows[0][0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            "the atlas was written by a newer circuit-atlas",
            where=connection.target.uri,
            expected=f"schema {SCHEMA_VERSION}",
            got=version,
            next_step="upgrade circuit-atlas",
        )
    return version


def migrate(connection: Connection, version: int) -> None:
    """Bring a graph of an older schema to this one, a version at a time. The caller holds the lease."""
    for old in range(version, SCHEMA_VERSION):
        MIGRATIONS[old](connection)
        connection.write("MATCH (a:Atlas {id: $atlas}) SET a.schema = $new", {"atlas": ATLAS, "new": old + 1})


def constrain(connection: Connection) -> None:
    """Create every constraint and index that is not there yet, and wait until all answer."""
    there = again(lambda: connection.auto("SHOW INDEXES YIELD name RETURN collect(name)")).rows[0][0]
    for name, statement in statements.definitions().items():
        if name not in there:
            _create(connection, statement)
    again(lambda: connection.auto("CALL db.awaitIndexes($seconds)", {"seconds": AWAIT_SECONDS}))


def again(step: Callable[[], T], pause: float = PAUSE) -> T:
    """A step that may be done twice, tried again while the server stumbles over others that make the schema."""
    for attempt in range(1, ATTEMPTS):
        try:
            return step()
        except StoreError as error:
            if UNEXPECTED not in str(error):
                raise
            time.sleep(pause * attempt)
    return step()


def _create(connection: Connection, statement: str) -> None:
    try:
        again(lambda: connection.write(statement, timeout=0))
    except StoreError as error:
        # Two sessions may both find it missing: whoever comes second finds it made.
        if "EquivalentSchemaRuleAlreadyExists" not in str(error):
            raise
