"""The plan's bounds hold for what a job of every method writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.spool import Spool
from ingest.devices import budget
from ingest.estimate import budget_line, chunk_bytes, estimate, relationships
from ingest.job import prepare
from ingest.methods.gcc_flow import GROUP_PAIRS, SUM_BYTES, groups, sum_bytes
from ingest.methods.pairs import make_pairs
from ingest.plan import run
from ingest.stages import STAGES
from tests.cli_runner import Cli
from tests.ingest.test_plan import data, folders, quiet, spec  # noqa: F401 - data is a fixture

# On noise no neuron passes the test for senses.
ABSENT = {"pure": ("EXEMPLIFIED_BY", "HAS_SENSE", "FEEDS_SENSE", "FLOWS_TO", "RESEMBLES", "ASSIGNED_TO")}


@pytest.mark.parametrize("method", STAGES)
def test_no_more_than_planned(method: str, data: Path, tmp_path: Path) -> None:  # noqa: F811
    prepared = prepare(spec(data, methods=(method,), queries="4"))
    planned = relationships(prepared)
    written = dict.fromkeys(planned, 0)
    for path in run(prepared, folders(tmp_path), quiet).spools:
        spool = Spool.open(path)
        for item in spool.tables():
            if item.relationship is not None and item.relationship.type in written:
                written[item.relationship.type] += spool.rows(item.name)
    assert all(written[name] <= planned[name] for name in planned), (written, planned)
    assert all(written[name] for name in planned if name not in ABSENT.get(method, ())), written


MIB = 2**20


@pytest.mark.parametrize(
    ("chunks", "device", "free", "text"),
    [
        ({"gcc": 64 * 10**6}, "cpu", None, "64.0 MB (gcc) a chunk on cpu"),
        ({"gcc": 10**9, "cla": 10**9, "pure": 5 * 10**6}, "cuda:1", 8 * 10**9,
         "1.00 GB (gcc, cla), 5.0 MB (pure) a chunk on cuda:1, which has 8.00 GB free"),
        ({}, "cpu", None, "none a chunk on cpu"),
    ],
)  # fmt: skip
def test_the_budget_in_a_line(chunks: dict[str, int], device: str, free: int | None, text: str) -> None:
    assert budget_line(chunks, device, free).text == text


def test_the_plan_shows_the_budget_that_a_stage_would_find(
    data: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = prepare(spec(data, methods=("gcc", "pure")))
    lines = {line.what: line.text for line in estimate(prepared)}
    assert lines["memory budget"] == "67.1 MB (gcc), 268.4 MB (pure) a chunk on cpu"
    free = 40 * 10**9
    monkeypatch.setattr("ingest.devices.free_bytes", lambda device: free)
    monkeypatch.setattr("ingest.estimate.free_bytes", lambda device: free)
    lines = {line.what: line.text for line in estimate(prepared)}
    assert budget([free]) == 5 * 10**9
    assert lines["memory budget"] == "5.00 GB (gcc, pure) a chunk on cpu, which has 40.00 GB free"
    # The chunks of the stages are those of the plan, and so is the memory of the largest group of pairs.
    sums = sum_bytes([layer.channels for layer in prepared.layers])
    assert lines["memory of FLOWS_TO"] == f"{(5 * 10**9 + sums) / 1e9:.2f} GB"
    assert chunk_bytes(prepared.spec)["gcc"] == 64 * MIB


def test_the_sums_are_those_of_the_largest_group(data: Path) -> None:  # noqa: F811
    prepared = prepare(spec(data))
    (group,) = groups(make_pairs(prepared.model.trace, prepared.layers))
    held = sum(16 * pair.source.channels * pair.target.channels for _, pair in group)
    assert sum_bytes([layer.channels for layer in prepared.layers]) == held
    assert sum_bytes([10] * (GROUP_PAIRS + 8)) == GROUP_PAIRS * 1600
    assert sum_bytes([5000, 5000, 5000, 10]) == max(400 * 10**6, 400 * 10**6 + 800_000) < SUM_BYTES
    assert sum_bytes([7]) == 0


def test_the_plan_as_json(
    data: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli = Cli(monkeypatch, capsys)
    asked = ("ingest", "--model", "examples.own_model:small_resnet", "--data", data, "--methods", "gcc,cla")
    asked = (*asked, "--root-share", 0.1, "--device", "cpu", "--set", "cla.chunk_bytes=1000000")
    document = cli.good(*asked, "--plan", "--json").document
    amounts = {row["what"]: row["amount"] for row in document["rows"]}
    assert document["query"] == "plan"
    assert amounts["memory budget"] == "67.1 MB (gcc), 1.0 MB (cla) a chunk on cpu"
    assert "memory budget" in cli.good(*asked, "--plan").out
    assert cli(*asked, "--json").code == 2
