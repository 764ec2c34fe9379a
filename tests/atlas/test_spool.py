"""A spool gives back what was written, refuses what the schema forbids, and appears whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.schema import SCHEMA_VERSION, TABLES, Kind, Property
from atlas.spool import Coded, Ragged, RunRecord, Spool, SpoolWriter, open_spools
from atlas.spool.columns import check
from atlas.spool.manifest import LOADER_TABLES

RUN = RunRecord(
    model="net@0123abcd",
    dataset="set",
    data_digest="d" * 64,
    weights_digest="0123abcd" + "0" * 56,
    method="gcc",
    version="1",
    parameters={"root_share": 0.01},
    seed=3,
    code="0.1.0",
    device="cpu",
    started="2026-01-01T00:00:00+00:00",
    requires=("r0123456789",),
    facts={"edges": 3},
)
FLOWS = TABLES["Neuron-FLOWS_TO-Neuron"]
ACTIVATES = TABLES["Image-ACTIVATES-Layer"]
SAMPLES: dict[Kind, Any] = {
    "string": "ä/b",
    "json": '{"a": 1}',
    "integer": -7,
    "float": 0.1,
    "boolean": True,
    "integers": [1, 2],
    "floats": [0.25, -1.0],
    "strings": ["a", "b"],
}


def written(folder: Path, tables: dict[str, dict[str, Any]], run: RunRecord = RUN) -> Spool:
    with SpoolWriter(folder, run) as writer:
        for name, columns in tables.items():
            writer.write(name, columns)
        writer.finish()
    return Spool.open(folder)


def rows(spool: Spool, name: str, **options: int) -> list[list[Any]]:
    return [row for batch in spool.batches(TABLES[name], **options) for row in batch]


@pytest.mark.parametrize("name", sorted(set(TABLES) - LOADER_TABLES))
def test_every_table_round_trips(tmp_path: Path, name: str) -> None:
    full = [SAMPLES[p.kind] for p in TABLES[name].columns]
    bare = [SAMPLES[p.kind] if p.required else None for p in TABLES[name].columns]
    expected = [full, bare, full]
    columns = {p.name: [row[i] for row in expected] for i, p in enumerate(TABLES[name].columns)}
    assert rows(written(tmp_path / "s", {name: columns}), name) == expected


def test_arrays_codes_and_lists_give_the_same_file(tmp_path: Path) -> None:
    ids = ["net@0123abcd/a/0", "net@0123abcd/a/1"]
    start, end = [ids[i] for i in (0, 1, 0)], [ids[i] for i in (1, 1, 0)]
    lists = {"start": start, "end": end, "overlap": [0.5, None, 1.0], "n": [1, 2, None]}
    arrays = {
        "start": np.array(start),
        "end": Coded(np.array([1, 1, 0], np.uint8), ids),
        "overlap": np.ma.array(np.array([0.5, np.nan, 1.0], np.float32), mask=[0, 1, 0]),
        "n": np.ma.array([1, 2, 9], mask=[0, 0, 1]),
    }
    a = written(tmp_path / "a", {FLOWS.name: lists})
    b = written(tmp_path / "b", {FLOWS.name: arrays})
    assert rows(a, FLOWS.name) == rows(b, FLOWS.name)
    assert a.digest == b.digest


def test_lists_of_numbers_may_come_ragged_as_matrix_or_as_arrays(tmp_path: Path) -> None:
    common = {"start": ["i", "j", "k"], "end": ["l"] * 3}
    given_as = [
        {
            "channels": Ragged(np.arange(6), np.array([0, 2, 4, 6])),
            "values": Ragged(np.ones(6), np.array([0, 2, 4, 6])),
        },
        {"channels": np.arange(6).reshape(3, 2), "values": np.ones((3, 2), np.float32)},
        {"channels": [np.array([0, 1]), [2, 3], (4, 5)], "values": [np.ones(2)] * 3},
    ]
    spools = [written(tmp_path / str(i), {ACTIVATES.name: common | v}) for i, v in enumerate(given_as)]
    assert rows(spools[0], ACTIVATES.name)[1] == ["j", "l", [2, 3], [1.0, 1.0]]
    assert len({spool.digest for spool in spools}) == 1


def test_a_batch_may_start_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.spool.writer.GROUP_ROWS", 7)
    with SpoolWriter(tmp_path / "s", RUN) as writer:
        for first in range(0, 40, 4):
            ordinals = np.arange(first, first + 4)
            writer.write("Class", {"id": [f"c{i}" for i in ordinals], "name": ["n"] * 4, "ordinal": ordinals})
        writer.finish()
    spool = Spool.open(tmp_path / "s")
    for start in range(42):
        for size in (1, 3, 7, 100):
            got = list(spool.batches(TABLES["Class"], start, size))
            assert [row[2] for batch in got for row in batch] == list(range(start, 40))
            assert all(0 < len(batch) <= size for batch in got)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_allowed_column_survives_the_check(data: st.DataObject) -> None:
    kind: Kind = data.draw(st.sampled_from(["string", "integer", "float", "boolean"]))
    values = {
        "string": st.text(),
        "integer": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
    }[kind]
    given_values = data.draw(st.lists(st.none() | values))
    column = check("T", Property("p", kind, "x"), given_values)
    kept = [v if ok else None for v, ok in zip(column.values, _valid(column), strict=True)]
    assert kept == given_values


def _valid(column: Any) -> list[bool]:
    return [True] * len(column) if column.valid is None else column.valid.tolist()


def test_the_manifest_tells_the_run(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "s", RUN) as writer:
        writer.finish(facts={"covered": 0.9})
    run = Spool.open(tmp_path / "s").run
    assert run.finished > RUN.started
    assert run == replace(RUN, finished=run.finished, facts={"edges": 3, "covered": 0.9})
    assert run.id == RUN.id
    assert json.loads((tmp_path / "s/manifest.json").read_text())["schema"] == SCHEMA_VERSION


def test_the_run_is_tied_to_its_model_and_data(tmp_path: Path) -> None:
    spool = written(tmp_path / "s", {"Class": {"id": ["c"], "name": ["c"]}})
    assert [t.name for t in spool.tables()] == ["Class", "Run-OF-Model", "Run-ON-Dataset"]
    assert rows(spool, "Run-OF-Model") == [[RUN.id, "net@0123abcd"]]
    assert rows(spool, "Run-ON-Dataset") == [[RUN.id, "set"]]


def test_tables_come_in_load_order(tmp_path: Path) -> None:
    spool = written(
        tmp_path / "s",
        {
            "Layer-HAS_NEURON-Neuron": {"start": ["l"], "end": ["n"]},
            "Neuron": {"id": ["n"], "model": ["m"], "layer": ["l"], "channel": [0]},
            "Layer": {
                "id": ["l"],
                "name": ["l"],
                "model": ["m"],
                "ordinal": [0],
                "kind": ["conv"],
                "channels": [1],
            },
        },
    )
    assert [t.name for t in spool.tables()][:3] == ["Layer", "Neuron", "Layer-HAS_NEURON-Neuron"]


def test_without_finish_nothing_remains_and_the_old_spool_stays(tmp_path: Path) -> None:
    old = written(tmp_path / "s", {"Class": {"id": ["c"], "name": ["old"]}})
    with SpoolWriter(tmp_path / "s", RUN) as writer:
        writer.write("Class", {"id": ["c"], "name": ["new"]})
    assert Spool.open(tmp_path / "s").digest == old.digest
    new = written(tmp_path / "s", {"Class": {"id": ["c"], "name": ["new"]}})
    assert rows(new, "Class") == [["c", "new", None]]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_several_runs_come_in_the_order_they_require(tmp_path: Path) -> None:
    base = replace(RUN, method="activations", requires=())
    middle = replace(RUN, method="gcc", requires=(base.id,))
    top = replace(RUN, method="evaluate", requires=(base.id, middle.id, "rabsent"))
    for name, run in (("a", top), ("b", middle), ("c", base)):
        written(tmp_path / name, {}, run)
    assert [spool.run.method for spool in open_spools(tmp_path)] == ["activations", "gcc", "evaluate"]
    assert [spool.run.method for spool in open_spools(tmp_path / "a")] == ["evaluate"]
