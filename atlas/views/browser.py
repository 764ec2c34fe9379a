"""Neo4j Browser links that open with a query filled in.

Browser (5.24, ``populateEditorFromUrlEpic``) decodes the whole address first and then cuts the ``arg`` at ``&`` and
``#``; a statement must hold neither, however it is encoded. Literals escape both; the catalogue uses neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from atlas import cypher_text
from atlas.errors import QueryError
from atlas.query_file import Query


def statement(query: Query, values: Mapping[str, Any]) -> str:
    """The query with complete arguments (``lookup.complete``) in place of its parameters, runnable as it is."""
    return cypher_text.fill(query.text, values)


def link(browser: str, uri: str, user: str, cypher: str, *, database: str = "neo4j") -> str:
    """A link to Browser at ``browser`` (``http://127.0.0.1:7474/browser/``), connected to ``uri`` as ``user``.

    Raises QueryError if the statement holds what Browser cannot take from a link.
    """
    if "&" in cypher or "#" in cypher:
        raise QueryError(
            "Browser cannot take this query from a link",
            expected="a text without & and #",
            got=repr(cypher[:60]),
            next_step="paste it into Browser instead",
        )
    parts = urlsplit(uri)
    dbms = urlunsplit((parts.scheme, f"{quote(user, safe='')}@{parts.netloc}", "", "", ""))
    arguments = {"dbms": dbms, "db": database, "cmd": "edit", "arg": cypher}
    return browser + "?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in arguments.items())
