"""One query of the catalogue, asked: arguments coerced to declared types, run in read mode, given as a table."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from atlas import catalogue, cypher_text, resolve
from atlas.errors import QueryError
from atlas.query_file import LISTS, REFERENCES, Parameter, Query
from atlas.store.values import GraphNode, GraphPath, GraphRelationship

if TYPE_CHECKING:
    from atlas.store.connection import Connection

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Subgraph:
    """What a drawing shows: nodes ``{id, type, …}``, edges ``{source, target, type, …}``, with properties."""

    nodes: tuple[Mapping[str, Any], ...]
    edges: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Table:
    """The answer to one query.

    ``params`` are the completed arguments. ``full`` tells that there are as many rows as the limit allows, so
    that there may be more. Graph values in rows are given as ids; the graph itself is in ``subgraph``.
    """

    name: str
    params: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    full: bool = False
    milliseconds: int = 0
    subgraph: Subgraph | None = field(default=None, repr=False)


def run(
    connection: Connection, name: str, params: Mapping[str, Any] | None = None, *, draw: bool = False
) -> Table:
    """Ask the query ``name``. ``draw`` adds the subgraph of its drawing, where it has one.

    Raises
    ------
    QueryError : unknown query or argument, a missing one, or one of another type.
    AddressError : an argument that names nothing in the atlas, or several things.
    """
    query = catalogue.get(name)
    return ask(connection, query, complete(connection, query, params or {}), draw=draw)


def ask(connection: Connection, query: Query, values: Mapping[str, Any], *, draw: bool = False) -> Table:
    """Ask a query with complete arguments (:func:`complete`)."""
    result = connection.read(query.sent, values)
    table = table_of(query.name, values, result.columns, result.rows, result.milliseconds)
    table = _limited(table)
    if draw and query.drawing is not None:
        drawn = ask(connection, catalogue.get(query.drawing), values)
        return replace(table, subgraph=drawn.subgraph, milliseconds=table.milliseconds + drawn.milliseconds)
    return table


def ask_each(
    connection: Connection, query: Query, parameter: str, each: Sequence[str], values: Mapping[str, Any]
) -> dict[str, Table]:
    """One query asked of many values of a parameter in one go: by value, the table that :func:`ask` gives.

    ``values`` are the other arguments, complete. Graph values are not meant to be returned.
    """
    text = cypher_text.each(query.text, parameter, query.columns)
    sent = f"// atlas:{query.name} queries/{query.path.name}\n{text}"
    result = connection.read(sent, {**values, parameter: list(each)})
    rows: dict[str, list[tuple[Any, ...]]] = {value: [] for value in each}
    for value, *row in result.rows:
        rows[value].append(tuple(row))
    return {
        value: _limited(table_of(query.name, {**values, parameter: value}, query.columns, own))
        for value, own in rows.items()
    }


def _limited(table: Table) -> Table:
    limit = table.params.get("limit")
    return replace(table, full=isinstance(limit, int) and len(table.rows) >= limit)


def table_of(
    name: str,
    params: Mapping[str, Any],
    columns: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
    milliseconds: int = 0,
) -> Table:
    """Rows of a result as a table, with the subgraph of the graph values among them."""
    rows = list(rows)
    found = _Collected(rows)
    plain = tuple(
        {column: found.plain(value) for column, value in zip(columns, row, strict=True)} for row in rows
    )
    return Table(name, dict(params), columns, plain, milliseconds=milliseconds, subgraph=found.subgraph())


def complete(connection: Connection, query: Query, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of a query: what was given, coerced and completed, or its default.

    Raises QueryError and AddressError as :func:`run`.
    """
    names = [parameter.name for parameter in query.parameters]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1) or names
            raise QueryError(
                "no such argument", where=f"{query.name}.{name}", expected=" or ".join(near), got=name
            )
    return {parameter.name: _value(connection, query, parameter, given) for parameter in query.parameters}


