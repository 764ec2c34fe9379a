"""The atlas in Python: ``open_atlas().query(name, **params)`` gives rows that become pandas or networkx."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from atlas import catalogue, circuits, lookup
from atlas.circuits import Circuit
from atlas.errors import AtlasError, QueryError
from atlas.lookup import Table
from atlas.query_file import Query
from atlas.store.connection import Connection, connect
from atlas.store.guard import guarded_read
from atlas.views import graph

if TYPE_CHECKING:
    import networkx
    import pandas

    from atlas.store.settings import Settings


@dataclass(frozen=True)
class Rows:
    """The answer to a query: iterates over rows as dicts; ``table`` has the arguments and columns beside them."""

    table: Table
    connection: Connection

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.table.columns

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.table.rows)

    def __len__(self) -> int:
        return len(self.table.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.table.rows[index]

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with one row per row. Raises AtlasError without pandas."""
        try:
            import pandas
        except ImportError:
            raise AtlasError(
                "pandas is not installed", next_step="`pip install 'circuit-atlas[frames]'`"
            ) from None
        return pandas.DataFrame.from_records([dict(row) for row in self], columns=list(self.columns))

    def to_networkx(self) -> networkx.DiGraph:
        """A directed graph: of the rows where they are edges (``source``, ``target``), else of the drawing.

        Raises QueryError if the query has neither, AtlasError without networkx.
        """
        if {"source", "target"} <= set(self.columns):
            return graph.to_networkx(circuits.of_table(self.table.name, self.table))
        return graph.to_networkx(_drawn(self._drawing()))

    def _drawing(self) -> Table:
        if self.table.subgraph is not None:
            return self.table
        query = catalogue.load().get(self.table.name)
        if query is None or query.drawing is None:
            raise QueryError(
                "this answer is no graph",
                where=self.table.name,
                expected="a query with a drawing",
                got="a table",
            )
        return lookup.ask(self.connection, query, self.table.params, draw=True)


class Atlas:
    """An open atlas; a context manager.

    >>> with open_atlas() as atlas:                                    # doctest: +SKIP
    ...     atlas.query("neuron_images", neuron="layer3.2/117").to_pandas()
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def queries(self) -> Mapping[str, Query]:
        """The catalogue by name."""
        return catalogue.load()

    def query(self, name: str, /, **params: Any) -> Rows:
        """Ask a query of the catalogue; addresses and names may be as short as they are clear.

        Raises
        ------
        QueryError : unknown query or argument, a missing one, or one of another type.
        AddressError : an argument that names nothing in the atlas, or several things.
        """
        return Rows(lookup.run(self.connection, name, params), self.connection)

    def cypher(self, text: str, /, *, limit: int = 1000, timeout: float = 30.0, **params: Any) -> Rows:
        """Run your own Cypher, which must only read; at most ``limit`` rows.

        Raises QueryError if it does anything else, fails, or takes longer than ``timeout`` seconds.
        """
        result = guarded_read(self.connection, text, params, timeout=timeout, limit=limit)
        table = lookup.table_of("cypher", params, result.columns, result.rows, result.milliseconds)
        return Rows(replace(table, full=result.truncated), self.connection)

    def circuit(self, circuit: str) -> Circuit:
        """A stored circuit by id, whole. Raises AddressError if it is not there."""
        return circuits.stored(self.connection, circuit)

    def close(self) -> None:
        """Give the connection back; the server stays up."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_atlas(settings: Settings | None = None, *, notify: Callable[[str], None] | None = None) -> Atlas:
    """Open the atlas of the settings: ``NEO4J_URI`` if set, else the managed server, started when none runs.

    Raises StoreError if there is no database to talk to.
    """
    return Atlas(connect(settings, notify=notify))


def _drawn(table: Table) -> Circuit:
    subgraph = table.subgraph or lookup.Subgraph((), ())
    nodes = {node["id"]: {k: v for k, v in node.items() if k != "id"} for node in subgraph.nodes}
    edges = {
        (edge["source"], edge["target"]): {k: v for k, v in edge.items() if k not in ("source", "target")}
        for edge in subgraph.edges
    }
    return Circuit(table.name, nodes, edges)
