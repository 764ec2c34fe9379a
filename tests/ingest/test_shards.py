"""Shards: computed once, read back as written, forgotten on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from atlas.errors import DiskError
from atlas.spool import Coded, Ragged, Values
from ingest.shards import Shards

TABLES: list[tuple[str, Mapping[str, Values]]] = [
    ("A", {"id": ["x|y", "z"], "n": [1, None], "f": np.array([0.5, 2.0], np.float32)}),
    ("A", {"id": ["w"], "n": np.ma.MaskedArray([3], [True])}),
    (
        "B",
        {"start": Coded(np.array([1, 0]), ["p", "q"]), "l": Ragged(np.array([1, 2, 3]), np.array([0, 1, 3]))},
    ),
    ("C", {"lists": [[1, 2], []], "json": ['{"a": 1}', "{}"]}),
]


def same(a: Values, b: Values) -> bool:
    if isinstance(a, Coded) and isinstance(b, Coded):
        return np.array_equal(a.codes, b.codes) and list(a.names) == list(b.names)
    if isinstance(a, Ragged) and isinstance(b, Ragged):
        return np.array_equal(a.values, b.values) and np.array_equal(a.offsets, b.offsets)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        masks = np.array_equal(np.ma.getmaskarray(a), np.ma.getmaskarray(b))
        return masks and a.dtype == b.dtype and np.array_equal(np.asarray(a), np.asarray(b))
    return a == b


def test_a_shard_comes_back_as_it_was_and_is_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute() -> Iterator[tuple[str, Mapping[str, Values]]]:
        calls.append(1)
        yield from TABLES

    first = Shards(tmp_path / "s").tables("one", compute)
    again = Shards(tmp_path / "s").tables("one", compute)
    assert len(calls) == 1
    for tables in (first, again):
        assert [name for name, _ in tables] == ["A", "A", "B", "C"]
        for (_, got), (_, want) in zip(tables, TABLES, strict=True):
            assert got.keys() == want.keys()
            assert all(same(got[c], want[c]) for c in want)


def test_a_shard_that_failed_is_not_there(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s")

    def broken() -> Iterator[tuple[str, Mapping[str, Values]]]:
        yield TABLES[0]
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        shards.tables("one", broken)
    assert shards.tables("one", lambda: TABLES[2:3])[0][0] == "B"


def test_remove_forgets(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s")
    shards.tables("one", lambda: TABLES)
    shards.remove()
    assert not (tmp_path / "s").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="file"):
        Shards(tmp_path / "file" / "s")
