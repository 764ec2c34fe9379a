"""A circuit as a value: neurons, the edges between them, and what two circuits share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atlas import lookup
from atlas.errors import QueryError
from atlas.lookup import Table

if TYPE_CHECKING:
    from atlas.store.connection import Connection

WHOLE = 10_000_000
Ends = tuple[str, str]


@dataclass(frozen=True)
class Circuit:
    """Nodes by address, edges by (source, target); both carry the properties of the rows they came from."""

    name: str
    nodes: Mapping[str, Mapping[str, Any]]
    edges: Mapping[Ends, Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """What only one of two circuits has, and what both have."""

    only_first: Circuit
    only_second: Circuit
    both: Circuit


def of_table(name: str, table: Table) -> Circuit:
    """The circuit of a table with the columns ``source`` and ``target``.

    Raises QueryError if the table has none.
    """
    if not {"source", "target"} <= set(table.columns):
        raise QueryError(
            "no circuit in this answer",
            where=table.name,
            expected="columns source and target",
            got=table.columns,
        )
    edges = {
        (row["source"], row["target"]): {k: v for k, v in row.items() if k not in ("source", "target")}
        for row in table.rows
    }
    return Circuit(name, {node: {} for ends in edges for node in ends}, edges)


def stored(connection: Connection, circuit: str) -> Circuit:
    """A stored circuit by id, whole; also one without edges.

    Raises AddressError if it is not in the atlas.
    """
    members = lookup.run(connection, "circuit_nodes", {"circuit": circuit, "limit": WHOLE})
    identity = members.params["circuit"]
    edges = of_table(
        identity, lookup.run(connection, "circuit_edges", {"circuit": identity, "limit": WHOLE})
    ).edges
    nodes = {row["node"]: {k: v for k, v in row.items() if k != "node"} for row in members.rows}
    return Circuit(identity, nodes, edges)


def of_image(connection: Connection, image: str, model: str | None = None) -> Circuit:
    """The exact circuits of an image as one; without nodes if none is stored.

    Raises AddressError if the image is not in the atlas.
    """
    table = lookup.run(connection, "circuit_of_image", {"image": image, "model": model, "limit": WHOLE})
    return of_table(table.params["image"], table)


def traversal(connection: Connection, image: str, model: str | None = None, **parameters: Any) -> Circuit:
    """The circuit of an ingested image by traversal of the stored flow.

    Raises AddressError if the image is not in the atlas, or holds several models and none is named.
    """
    params = {"image": image, "model": model, "limit": WHOLE, **parameters}
    table = lookup.run(connection, "traversal_circuit", params)
    return of_table(table.params["image"], table)


def overlap(first: Circuit, second: Circuit) -> float:
    """Jaccard index of the nodes: in both / in either, in [0, 1]; 0 for two empty circuits."""
    return _jaccard(set(first.nodes), set(second.nodes))


def edge_overlap(first: Circuit, second: Circuit) -> float:
    """Jaccard index of the edges, in [0, 1]; 0 where neither has one."""
    return _jaccard(set(first.edges), set(second.edges))


def difference(first: Circuit, second: Circuit) -> Difference:
    """What only the first, only the second, and both have; properties in ``both`` are the first's."""
    return Difference(
        _part(f"{first.name} without {second.name}", first, second, keep=False),
        _part(f"{second.name} without {first.name}", second, first, keep=False),
        _part(f"{first.name} and {second.name}", first, second, keep=True),
    )


def _jaccard(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


def _part(name: str, circuit: Circuit, other: Circuit, *, keep: bool) -> Circuit:
    return Circuit(
        name,
        {node: values for node, values in circuit.nodes.items() if (node in other.nodes) is keep},
        {ends: values for ends, values in circuit.edges.items() if (ends in other.edges) is keep},
    )
