"""Tables of spools as CSV files in the form that `neo4j-admin database import full` reads.

A run's own rows go column by column from Parquet to CSV. Rows that several spools write, such as neurons, are joined by
key first, as a load over Bolt would: the first value of a shared property stays, and `runs` names them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from atlas.schema import NODE_TYPES, Kind, Property, Table
from atlas.spool.reader import Spool

SEPARATOR = "\x1f"
"""Between the values of a list; no name or number holds it."""
_PLAIN = pacsv.WriteOptions(include_header=False, quoting_style="needed")
_KINDS: Mapping[Kind, str] = {
    "string": "string",
    "json": "string",
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
    "integers": "long[]",
    "floats": "double[]",
    "strings": "string[]",
}


@dataclass(frozen=True)
class CsvTable:
    """One table on disk: ``files`` are its header and its data; ``multiline`` if a value holds a line break."""

    table: Table
    files: tuple[Path, ...]
    rows: int
    multiline: bool

    @property
    def argument(self) -> str:
        """Its place in the import's command line."""
        paths = ",".join(str(path) for path in self.files)
        if self.table.relationship is None:
            return f"--nodes={self.table.name}={paths}"
        return f"--relationships={self.table.relationship.type}={paths}"


def write_tables(spools: Sequence[Spool], folder: Path) -> Iterator[CsvTable]:
    """All rows of some spools, a CSV file per table, and per spool where rows are a run's own."""
    for item in dict.fromkeys(item for spool in spools for item in spool.tables()):
        holders = [spool for spool in spools if spool.rows(item.name)]
        if not holders:
            continue
        header = folder / f"{item.name}.header.csv"
        header.write_text(",".join(_header(item)) + "\n", encoding="utf-8")
        if _shared(item):
            path = folder / f"{item.name}.csv"
            rows, multiline = _write_joined(item, holders, path)
            yield CsvTable(item, (header, path), rows, multiline)
        else:
            paths, marks = [], []
            for spool in holders:
                paths.append(folder / f"{item.name}.{spool.run.id}.csv")
                marks.append(_write_own(item, spool, paths[-1]))
            rows = sum(spool.rows(item.name) for spool in holders)
            yield CsvTable(item, (header, *paths), rows, any(marks))


def write_nodes(item: Table, rows: Sequence[Mapping[str, Any]], folder: Path) -> CsvTable:
    """Nodes at hand as one CSV table; no owner is added."""
    header, path = folder / f"{item.name}.header.csv", folder / f"{item.name}.csv"
    header.write_text(",".join(_cells(item.columns, item)) + "\n", encoding="utf-8")
    multiline = _write_rows(path, [[_text(row.get(p.name)) for p in item.columns] for row in rows])
    return CsvTable(item, (header, path), len(rows), multiline)


def _shared(item: Table) -> bool:
    return NODE_TYPES[item.name].shared if item.relationship is None else item.relationship.merged


def _header(item: Table) -> list[str]:
    owner = [p for p in item.properties if p.name in ("run", "runs")]
    return _cells([*item.columns, *owner], item)


def _cells(properties: Sequence[Property], item: Table) -> list[str]:
    cells = [f"{p.name}:{_KINDS[p.kind]}" for p in properties]
    if item.start is None:
        return [f"id:ID({item.name})", *cells[1:]]
    return [f":START_ID({item.start})", f":END_ID({item.end})", *cells[2:]]


def _write_own(item: Table, spool: Spool, path: Path) -> bool:
    """One spool's rows of a table, with the run's id in the last column where the type names its run."""
    owned = any(p.name == "run" for p in item.properties)
    multiline = False
    source = spool.folder / spool.manifest.tables[item.name].file
    with pq.ParquetFile(source) as file, path.open("wb") as out:
        for group in range(file.metadata.num_row_groups):
            part = file.read_row_group(group)
            columns = [_flat(part.column(p.name), p.kind) for p in item.columns]
            multiline |= any(_breaks(column) for column in columns)
            if owned:
                columns.append(pa.array([spool.run.id]).take(pa.array([0] * part.num_rows)))
            pacsv.write_csv(pa.table(columns, names=[str(n) for n in range(len(columns))]), out, _PLAIN)
    return multiline


def _flat(column: Any, kind: Kind) -> Any:
    if not kind.endswith("s"):
        return column
    whole = column.combine_chunks()
    text = pa.ListArray.from_arrays(whole.offsets, whole.values.cast(pa.string()), mask=whole.is_null())
    return pc.binary_join(text, SEPARATOR)


def _breaks(column: Any) -> bool:
    return pa.types.is_string(column.type) and bool(pc.any(pc.match_substring(column, "\n")).as_py())


def _write_joined(item: Table, holders: Sequence[Spool], path: Path) -> tuple[int, bool]:
    """Rows of several spools joined by key: id of a node, ends and key of a relationship."""
    names = [p.name for p in item.columns]
    relationship = item.relationship
    key_names = ("id",) if relationship is None else ("start", "end", *relationship.key)
    places = [names.index(name) for name in key_names]
    joined: dict[tuple[Any, ...], tuple[list[Any], list[str]]] = {}
    for spool in holders:
        for batch in spool.batches(item):
            for row in batch:
                kept, runs = joined.setdefault(tuple(row[n] for n in places), (row, []))
                kept[:] = [new if old is None else old for old, new in zip(kept, row, strict=True)]
                if spool.run.id not in runs:
                    runs.append(spool.run.id)
    remembers = any(p.name == "runs" for p in item.properties)
    rows = [
        [_text(value) for value in kept] + ([SEPARATOR.join(runs)] if remembers else [])
        for kept, runs in joined.values()
    ]
    return len(joined), _write_rows(path, rows)


def _write_rows(path: Path, rows: list[list[str | None]]) -> bool:
    """Rows of text, an absent value as nothing at all: a quoted empty text is one to the import."""
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    if columns:
        table = pa.table(columns, names=[str(n) for n in range(len(columns))])
        pacsv.write_csv(table, path, _PLAIN)
    else:
        path.touch()
    return any(_breaks(column) for column in columns)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return SEPARATOR.join(_text(entry) or "" for entry in value)
    return repr(value) if isinstance(value, float) else str(value)
