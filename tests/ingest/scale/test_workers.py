"""Shards computed by other processes are those that one process computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.errors import ModelError
from ingest.devices import pick_device, pick_devices
from ingest.job import prepare
from ingest.plan import run
from ingest.shards import Shards
from ingest.workers import Processes, in_order, own_crew
from tests.ingest.scale.four_methods import differences, digests, folders, quiet, spec, spools, tables


def test_the_job_says_something_about_every_method(whole: Path) -> None:
    held = {spool.run.method: tables(spool) for spool in spools(whole)}
    for method, name in (
        ("gcc", "Neuron-DRIVES-Neuron"),
        ("pure", "Neuron-HAS_SENSE-Sense"),
        ("cla", "Neuron-ATTRIBUTES_TO-Neuron"),
        ("gig", "Concept-CONTRIBUTES_TO-Concept"),
    ):
        assert held[method].get(name), name


@pytest.mark.slow
def test_a_process_for_each_of_several_devices(whole: Path, data: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    with Processes(pick_devices("cpu,cpu")) as crew:
        run(prepare(spec(data)), folders(tmp_path), quiet, seen.append, crew)
    assert differences(whole, tmp_path) == []
    assert {spool.run.device for spool in spools(tmp_path)[1:]} == {"2 x cpu"}
    # The pass was shared out too, and what was made on the way is gone.
    assert "shard:00003" in seen
    left = {path.name.split("-")[0] for path in (tmp_path / "work").rglob("*")}
    assert not left & {"parts", "gcc", "pure", "cla", "gig"}


@pytest.mark.slow
def test_shards_of_a_pass_that_are_there_are_not_pooled_again(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    class CutError(Exception):
        """Stands for a process that ends."""

    def cut(name: str) -> None:
        if name == "shard:00001":
            raise CutError

    job = prepare(spec(data, methods=()))
    with pytest.raises(CutError), Processes(["cpu", "cpu"]) as crew:
        run(job, folders(tmp_path), quiet, cut, crew)
    left = list((tmp_path / "work").rglob("parts/*.npz"))
    assert left
    before = {path.name: path.stat().st_mtime_ns for path in left}
    seen: list[str] = []
    with Processes(["cpu"]) as crew:
        run(job, folders(tmp_path), quiet, seen.append, crew)
    assert not {f"shard:{Path(name).stem}" for name in before} & set(seen)
    assert digests(tmp_path)["activations"] == digests(whole)["activations"]


def test_what_is_there_is_not_begun_and_the_next_phase_waits(tmp_path: Path) -> None:
    shards, begun = Shards(tmp_path / "shards"), []

    def submit(name: str):
        begun.append(name)
        return lambda: shards.tables(name, lambda: [("T", {"n": [name]})]) and None

    shards.tables("b", lambda: [("T", {"n": ["kept"]})])
    seen: list[str] = []
    steps = in_order(shards, [["a", "b"], ["c"]], submit, seen.append)
    assert next(steps) == ("a", [("T", {"n": ["a"]})])
    assert next(steps) == ("b", [("T", {"n": ["kept"]})])
    assert begun == ["a"]
    assert next(steps)[0] == "c"
    assert begun == ["a", "c"]
    assert seen == ["shard:a", "shard:c"]


def test_processes_where_they_are_worth_it() -> None:
    assert own_crew("cuda") is None
    assert own_crew("cpu", 1) is None
    three = own_crew("cpu", 3)
    assert three is not None
    assert three.name == "3 x cpu"


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert pick_devices("auto") == ("cpu",)
    assert pick_devices("cpu, cpu") == ("cpu", "cpu")
    assert pick_devices("cuda:1") == ("cuda:1",)
    with pytest.raises(ModelError, match="no GPU that CUDA can see"):
        pick_devices("cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert pick_devices("auto") == pick_devices("cuda") == ("cuda:0", "cuda:1")
    with pytest.raises(ModelError, match="device cannot be used"):
        pick_devices(" , ")


def test_one_device_for_a_command_that_computes_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(ModelError, match="no GPU that CUDA can see"):
        pick_device("cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert pick_device("auto") == pick_device("cuda") == "cuda:0"
    assert pick_device("cuda:1") == "cuda:1"
    with pytest.raises(ModelError, match=r"cuda:0,cuda:1.*expected one.*got 2 devices"):
        pick_device("cuda:0,cuda:1")
