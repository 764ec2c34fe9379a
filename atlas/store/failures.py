"""Servers we refuse and the driver's errors, as one line of ours each.

The driver's classes are known by name: only the connection imports it.
"""

from __future__ import annotations

import re

from atlas.errors import AtlasError, DiskError, QueryError, StoreError
from atlas.store.files import says_full

OLDEST = (5, 26)
RETRY = "free some space, restart the server, run again; what was committed is kept"
UNSET = "correct NEO4J_URI, or unset it to use the managed server"


def translated(error: Exception, where: str) -> AtlasError:
    """One line for what the driver met at `where`; the first rule that fits wins."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    code = str(getattr(error, "code", None) or "")
    said = str(getattr(error, "message", None) or error).strip()
    first = said.splitlines()[0] if said else type(error).__name__
    if says_full(said):
        return DiskError("the database's disk is full", where=where, next_step=RETRY)
    if code.endswith("TransactionLogError"):
        return DiskError(
            "the database cannot write its log, most likely its disk is full", where=where, next_step=RETRY
        )
    if "AuthError" in kinds:
        return StoreError(
            "the server refuses the user name or password",
            where=where,
            next_step="correct NEO4J_USER and NEO4J_PASSWORD; after three failures wait five seconds",
        )
    if "UnsupportedServerProduct" in kinds:
        return _other_protocol(where)
    if kinds & {"ServiceUnavailable", "SessionExpired", "OSError"}:
        return _unreachable(said, where)
    if "DriverError" in kinds:
        return StoreError(f"the connection failed, saying {first!r}", where=where, next_step=UNSET)
    if "TransactionTimedOut" in code:
        return QueryError(
            "the query took longer than its time limit", next_step="narrow it, or allow more time"
        )
    if code.endswith("DatabaseNotFound"):
        return StoreError(first, where=where, next_step="correct NEO4J_DATABASE")
    if code.startswith(("Neo.ClientError.Statement", "Neo.ClientError.Procedure")):
        return QueryError(f"the server refuses the query, saying {first!r}", next_step="correct the Cypher")
    return StoreError(f"the database reports an error, saying {first!r} [{code}]", where=where)


def check_version(agent: str, where: str) -> str:
    """The version in a server's greeting, such as "Neo4j/5.26.30".

    Raises
    ------
    StoreError : it is not Neo4j, or older than 5.26.
    """
    found = re.match(r"Neo4j/((\d+)\.(\d+)[\w.+-]*)", agent)
    if found is None:
        raise StoreError(
            "the server is not Neo4j", where=where, expected="Neo4j", got=agent, next_step="correct NEO4J_URI"
        )
    if (int(found[2]), int(found[3])) < OLDEST:
        raise StoreError(
            "the server is too old",
            where=where,
            expected="Neo4j 5.26 or newer",
            got=found[1],
            next_step="upgrade it, or unset NEO4J_URI to use the managed server",
        )
    return found[1]


def _unreachable(said: str, where: str) -> StoreError:
    if re.search("looks like HTTP|Bolt handshake|incomplete handshake", said):
        return _other_protocol(where)
    if re.search(r"SSL|certificate", said):
        return StoreError(
            "the encrypted connection fails",
            where=where,
            next_step="use bolt:// for a server without TLS, bolt+ssc:// for one with its own certificate",
        )
    cause = said.splitlines()[-1] if said else "it is silent"
    number = re.search(r"\[Errno -?\d+\] ([^)]+)", cause)
    return StoreError(
        f"no database answers ({(number[1] if number else cause)[:120]})", where=where, next_step=UNSET
    )


def _other_protocol(where: str) -> StoreError:
    return StoreError(
        "what answers is not Neo4j, or too old a one",
        where=where,
        expected="Neo4j's Bolt protocol",
        got="another one",
        next_step="use the Bolt port (7687 by default), not the web port, of Neo4j 5.26 or newer",
    )
