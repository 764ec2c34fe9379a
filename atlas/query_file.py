"""One query file as a checked :class:`Query`; a bad file is refused with path:line.

A file opens with its header in Cypher comments, so that it pastes into Neo4j Browser as it is::

    // name: neuron_images
    // summary: The images a neuron answers most.
    // params:
    //   neuron: neuron — its address
    //   limit: integer = 50 — rows at most
    // returns:
    //   image: string — image id
    // key: image
    // cost: lookup
    // draws: another_query        (only where this one is the drawing of a table)

Defaults are JSON. A parameter without one must be given. Types such as ``neuron`` or ``class`` name a thing
in the atlas: the lookup completes what the user wrote (``layer3.2/117``, ``cat``) to its id, and each of
the list ``classes``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atlas import cypher_text
from atlas.errors import QueryError
from atlas.schema import NODE_TYPES, PROPERTIES, RELATIONSHIP_TYPES

SCALARS = ("string", "integer", "float", "boolean", "strings", "integers", "floats", "maps")
REFERENCES = ("model", "layer", "neuron", "sense", "concept", "class", "image", "circuit", "run")
LISTS = {"classes": "class"}
RETURNED = ("string", "integer", "float", "boolean", "strings", "integers", "floats", "json")
DRAWN = ("node", "relationship", "path", "nodes", "relationships")
COSTS = ("lookup", "report")
KEYS = ("name", "summary", "params", "returns", "key", "cost", "draws")
_ENTRY = re.compile(r"(?P<name>\w+): (?P<type>\w+)(?: = (?P<default>.+?))? — (?P<meaning>.+)")


@dataclass(frozen=True)
class Parameter:
    """One parameter. ``default`` is meaningless where ``required``."""

    name: str
    type: str
    meaning: str
    required: bool
    default: object = None


@dataclass(frozen=True)
class Column:
    """One returned column."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Query:
    """One question.

    ``draws`` names the table that this one draws; ``drawing`` names the one that draws this.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    returns: tuple[Column, ...]
    key: tuple[str, ...]
    cost: Literal["lookup", "report"]
    text: str
    path: Path
    draws: str | None = None
    drawing: str | None = None

    @property
    def sent(self) -> str:
        """What goes to the server: its query log then tells which file a statement came from."""
        return f"// atlas:{self.name} queries/{self.path.name}\n{self.text}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.returns)


def read(path: Path) -> Query:
    """One file, checked.

    Raises QueryError with path:line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError("cannot be read", where=path, got=str(error)) from error
    header = list(_head(text))
    fields = _fields(path, header)
    body = "".join(text.splitlines(keepends=True)[len(header) :])
    query = _build(path, fields, body.strip("\n"))
    leading = len(header) + len(body) - len(body.lstrip("\n"))
    _check_body(query, leading + 1)
    return query


