"""Columns on their way into a spool: checked against the schema, never a Python object per edge.

A column is given as a numpy array (masked where a value is missing), a list (None where one is missing),
:class:`Coded` for strings that repeat, or :class:`Ragged` for lists of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from atlas.errors import SpoolError
from atlas.schema import Kind, Property

ELEMENT: dict[Kind, Kind] = {"integers": "integer", "floats": "float", "strings": "string"}
_DTYPES: dict[Kind, str] = {"string": "U", "json": "U", "integer": "iu", "float": "fiu", "boolean": "b"}
_TYPES: dict[Kind, tuple[type, ...]] = {
    "string": (str,),
    "json": (str,),
    "integer": (int, np.integer),
    "float": (float, int, np.floating, np.integer),
    "boolean": (bool, np.bool_),
}
_NUMPY: dict[Kind, type] = {"integer": np.int64, "float": np.float64, "boolean": np.bool_}


@dataclass(frozen=True)
class Coded:
    """Strings by code: row i is ``names[codes[i]]``; ``codes`` (n,) integers."""

    codes: NDArray[np.integer[Any]]
    names: Sequence[str]


@dataclass(frozen=True)
class Ragged:
    """Lists of numbers: row i is ``values[offsets[i]:offsets[i + 1]]``; ``offsets`` (n + 1,) integers."""

    values: NDArray[Any]
    offsets: NDArray[np.integer[Any]]


Values = NDArray[Any] | Sequence[Any] | Coded | Ragged


@dataclass(frozen=True)
class Column:
    """A checked column: ``valid`` (n,) is None if nothing is missing; ``offsets`` cut values into lists."""

    values: NDArray[Any] | list[str | None]
    valid: NDArray[np.bool_] | None = None
    offsets: NDArray[np.int64] | None = None
    names: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1


def check(table: str, prop: Property, values: Values, first: int = 0) -> Column:
    """The column, if the schema allows it.

    ``first`` is the row of the table that ``values[0]`` becomes; errors count from there.

    Raises SpoolError naming table, column and row: wrong type, NaN or infinity, a required value missing.
    """
    place = _Place(table, prop, first)
    if isinstance(values, Coded):
        return _coded(place, values)
    if prop.kind in ELEMENT:
        column = _lists(place, values)
    elif isinstance(values, np.ndarray) and values.dtype.kind != "O":
        column = _array(place, prop.kind, values)
    else:
        column = _sequence(place, prop.kind, list(cast("Sequence[Any]", values)))
    if prop.required and column.valid is not None and not column.valid.all():
        place.refuse(int(np.argmin(column.valid)), "a value", "none")
    if prop.kind == "json":
        _json(place, cast("Sequence[str | None]", column.values))
    return column


@dataclass(frozen=True)
class _Place:
    table: str
    prop: Property
    first: int

    def refuse(self, row: int | None, expected: object, got: object) -> NoReturn:
        where = f"{self.table}.{self.prop.name}" + ("" if row is None else f" row {self.first + row}")
        raise SpoolError("a value cannot be stored", where=where, expected=expected, got=got)


def _coded(place: _Place, values: Coded) -> Column:
    if place.prop.kind != "string":
        place.refuse(None, place.prop.kind, "coded strings")
    codes = np.asarray(values.codes)
    if codes.dtype.kind not in "iu" or codes.ndim != 1:
        place.refuse(None, "a vector of integer codes", f"{codes.dtype} of shape {codes.shape}")
    outside = (codes < 0) | (codes >= len(values.names))
    if outside.any():
        row = int(np.argmax(outside))
        place.refuse(row, f"a code below {len(values.names)}", codes[row])
    return Column(codes.astype(np.int64), names=values.names)


def _array(place: _Place, kind: Kind, values: NDArray[Any]) -> Column:
    data = np.ma.getdata(values)
    if data.ndim != 1 or (data.size and data.dtype.kind not in _DTYPES[kind]):
        place.refuse(None, f"a vector of {kind}", f"{data.dtype} of shape {data.shape}")
    missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    valid = None if missing is None or not missing.any() else ~missing
    if kind in ("string", "json"):
        return Column(data if valid is None else np.where(valid, data, "").astype(data.dtype), valid)
    if kind == "integer" and data.size and data.dtype == np.uint64 and data.max() > np.iinfo(np.int64).max:
        place.refuse(int(np.argmax(data)), "a 64-bit signed integer", data.max())
    column = Column(data.astype(_NUMPY[kind]), valid)
    _finite(place, kind, column)
    return column


def _finite(place: _Place, kind: Kind, column: Column) -> None:
    if kind != "float":
        return
    numbers = cast("NDArray[np.float64]", column.values)
    bad = ~np.isfinite(numbers)
    if column.valid is not None and column.offsets is None:
        bad &= column.valid
    if bad.any():
        at = int(np.argmax(bad))
        row = at if column.offsets is None else int(np.searchsorted(column.offsets, at, side="right")) - 1
        place.refuse(row, "a finite number", numbers[at])


def _sequence(place: _Place, kind: Kind, values: list[Any]) -> Column:
    types = {type(value) for value in values}
    if not all(_fits(kind, t) for t in types):
        row = next(i for i, value in enumerate(values) if not _fits(kind, type(value)))
        place.refuse(row, f"a {kind}", repr(values[row]))
    valid = (
        np.fromiter((v is not None for v in values), np.bool_, len(values)) if type(None) in types else None
    )
    if kind in ("string", "json"):
        return Column(values, valid)
    try:
        numbers: NDArray[Any] = np.array(
            [0 if value is None else value for value in values], dtype=_NUMPY[kind]
        )
    except OverflowError:
        row = next(i for i, value in enumerate(values) if value is not None and abs(value) >= 2**63)
        place.refuse(row, "a 64-bit signed integer", values[row])
    column = Column(numbers, valid)
    _finite(place, kind, column)
    return column


def _fits(kind: Kind, t: type) -> bool:
    if t is type(None):
        return True
    return issubclass(t, _TYPES[kind]) and (kind == "boolean" or not issubclass(t, bool))


def _lists(place: _Place, values: Values) -> Column:
    kind = ELEMENT[place.prop.kind]
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        if values.ndim != 2:
            place.refuse(None, "a matrix with a row per list", f"an array of shape {values.shape}")
        width = values.shape[1]
        values = Ragged(values.ravel(), np.arange(len(values) + 1, dtype=np.int64) * width)
    if not isinstance(values, Ragged):
        return _list_of_lists(place, kind, list(cast("Sequence[Any]", values)))
    offsets = np.asarray(values.offsets, dtype=np.int64)
    if (
        not len(offsets)
        or offsets[0] != 0
        or offsets[-1] != len(values.values)
        or (np.diff(offsets) < 0).any()
    ):
        place.refuse(None, "offsets that ascend from 0 to the number of values", "others")
    flat = _array(place, kind, values.values) if kind != "float" else _floats(place, values.values, offsets)
    return replace(flat, offsets=offsets)


def _floats(place: _Place, values: NDArray[Any], offsets: NDArray[np.int64]) -> Column:
    if values.ndim != 1 or (values.size and values.dtype.kind not in _DTYPES["float"]):
        place.refuse(None, "a vector of float", f"{values.dtype} of shape {values.shape}")
    column = Column(values.astype(np.float64), offsets=offsets)
    _finite(place, "float", column)
    return column


def _list_of_lists(place: _Place, kind: Kind, values: list[Any]) -> Column:
    parts: list[NDArray[Any]] = []
    for row, value in enumerate(values):
        part = np.asarray([] if value is None else value)
        if part.ndim != 1 or (part.size and part.dtype.kind not in _DTYPES[kind]):
            place.refuse(row, f"a list of {kind}", repr(value))
        parts.append(part)
    valid = np.array([value is not None for value in values], np.bool_)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)]).astype(np.int64)
    filled = [part for part in parts if part.size]
    flat = np.concatenate(filled) if filled else np.empty(0, _NUMPY.get(kind, "U1"))
    missing = None if valid.all() else valid
    if kind == "string":
        return Column(flat, missing, offsets)
    column = Column(flat.astype(_NUMPY[kind]), missing, offsets)
    _finite(place, kind, column)
    return column


def _json(place: _Place, values: Sequence[str | None]) -> None:
    for row, value in enumerate(values):
        if value is None:
            continue
        try:
            json.loads(value)
        except ValueError:
            place.refuse(row, "a JSON document", repr(str(value)[:40]))
