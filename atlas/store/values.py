"""What comes back from the database as plain Python: beyond the connection nothing knows the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GraphNode:
    """A node. `key` tells nodes of one result apart; the identity is `properties["id"]`."""

    labels: tuple[str, ...]
    properties: Mapping[str, Any]
    key: str = field(repr=False)


@dataclass(frozen=True)
class GraphRelationship:
    """A relationship; `start` and `end` are the `key`s of its nodes."""

    type: str
    start: str
    end: str
    properties: Mapping[str, Any]
    key: str = field(repr=False)


@dataclass(frozen=True)
class GraphPath:
    """A path: n + 1 nodes and the n relationships between them, in order."""

    nodes: tuple[GraphNode, ...]
    relationships: tuple[GraphRelationship, ...]


@dataclass(frozen=True)
class Result:
    """Rows of one statement.

    Attributes
    ----------
    truncated : more rows existed than the caller's limit.
    counters : what a write changed, e.g. {"nodes_created": 3}; empty for a read.
    milliseconds : time the server took until the result was available and consumed.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    counters: Mapping[str, int]
    milliseconds: int

    def records(self) -> list[dict[str, Any]]:
        """Rows as dictionaries by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class PlanNode:
    """One operator of an execution plan; `hits` is None unless the statement was profiled."""

    operator: str
    details: str
    hits: int | None
    rows: int | None
    children: tuple[PlanNode, ...]

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> PlanNode:
        """The operator tree as the server sends it: nested maps of operatorType, args and children."""
        arguments = tree.get("args", {})
        return cls(
            operator=tree["operatorType"].partition("@")[0],
            details=str(arguments.get("Details", "")),
            hits=arguments.get("DbHits"),
            rows=arguments.get("Rows"),
            children=tuple(cls.of(child) for child in tree.get("children", ())),
        )

    def walk(self) -> Iterator[PlanNode]:
        """This operator and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Plan:
    """How the server would run (or ran) a statement.

    Attributes
    ----------
    kind : "r", "rw", "w" or "s" (schema and administration).
    notices : (code, description) of every notice of the server, such as a deprecation or a Cartesian product.
    """

    kind: str
    root: PlanNode
    notices: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of all operators, from the root down."""
        return tuple(node.operator for node in self.root.walk())

    @property
    def hits(self) -> int:
        """Database hits of the whole statement (0 unless profiled)."""
        return sum(node.hits or 0 for node in self.root.walk())