def _head(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("//"):
            return
        yield line[2:]


Fields = Mapping[str, tuple[int, str, tuple[tuple[int, str], ...]]]


def _fields(path: Path, header: list[str]) -> Fields:
    """Key → (line, text, indented lines below it)."""
    found: dict[str, tuple[int, str, tuple[tuple[int, str], ...]]] = {}
    current = ""
    for number, line in enumerate(header, 1):
        if line.startswith("   ") and current in ("params", "returns"):
            first, text, below = found[current]
            found[current] = (first, text, (*below, (number, line.strip())))
            continue
        key, colon, text = line.strip().partition(":")
        if not colon or key not in KEYS:
            raise refused(path, number, "unknown header line", ", ".join(KEYS), line.strip())
        if key in found:
            raise refused(path, number, "a header key stands twice", f"one {key}", key)
        found[key] = (number, text.strip(), ())
        current = key
    for key in ("name", "summary", "params", "returns", "key", "cost"):
        if key not in found:
            raise refused(path, 1, "a header key is missing", key, "none")
    return found


def _build(path: Path, fields: Fields, body: str) -> Query:
    line, name, _ = fields["name"]
    if name != path.stem or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise refused(path, line, "name and file differ", path.stem, name)
    line, summary, _ = fields["summary"]
    if not summary.endswith("."):
        raise refused(
            path, line, "the summary is not a sentence", "text and a full stop", summary or "nothing"
        )
    line, cost, _ = fields["cost"]
    if cost not in COSTS:
        raise refused(path, line, "unknown cost", " or ".join(COSTS), cost)
    returns = tuple(_column(path, *entry, draws="draws" in fields) for entry in fields["returns"][2])
    line, keys, _ = fields["key"]
    key = tuple(part.strip() for part in keys.split(","))
    if not set(key) <= {column.name for column in returns}:
        raise refused(path, line, "the key is not among the columns", [c.name for c in returns], keys)
    return Query(
        name,
        summary,
        tuple(_parameter(path, *entry) for entry in fields["params"][2]),
        returns,
        key,
        cost,  # type: ignore[arg-type]
        body,
        path,
        fields["draws"][1] if "draws" in fields else None,
    )


def _parameter(path: Path, line: int, text: str) -> Parameter:
    match = _ENTRY.fullmatch(text)
    if match is None or match["type"] not in (*SCALARS, *REFERENCES, *LISTS):
        raise refused(path, line, "bad parameter", "name: type [= default] — meaning", text)
    if match["default"] is None:
        return Parameter(match["name"], match["type"], match["meaning"], required=True)
    try:
        default = json.loads(match["default"])
    except json.JSONDecodeError:
        raise refused(path, line, "the default is not JSON", "a JSON value", match["default"]) from None
    return Parameter(match["name"], match["type"], match["meaning"], required=False, default=default)


def _column(path: Path, line: int, text: str, draws: bool) -> Column:
    match = _ENTRY.fullmatch(text)
    known = RETURNED + DRAWN if draws else RETURNED
    if match is None or match["type"] not in known or match["default"] is not None:
        raise refused(path, line, "bad column", f"name: type — meaning, of {', '.join(known)}", text)
    return Column(match["name"], match["type"], match["meaning"])


def _check_body(query: Query, first: int) -> None:
    def at(offset: int) -> int:
        return first + query.text.count("\n", 0, offset)

    path = query.path
    try:
        tokens = cypher_text.tokens(query.text)
    except QueryError as error:
        raise refused(path, at(int(str(error.where))), error.what, error.expected, error.got) from None
    write = cypher_text.write_clause(tokens)
    if write is not None:
        raise refused(path, at(write.start), "a clause that is not a question", "MATCH … RETURN", write.text)
    for named in cypher_text.names(tokens):
        _check_name(path, at(named.start), named)
    declared, used = {p.name for p in query.parameters}, cypher_text.parameters(tokens)
    if declared != used:
        raise refused(path, first, "declared and used parameters differ", sorted(declared), sorted(used))
    union = cypher_text.unions(tokens)
    if union is not None:
        raise refused(path, at(union.start), "a UNION outside CALL", "CALL () { … UNION … }", "UNION")
    end = cypher_text.ending(tokens)
    if end is None:
        raise refused(path, first, "nothing is returned", "RETURN … ORDER BY … LIMIT", "none")
    line = at(end.start)
    if end.columns != query.columns:
        raise refused(
            path, line, "declared and returned columns differ", list(query.columns), list(end.columns)
        )
    if end.order[-len(query.key) :] != query.key:
        raise refused(path, line, "ORDER BY does not end in the key", list(query.key), list(end.order))
    if not end.limited:
        raise refused(path, line, "no LIMIT", "LIMIT $limit", "none")


def _check_name(path: Path, line: int, named: cypher_text.Named) -> None:
    known = {"label": NODE_TYPES, "type": RELATIONSHIP_TYPES, "property": PROPERTIES}[named.kind]
    if named.name not in known:
        near = difflib.get_close_matches(named.name, known, n=3) or ["a name of the schema"]
        raise refused(path, line, f"the schema has no such {named.kind}", " or ".join(near), named.name)


def refused(path: Path, line: int, what: str, expected: object, got: object) -> QueryError:
    """The error of a bad file."""
    return QueryError(
        what, where=f"{path}:{line}", expected=expected, got=got, next_step="correct the query file"
    )
