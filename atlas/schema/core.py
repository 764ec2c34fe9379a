"""What a declaration is made of: properties, node types, relationship types, and the tables they spool to.

A *table* is what one load statement takes: ``Neuron`` for a node type, ``Neuron-FLOWS_TO-Neuron`` for a
relationship type between two labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from atlas.errors import SchemaError

Kind = Literal["string", "integer", "float", "boolean", "json", "integers", "floats", "strings"]
KINDS: tuple[Kind, ...] = ("string", "integer", "float", "boolean", "json", "integers", "floats", "strings")


@dataclass(frozen=True)
class Property:
    """One property: its name, kind, meaning and unit. ``json`` is a string that holds a JSON document."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    required: bool = False

    def __post_init__(self) -> None:
        if re.fullmatch(r"[A-Za-zλ][A-Za-z0-9_]*", self.name) is None or self.kind not in KINDS:
            raise SchemaError("bad property declaration", where=self.name, expected=KINDS, got=self.kind)


@dataclass(frozen=True)
class NodeType:
    """One label. ``id`` is its key.

    ``run`` types belong to one run and go with it. ``shared`` types are written by several runs, which they
    remember in ``runs``, and go with the last of them; the first run's value of a shared property stays.
    """

    label: str
    meaning: str
    own: tuple[Property, ...]
    run: bool = False
    shared: bool = False

    @property
    def table(self) -> str:
        """Name of its table."""
        return self.label

    @property
    def properties(self) -> tuple[Property, ...]:
        """All properties, ``id`` first."""
        return (ID, *self.own, *_owner(self.run, self.shared))


@dataclass(frozen=True)
class RelationshipType:
    """One relationship type.

    ``key`` names the properties that, with both ends, identify a relationship. ``scored`` types carry
    :data:`SCORED` beside their own properties. ``merged`` types are structure, written once however often it
    is loaded; ``shared`` ones join two shared nodes, so they too remember their ``runs``.
    """

    type: str
    meaning: str
    ends: tuple[tuple[str, str], ...]
    own: tuple[Property, ...] = ()
    key: tuple[str, ...] = ()
    run: bool = False
    scored: bool = False
    shared: bool = False
    merged: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "merged", not self.run)
        unknown = set(self.key) - {p.name for p in self.properties}
        if unknown:
            raise SchemaError("key of a relationship names no property", where=self.type, got=sorted(unknown))

    @property
    def properties(self) -> tuple[Property, ...]:
        """All properties."""
        own = {p.name for p in self.own}
        scored = tuple(p for p in SCORED if p.name not in own) if self.scored else ()
        return (*self.own, *scored, *_owner(self.run, self.shared))

    @property
    def tables(self) -> tuple[Table, ...]:
        """One table per pair of ends."""
        return tuple(Table(f"{a}-{self.type}-{b}", self.properties, a, b, self) for a, b in self.ends)


@dataclass(frozen=True)
class Table:
    """What one load statement takes; ``start`` and ``end`` are labels, None for a table of nodes."""

    name: str
    properties: tuple[Property, ...]
    start: str | None = None
    end: str | None = None
    relationship: RelationshipType | None = None

    @property
    def columns(self) -> tuple[Property, ...]:
        """Columns in order: the ids of the ends first, and no owner, which the loader fills in."""
        own = tuple(p for p in self.properties if p not in (RUN, RUNS))
        return own if self.start is None else (START, END, *own)


@dataclass(frozen=True)
class Index:
    """One index beside the constraints. ``kind`` is range, fulltext or vector."""

    name: str
    kind: Literal["range", "fulltext", "vector"]
    targets: tuple[str, ...]
    properties: tuple[str, ...]
    relationship: bool = False


ID = Property("id", "string", "the key, a readable address", required=True)
RUN = Property("run", "string", "id of the Run that wrote it", required=True)
RUNS = Property("runs", "strings", "ids of the Runs that wrote it; it goes with the last", required=True)
START = Property("start", "string", "id of the node it starts at", required=True)
END = Property("end", "string", "id of the node it ends at", required=True)
SCORED = (
    Property("share", "float", "score / Σ|score| over all sources of the target, before pruning"),
    Property("rank_in", "integer", "rank within target, scope and source layer; 1 is the strongest"),
    Property("rank_out", "integer", "rank within the source; 1 is the strongest"),
    Property("hops", "integer", "distance in layers", unit="layers"),
    Property("n", "integer", "images averaged over", unit="images"),
    Property("std", "float", "population standard deviation over these images, in the score's unit"),
)


def _owner(run: bool, shared: bool) -> tuple[Property, ...]:
    return (RUN,) if run else (RUNS,) if shared else ()
