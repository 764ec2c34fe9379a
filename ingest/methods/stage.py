"""What a method adds to a job: shards of work, in phases, whose tables go into the method's spool.

A table whose name begins with ``#`` is a note from one shard to later ones: it is kept with the shard and never
spooled. Notes named :data:`FACTS` are numbers about the shard, summed over all shards for :meth:`Stage.facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from atlas.spool import Values

FACTS = "#facts"

Columns = Mapping[str, Values]
Table = tuple[str, Columns]
Progress = Callable[[str, int, int], None]
Earlier = Callable[[str], list[Table]]
"""Name of a shard of an earlier phase -> its tables, notes included."""


class Stage(Protocol):
    """One method of a job, made from (prepared, store, queries: rows of the store or None for the spec's)."""

    version: str
    queries: tuple[int, ...]

    def parameters(self) -> dict[str, Any]:
        """What its numbers depend on, beside model, data and seed."""
        ...

    @property
    def phases(self) -> tuple[tuple[str, ...], ...]:
        """Names of the shards, in order. Shards of one phase do not see each other's tables, later phases do."""
        ...

    def compute(
        self, run: str, shard: str, progress: Progress, earlier: Earlier
    ) -> Iterator[tuple[str, Columns]]:
        """The tables of one shard; ``progress(what, done, total)``."""
        ...

    def facts(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Facts about the run, from the sums over its shards."""
        ...


def spooled(tables: list[Table]) -> list[Table]:
    """The tables that go into the spool."""
    return [table for table in tables if not table[0].startswith("#")]


def sum_facts(total: dict[str, float], tables: list[Table]) -> None:
    """Add a shard's numbers to the totals."""
    for table, columns in tables:
        if table == FACTS:
            for name, values in columns.items():
                total[name] = total.get(name, 0) + float(np.asarray(values).sum())
