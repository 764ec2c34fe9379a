"""What a spool refuses: values the schema forbids, disks that are full, folders that were damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.errors import DiskError, SchemaError, SpoolError
from atlas.schema import SCHEMA_VERSION
from atlas.spool import Coded, Ragged, SpoolWriter, open_spools

FLOWS = "Neuron-FLOWS_TO-Neuron"
ACTIVATES = "Image-ACTIVATES-Layer"

EDGE = {"start": ["a", "b"], "end": ["c", "d"]}


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (
            FLOWS,
            EDGE | {"overlap": [0.5, float("nan")]},
            "Neuron.overlap row 5 (expected a finite number, got nan)",
        ),
        (
            FLOWS,
            EDGE | {"std": np.array([np.inf, 1.0])},
            "std row 4 (expected a finite number, got inf)",
        ),
        (FLOWS, EDGE | {"overlap": [0.5]}, "overlap (expected 2 rows, got 1)"),
        (
            FLOWS,
            EDGE | {"weight": [1.0, 2.0]},
            "the schema does not know: Neuron-FLOWS_TO-Neuron.weight",
        ),
        (FLOWS, {"start": ["a"]}, "a required column is missing: Neuron-FLOWS_TO-Neuron.end"),
        (FLOWS, EDGE | {"end": ["c", None]}, "end row 5 (expected a value, got none)"),
        (FLOWS, EDGE | {"n": [1, 1.5]}, "n row 5 (expected a integer, got 1.5)"),
        (FLOWS, EDGE | {"n": np.array([1.0, 2.0])}, "n (expected a vector of integer, got float64"),
        (FLOWS, EDGE | {"n": [1, 2**63]}, "n row 5 (expected a 64-bit signed integer"),
        (FLOWS, EDGE | {"n": [True, 1]}, "n row 4 (expected a integer, got True)"),
        (FLOWS, EDGE | {"identity": [1, 0]}, "identity row 4 (expected a boolean, got 1)"),
        (FLOWS, EDGE | {"start": ["a", 7]}, "start row 5 (expected a string, got 7)"),
        (
            FLOWS,
            EDGE | {"start": Coded(np.array([0, 9]), ["a"])},
            "start row 5 (expected a code below 1, got 9)",
        ),
        (
            ACTIVATES,
            EDGE | {"channels": [[1], [2]], "values": [[1.0], [np.nan]]},
            "values row 1 (expected a finite",
        ),
        (
            ACTIVATES,
            EDGE | {"channels": [[1], [2]], "values": Ragged(np.array([1, 2, np.nan]), np.array([0, 1, 3]))},
            "values row 1",
        ),
        (
            ACTIVATES,
            EDGE | {"channels": [[1], ["x"]], "values": [[1.0], [1.0]]},
            "channels row 1 (expected a list of integer",
        ),
        (
            ACTIVATES,
            EDGE | {"channels": [[1], None], "values": [[1.0], [1.0]]},
            "channels row 1 (expected a value, got none)",
        ),
        (
            "Circuit",
            {"id": ["c"], "method": ["gcc"], "target": ["t"], "parameters": ["{a"]},
            "Circuit.parameters row 0 (expected a JSON",
        ),
        ("Run", {"id": ["r"]}, "a table that the loader fills by itself: Run"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused(
    spools: Any, tmp_path: Path, table: str, columns: dict[str, Any], message: str
) -> None:
    with SpoolWriter(tmp_path / "s", spools.run_record()) as writer:
        for _ in range(2):
            writer.write(FLOWS, EDGE)
        with pytest.raises(SpoolError) as error:
            writer.write(table, columns)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_unknown_table_is_refused_with_a_near_one(spools: Any, tmp_path: Path) -> None:
    with (
        SpoolWriter(tmp_path / "s", spools.run_record()) as writer,
        pytest.raises(SchemaError, match="FLOWS_TO"),
    ):
        writer.write("Neuron-FLOW_TO-Neuron", EDGE)


FULL = """
import resource, signal, sys, numpy as np
from pathlib import Path
from atlas.errors import DiskError
from atlas.spool import RunRecord, SpoolWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
run = RunRecord("m@00000000", "d", "d", "w", "gcc", "1", {}, 0)
random = np.random.default_rng(0)
try:
    with SpoolWriter(Path(sys.argv[1]), run) as writer:
        for _ in range(int(sys.argv[2])):
            writer.write("Neuron-FLOWS_TO-Neuron", {
                "start": ["a"] * 60_000, "end": ["b"] * 60_000, "overlap": random.random(60_000)})
        writer.finish()
except DiskError as error:
    print(error)
"""


@pytest.mark.parametrize("parts", [1, 10])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, parts: int) -> None:
    # A limit on the file size makes the kernel refuse the write, as a full disk does.
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "s"), str(parts)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"the disk is full: {tmp_path / 's'}")
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(spools: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="the spool cannot be written"):
        SpoolWriter(tmp_path / "file" / "s", spools.run_record())


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_text())
        change(document)
        (folder / "manifest.json").write_text(json.dumps(document))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _edit(lambda d: d.update(schema=SCHEMA_VERSION + 1)),
            "newer schema: {folder} (expected schema 1, got 2). Upgrade circuit-atlas",
        ),
        (_edit(lambda d: d.update(schema=0)), "a spool of an unknown schema"),
        (_edit(lambda d: d["run"].update(seed=4)), "the run's id does not follow from its parameters"),
        (_edit(lambda d: d["run"].pop("seed")), "the manifest cannot be read"),
        (
            _edit(lambda d: d["tables"].update(Clas=d["tables"].pop("Class"))),
            "names what the schema does not know",
        ),
        (_edit(lambda d: d["tables"]["Class"].update(columns=["id", "colour"])), "Class: colour"),
        (_edit(lambda d: d["tables"]["Class"].update(file="../Class.parquet")), "../Class.parquet"),
        (_edit(lambda d: d["tables"]["Class"].update(rows=2)), "a table is not what the manifest says"),
        (lambda f: (f / "manifest.json").write_text("{"), "the manifest cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[]"), "the manifest cannot be read"),
        (lambda f: (f / "manifest.json").unlink(), "no spool here"),
        (lambda f: (f / "Class.parquet").unlink(), "a table of the spool is missing"),
        (lambda f: os.truncate(f / "Class.parquet", 100), "a table of the spool was altered or cut short"),
    ],
)
def test_a_damaged_spool_is_refused(
    spools: Any, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "s"
    spools.write(folder, spools.run_record(), {"Class": {"id": ["c"], "name": ["c"]}})
    damage(folder)
    with pytest.raises(SpoolError) as error:
        open_spools(folder)
    assert message.format(folder=folder) in str(error.value)
    assert "\n" not in str(error.value)