def _value(connection: Connection, query: Query, parameter: Parameter, given: Mapping[str, Any]) -> object:
    value = given.get(parameter.name)
    if value is None and not parameter.required:
        return parameter.default
    if value is None and parameter.type == "model":
        return resolve.model(connection)
    where = f"{query.name}.{parameter.name}"
    if value is None:
        raise QueryError(
            "an argument is missing",
            where=where,
            expected=f"{parameter.name}: {parameter.meaning}",
            got="nothing",
            next_step=f"`atlas query show {query.name}` lists the arguments",
        )
    if parameter.type in REFERENCES:
        return resolve.reference(connection, parameter.type, str(value))
    if parameter.type in LISTS:
        names = coerce("strings", value, where)
        return [resolve.reference(connection, LISTS[parameter.type], name) for name in names]  # type: ignore[attr-defined]
    return coerce(parameter.type, value, where)


def coerce(kind: str, value: object, where: str) -> object:
    """A value of a declared type, from Python or from text (``20``, ``true``, ``a,b`` or JSON for lists).

    Raises QueryError if it has another type.
    """
    try:
        if kind == "maps":
            return _maps(value)
        if kind.endswith("s") and kind != "maps":
            return [_scalar(kind[:-1], item) for item in _items(value)]
        return _scalar(kind, value)
    except (ValueError, TypeError, KeyError, OverflowError):
        raise QueryError("bad argument", where=where, expected=kind, got=repr(value)) from None


def _scalar(kind: str, value: object) -> object:
    if kind == "boolean":
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
            str(value).lower()
        ]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(kind)
    if kind == "string":
        return str(value)
    number = float(value)
    if kind == "float":
        return number
    if number != int(number):
        raise ValueError(kind)
    return int(value)


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        return json.loads(value) if value.lstrip().startswith("[") else [v for v in value.split(",") if v]
    if not isinstance(value, Iterable):
        raise TypeError("list")
    return list(value)


def _maps(value: object) -> list[dict[str, object]]:
    rows = json.loads(value) if isinstance(value, str) else value
    if not isinstance(rows, Iterable):
        raise TypeError("maps")
    return [dict(row) for row in rows]


class _Collected:
    """Graph values of a result, each once, in order of appearance."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.nodes: dict[str, GraphNode] = {}
        self.edges: dict[str, GraphRelationship] = {}
        for value in values:
            self._collect(value)

    def _collect(self, value: Any) -> None:
        if isinstance(value, GraphNode):
            self.nodes.setdefault(value.key, value)
        elif isinstance(value, GraphRelationship):
            self.edges.setdefault(value.key, value)
        elif isinstance(value, GraphPath):
            self._collect([*value.nodes, *value.relationships])
        elif isinstance(value, Mapping):
            self._collect(list(value.values()))
        elif isinstance(value, list | tuple):
            for item in value:
                self._collect(item)

    def plain(self, value: Any) -> Any:
        """A value with ids in place of nodes, ``[source, type, target]`` of relationships, id lists of paths."""
        if isinstance(value, GraphNode):
            return value.properties.get("id")
        if isinstance(value, GraphRelationship):
            return [self._id(value.start), value.type, self._id(value.end)]
        if isinstance(value, GraphPath):
            return [self.plain(node) for node in value.nodes]
        if isinstance(value, Mapping):
            return {name: self.plain(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        return value

    def subgraph(self) -> Subgraph | None:
        """The graph met, or None if there was none. An edge whose ends were not returned is left out."""
        if not self.nodes and not self.edges:
            return None
        nodes = tuple(
            {"type": node.labels[0] if node.labels else "", **_drawn(node.properties)}
            for node in self.nodes.values()
        )
        edges = tuple(
            {
                "source": self._id(edge.start),
                "target": self._id(edge.end),
                "type": edge.type,
                **edge.properties,
            }
            for edge in self.edges.values()
            if edge.start in self.nodes and edge.end in self.nodes
        )
        return Subgraph(nodes, edges)

    def _id(self, key: str) -> str | None:
        node = self.nodes.get(key)
        return None if node is None else node.properties.get("id")


def _drawn(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a drawn node; a concept's direction, one number per channel, is left to those who ask for it."""
    return {name: value for name, value in properties.items() if name != "vector"}
