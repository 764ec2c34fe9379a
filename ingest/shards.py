"""Work cut into shards whose tables are kept on disk, so that a job that was cut goes on where it stood.

A shard is one ``.npz`` file of columns, written beside and renamed; a file that is there is complete. Nothing in it
is pickled: lists of plain values are JSON.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atlas.spool import Coded, Ragged, Values
from ingest.store_files import disk_errors

Tables = list[tuple[str, Mapping[str, Values]]]
Checkpoint = Callable[[str], None]


class Shards:
    """The shards of one stage in one folder."""

    def __init__(self, folder: Path, checkpoint: Checkpoint | None = None) -> None:
        self.folder = folder
        self._at = checkpoint or (lambda name: None)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def tables(self, name: str, compute: Callable[[], Iterable[tuple[str, Mapping[str, Values]]]]) -> Tables:
        """The tables of a shard: read if it was done before, else computed and kept."""
        if not self.done(name):
            _write(self._path(name), list(compute()))
            self._at(f"shard:{name}")
        # Read back even when just computed, so that a resumed job and an uncut one see the same values.
        return self.read(name)

    def done(self, name: str) -> bool:
        """Whether a shard is there."""
        return self._path(name).is_file()

    def read(self, name: str) -> Tables:
        """The tables of a shard that is there."""
        return list(_read(self._path(name)))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def drop(self, name: str) -> None:
        """Forget one shard, when what was made of it is safe."""
        self._path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget all shards, when what was made of them is safe."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(path: Path, tables: Tables) -> None:
    arrays: dict[str, Any] = {}
    for number, (table, columns) in enumerate(tables):
        for column, values in columns.items():
            for part, array in _encode(values).items():
                arrays[f"{number:05d}|{table}|{column}|{part}"] = array
    with disk_errors(path.parent):
        # Of its own name: a shard may be computed twice at once, by a process that was given up and its heir.
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        beside.replace(path)


def _read(path: Path) -> Iterator[tuple[str, Mapping[str, Values]]]:
    with np.load(path, allow_pickle=False) as file:
        parts: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for key in file.files:
            number, table, column, part = key.split("|")
            parts.setdefault((number, table), {}).setdefault(column, {})[part] = file[key]
    for (_, table), columns in parts.items():
        yield table, {column: _decode(encoded) for column, encoded in columns.items()}


def _encode(values: Values) -> dict[str, Any]:
    if isinstance(values, Coded):
        return {"codes": values.codes, "names": np.array(list(values.names), np.str_)}
    if isinstance(values, Ragged):
        return {"ragged": values.values, "offsets": values.offsets}
    if isinstance(values, np.ma.MaskedArray):
        return {"array": values.data, "mask": np.ma.getmaskarray(values)}
    if isinstance(values, np.ndarray):
        return {"array": values}
    return {"json": np.array(json.dumps(list(values), default=_plain))}


def _decode(parts: Mapping[str, Any]) -> Values:
    if "codes" in parts:
        return Coded(parts["codes"], parts["names"].tolist())
    if "ragged" in parts:
        return Ragged(parts["ragged"], parts["offsets"])
    if "mask" in parts:
        masked: Values = np.ma.MaskedArray(parts["array"], parts["mask"])
        return masked
    if "array" in parts:
        array: Values = parts["array"]
        return array
    listed: Values = json.loads(str(parts["json"]))
    return listed


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"not a column value: {type(value).__name__}")
