"""Checked columns as Arrow arrays and back: the conversions, without any file."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.schema import Kind, Property, Table
from atlas.spool.columns import Column

_SCALARS: dict[Kind, Any] = {
    "string": pa.string(),
    "json": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
}
_ELEMENTS: dict[Kind, Any] = {"integers": pa.int64(), "floats": pa.float64(), "strings": pa.string()}


def arrow_type(kind: Kind) -> Any:
    """The Arrow type of a kind."""
    return _SCALARS[kind] if kind in _SCALARS else pa.list_(_ELEMENTS[kind])


def arrow_schema(item: Table) -> pa.Schema:
    """The Arrow schema of a table: its columns in order, nullable unless required."""
    return pa.schema([pa.field(p.name, arrow_type(p.kind), nullable=not p.required) for p in item.columns])


def to_arrow(prop: Property, column: Column) -> Any:
    """A checked column as an Arrow array."""
    if column.names is not None:
        codes, names = pa.array(column.values, pa.int64()), pa.array(column.names, pa.string())
        return pa.DictionaryArray.from_arrays(cast(Any, codes), names).cast(pa.string())
    missing = None if column.valid is None else ~column.valid
    if column.offsets is None:
        # In a list None itself says that a value is missing.
        given = missing if isinstance(column.values, np.ndarray) else None
        return pa.array(column.values, _SCALARS[prop.kind], mask=given)
    inner = pa.array(column.values, _ELEMENTS[prop.kind])
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(pa.array(column.offsets, pa.int32()), inner, mask=mask)


def nulls(prop: Property, length: int) -> Any:
    """A column that was not given."""
    return pa.nulls(length, arrow_type(prop.kind))


def to_rows(part: pa.Table, item: Table) -> list[list[Any]]:
    """Rows as lists of Python values in the order of ``item.columns``."""
    columns = [_python(part.column(p.name).combine_chunks(), p.kind) for p in item.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _python(values: Any, kind: Kind) -> list[Any]:
    # Not `to_pylist`: it makes an Arrow scalar per value, which is ten times slower.
    if values.null_count == len(values):
        return [None] * len(values)
    if kind in ("string", "json"):
        coded = values.dictionary_encode()
        names = [*coded.dictionary.to_pylist(), None]
        codes = pc.fill_null(coded.indices, len(names) - 1).to_numpy(zero_copy_only=False)
        return [names[code] for code in codes.tolist()]
    if kind == "strings":
        return cast("list[Any]", values.to_pylist())
    if kind in _SCALARS:
        filled = pc.fill_null(values, False if kind == "boolean" else 0) if values.null_count else values
        result = cast("list[Any]", filled.to_numpy(zero_copy_only=False).tolist())
    else:
        offsets = values.offsets.to_numpy().tolist()
        first = offsets[0]
        flat = values.values.slice(first, offsets[-1] - first).to_numpy().tolist()
        result = [flat[a - first : b - first] for a, b in pairwise(offsets)]
    if values.null_count:
        for row in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)).tolist():
            result[row] = None
    return result
