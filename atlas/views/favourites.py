"""The catalogue as a pack of favourites: a zip of `.cypher` files that Neo4j Browser takes when dropped on it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atlas import cypher_text
from atlas.query_file import Query
from atlas.views import browser

FOLDER, DRAWINGS = "Circuit Atlas", "Circuit Atlas, drawn"
# Archives of the same queries are the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(queries: Iterable[Query], values: Callable[[Query], Mapping[str, Any]]) -> bytes:
    """One favourite per query, tables and drawings in a folder each; ``values`` gives their complete arguments."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for query in queries:
            folder = FOLDER if query.draws is None else DRAWINGS
            info = zipfile.ZipInfo(f"{folder}/{query.name}.cypher", EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content(query, values(query)))
    return held.getvalue()


def content(query: Query, values: Mapping[str, Any]) -> str:
    """What one favourite says; Browser shows its first line as its name. The text is runnable as it is."""
    head = [f"// {query.name}: {query.summary}"]
    head += [f"// {p.name} = {cypher_text.literal(values[p.name])}: {p.meaning}" for p in query.parameters]
    return "\n".join([*head, browser.statement(query, values)]) + "\n"
