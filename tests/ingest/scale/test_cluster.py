"""Ray tasks find what one process finds: on several processes, two of which are killed, and after a cut driver."""

from __future__ import annotations

import builtins
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import ModelError, StoreError
from ingest import cluster
from ingest.cluster import RayCrew, connected
from ingest.job import prepare
from ingest.models import ModelSpec
from ingest.plan import run
from ingest.shards import Shards
from tests.cli_runner import Cli
from tests.ingest.scale.four_methods import DEATHS, FRAGILE, differences, folders, quiet, spec, spools, tables

ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.ingest.scale.four_methods import folders, quiet, spec
from ingest.cluster import connected
from ingest.job import prepare
from ingest.plan import run

def at(name):
    if name == "shard:scores-000001":
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with connected(sys.argv[4]) as crew:
        run(prepare(spec(Path(sys.argv[2]))), folders(Path(sys.argv[3])), quiet, at, crew)
"""


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where processes of the cluster leave a mark when they die; this process does not."""
    folder = tmp_path_factory.mktemp("deaths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FRAGILE, f"{folder}:{os.getpid()}")
        yield folder


@pytest.fixture(scope="module")
def crew(deaths: Path) -> Iterator[RayCrew]:
    """A real cluster of two worker processes on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        with connected("local", processes=2) as found:
            yield found


@pytest.mark.slow
def test_the_same_as_one_process_though_workers_are_killed(
    crew: RayCrew, deaths: Path, whole: Path, data: Path, tmp_path: Path
) -> None:
    run(prepare(spec(data)), folders(tmp_path), quiet, crew=crew)
    assert {path.name for path in deaths.iterdir()} == {str(n) for n in DEATHS}
    assert differences(whole, tmp_path) == []
    assert {spool.run.device for spool in spools(tmp_path)[1:]} == {"ray, 2 x cpu"}
    left = {path.name.split("-")[0] for path in (tmp_path / "work").rglob("*")}
    assert not left & {"parts", "gcc", "pure", "cla", "gig"}


@pytest.mark.slow
def test_the_flow_of_a_deep_network_is_several_tasks(crew: RayCrew, data: Path, tmp_path: Path) -> None:
    job = prepare(spec(data, model=ModelSpec("tests.ingest.scale.four_methods:deep"), methods=("gcc",)))
    seen: list[str] = []
    run(job, folders(tmp_path / "one"), quiet)
    run(job, folders(tmp_path / "two"), quiet, seen.append, crew)
    assert [name for name in seen if name.startswith("shard:flow")] == ["shard:flow-000", "shard:flow-004"]
    assert differences(tmp_path / "one", tmp_path / "two") == []
    assert {
        row[0].split("/")[1] for row in tables(spools(tmp_path / "two")[1])["Neuron-FLOWS_TO-Neuron"]
    } == {layer.name for layer in job.layers[:-1]}


@pytest.mark.slow
def test_a_driver_that_was_cut_goes_on(crew: RayCrew, whole: Path, data: Path, tmp_path: Path) -> None:
    address = crew._ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", KILLED, str(ROOT), str(data), str(tmp_path), address]
    killed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == ""
    assert [spool.run.method for spool in spools(tmp_path)] == ["activations", "gcc", "pure"]
    run(prepare(spec(data)), folders(tmp_path), quiet, crew=crew)
    assert differences(whole, tmp_path) == []


@pytest.mark.slow
def test_what_a_shard_raises_is_raised_here(crew: RayCrew, data: Path, tmp_path: Path) -> None:
    job = prepare(spec(data))
    gone = next(data.rglob("*.png"))
    held = gone.read_bytes()
    gone.write_bytes(b"")
    try:
        with pytest.raises(Exception, match=r"the image (has changed|cannot be read)") as caught:
            run(job, folders(tmp_path), quiet, crew=crew)
    finally:
        gone.write_bytes(held)
    assert type(caught.value).__name__ == "DataError"


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *rest: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"pip install 'circuit-atlas\[cluster\]'"), connected("local"):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port"])
def test_no_cluster_is_one_clear_error(address: str) -> None:
    with pytest.raises(StoreError, match=r"no Ray cluster .*local, auto, or HOST:PORT"), connected(address):
        pass


def test_the_command_line_connects_before_it_computes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    cli = Cli(monkeypatch, capsys)
    asked = ("ingest", "--model", "tests.ingest.scale.four_methods:net", "--data", data, "--spool", tmp_path)
    line = cli.refused(*asked, "--force", "--no-load", "--ray", "127.0.0.1:1")
    assert "no Ray cluster" in line
    assert list(tmp_path.iterdir()) == []


def test_an_atlas_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    cluster.require_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    lib = importlib.import_module("ray._common.usage.usage_lib")
    assert not lib.usage_stats_enabled()


def test_a_work_folder_that_is_not_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "LATEST", -1.0)
    with pytest.raises(StoreError, match="a work folder that all machines of the cluster share"):
        cluster._seen(Shards(tmp_path / "gcc"), "flow-000")


def test_a_shard_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "gcc")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            shards.tables("flow-000", lambda: [])

    cluster._seen(shards, "flow-000", wait)
    assert len(waits) == 3


def test_gpus_only_where_there_are_some() -> None:
    class Ray:
        """A cluster without GPUs."""

        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 4.0}

    assert cluster._device(Ray(), "auto", "auto") == "cpu"
    for device in ("cuda", "cuda:1"):
        with pytest.raises(StoreError, match="no such device in the cluster"):
            cluster._device(Ray(), device, "auto")


def test_another_version_on_a_machine_is_refused() -> None:
    with pytest.raises(ModelError, match=r"another version.*expected circuit-atlas 0\.0"):
        cluster._task(None, "cpu", "flow-000", ".", "0.0")  # type: ignore[arg-type]
