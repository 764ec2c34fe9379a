"""A job's stages: what they leave, and that a job killed anywhere and run again leaves the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.errors import DataError, ModelError
from atlas.spool import Spool
from ingest.activations import PassSpec
from ingest.job import IngestSpec, Prepared, Sides, judging_images, prepare, read_groups
from ingest.methods.gcc_job import GccParameters
from ingest.models import ModelSpec
from ingest.numerics.gcc import Thresholds
from ingest.plan import Folders, run
from ingest.reopen import reopen
from ingest.selection import choose_queries
from ingest.stages import check_methods
from tests.ingest.scale.four_methods import differences

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.ingest.test_plan import folders, spec
from ingest.job import prepare
from ingest.plan import run

def at(name):
    if name == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    job = spec(Path(sys.argv[2]), workers=int(sys.argv[5]) if len(sys.argv) > 5 else 1)
    run(prepare(job), folders(Path(sys.argv[3])), lambda *_: None, at)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "noise"
    rng = np.random.default_rng(0)
    for k in range(10):
        (root / f"{k}").mkdir(parents=True)
        for n in range(5):
            pixels = rng.integers(0, 200, (32, 32, 3)) + np.array([5 * k, 50 - 5 * k, 0])
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"{k}" / f"{n}.png")
    return root


def spec(data: Path, **changes: object) -> IngestSpec:
    fields: dict[str, object] = {
        "model": ModelSpec("examples.own_model:small_resnet"),
        "data": data,
        "force": True,
        "queries": "30",
        "workers": 1,
        "passes": PassSpec(batch=8, shard=16),
        "gcc": GccParameters(root_share=0.1, mask_share=0.4, thresholds=Thresholds(flow_floor=0.0)),
    }
    return IngestSpec(**{**fields, **changes})  # type: ignore[arg-type]


def folders(home: Path) -> Folders:
    return Folders(home / "work", home / "spools", home / "media")


def quiet(stage: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def prepared(data: Path) -> Prepared:
    return prepare(spec(data))


@pytest.fixture(scope="module")
def whole(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a job that ran in one go."""
    home = tmp_path_factory.mktemp("whole")
    run(prepared, folders(home), quiet)
    return home


def digests(home: Path) -> dict[str, str]:
    return {path.name: Spool.open(path).digest for path in sorted((home / "spools").iterdir())}


def gcc_spool(home: Path) -> Spool:
    found = [Spool.open(path) for path in (home / "spools").iterdir()]
    return next(spool for spool in found if spool.run.method == "gcc")


def test_what_a_job_leaves(whole: Path, prepared: Prepared) -> None:
    base, gcc = sorted(
        (Spool.open(path) for path in (whole / "spools").iterdir()), key=lambda spool: spool.run.method
    )
    assert (base.run.method, gcc.run.method) == ("activations", "gcc")
    assert gcc.run.requires == (base.run.id,)
    assert base.rows("Neuron") == sum(layer.channels for layer in prepared.layers)
    assert base.rows("Image") == 50
    assert gcc.rows("Neuron-FLOWS_TO-Neuron") == gcc.run.facts["flow_edges"]
    assert gcc.rows("Circuit") == gcc.run.facts["circuits"]
    assert 0 <= gcc.run.facts["fallback_share"] <= 1
    # Shards are gone once their spool is safe; thumbnails are there.
    assert not list((whole / "work").glob("gcc-*"))
    assert len(list((whole / "media").rglob("*.webp"))) == 50


def test_a_second_run_keeps_the_spools(whole: Path, prepared: Prepared) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "spools").rglob("*.parquet")}
    run(prepared, folders(whole), quiet)
    assert {path: path.stat().st_mtime_ns for path in (whole / "spools").rglob("*.parquet")} == before


def test_an_altered_spool_is_made_again(whole: Path, prepared: Prepared) -> None:
    good = digests(whole)
    table = next((whole / "spools").rglob("Neuron-FLOWS_TO-Neuron.parquet"))
    table.write_bytes(table.read_bytes()[:-3])
    run(prepared, folders(whole), quiet)
    assert digests(whole) == good


def test_groups_of_the_flow_are_shards_and_leave_the_same_graph(
    whole: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.methods.gcc_flow.GROUP_PAIRS", 1)
    seen: list[str] = []
    told: list[tuple[int, int]] = []
    run(
        prepared,
        folders(tmp_path),
        lambda stage, done, total: told.append((done, total)) if stage == "flow" else None,
        seen.append,
    )
    flow = [name for name in seen if name.startswith("shard:flow")]
    assert flow == [f"shard:flow-{layer:03d}" for layer in range(len(prepared.layers) - 1)]
    assert len(flow) > 1
    # One count of images over all groups.
    assert told == sorted(set(told))
    assert {total for _, total in told} == {told[-1][0]}
    assert differences(whole, tmp_path) == []
    facts = [gcc_spool(home).run.facts for home in (whole, tmp_path)]
    assert facts[0]["flow_edges"] == facts[1]["flow_edges"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["shard-pooled:1", "shard-written:2", "spooled:activations", "shard:flow-000", "shard:queries-000000"],
)
def test_killed_and_run_again_is_the_same_graph(
    place: str, whole: Path, prepared: Prepared, data: Path, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(root), str(data), str(tmp_path), place]
    killed = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run(prepared, folders(tmp_path), quiet)
    assert digests(tmp_path) == digests(whole)


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_end_with_a_killed_job(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(root), str(data), str(tmp_path), "shard:queries-000000", "2"]
    # Standard output closes when the last of its processes has ended.
    killed = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run(prepare(spec(data, workers=2)), folders(tmp_path), quiet)
    one, two = digests(whole), digests(tmp_path)
    assert one.keys() == two.keys()
    gcc = next(name for name in one if Spool.open(whole / "spools" / name).run.method == "gcc")
    edges = []
    for home in (whole, tmp_path):
        spool = Spool.open(home / "spools" / gcc)
        table = next(item for item in spool.tables() if item.name == "Neuron-DRIVES-Neuron")
        edges.append({(row[0], row[1], row[2]) for batch in spool.batches(table) for row in batch})
    assert edges[0] == edges[1]


def test_parameters_make_the_run_and_folders_do_not(prepared: Prepared, whole: Path, data: Path) -> None:
    other = prepare(spec(data, gcc=GccParameters(root_share=0.1, mask_share=0.4)))
    names = {Spool.open(path).run.method: path.name for path in (whole / "spools").iterdir()}
    result = run(other, folders(whole), quiet)
    again = {Spool.open(path).run.method: path.name for path in result.spools}
    assert again["activations"] == names["activations"]
    assert again["gcc"] != names["gcc"]


def test_a_job_opens_again_as_it_was(whole: Path, prepared: Prepared) -> None:
    facts = next(
        Spool.open(path).run.facts
        for path in (whole / "spools").iterdir()
        if Spool.open(path).run.method == "gcc"
    )
    again, store = reopen(whole / "work", facts, "cpu")
    assert again.model.digest == prepared.model.digest
    assert again.layers == prepared.layers
    assert again.images.images == prepared.images.images
    assert again.subject.classes == prepared.subject.classes
    assert np.array_equal(again.subject.judging, prepared.subject.judging)
    assert again.spec.gcc == prepared.spec.gcc
    assert store.ids == tuple(image.id for image in prepared.images.images)


def test_another_weight_file_is_not_taken_for_the_old_one(whole: Path, tmp_path: Path) -> None:
    facts = next(Spool.open(path).run.facts for path in (whole / "spools").iterdir())
    kept = json.loads((whole / "work" / facts["job"]).read_text())
    kept["model"]["seed"] = 7
    (whole / "work" / "other.json").write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="not the ones this run was made from"):
        reopen(whole / "work", {"job": "other.json"}, "cpu")
    with pytest.raises(DataError, match="not on this machine"):
        reopen(tmp_path, facts, "cpu")


def test_queries_are_spread_over_sides_and_classes(prepared: Prepared) -> None:
    images, subject = prepared.images.images, prepared.subject
    rows = choose_queries("20", images, subject.labels, subject.judging)
    assert len(set(rows)) == 20
    assert sum(bool(subject.judging[row]) for row in rows) == 10
    assert len({subject.labels[row] for row in rows}) == 10
    assert choose_queries("judge", images, subject.labels, subject.judging) == tuple(
        np.flatnonzero(subject.judging).tolist()
    )
    assert len(choose_queries("all", images, subject.labels, subject.judging)) == 50


def test_named_queries(prepared: Prepared, tmp_path: Path) -> None:
    images = prepared.images.images
    (tmp_path / "q").write_text(f"{images[3].path}\n{images[7].id}\n{images[3].id}\n\n")
    assert choose_queries(str(tmp_path / "q"), images, prepared.subject.labels, prepared.subject.judging) == (
        3,
        7,
    )
    with pytest.raises(DataError, match="a number, judge, list, all"):
        choose_queries(str(tmp_path / "none"), images, prepared.subject.labels, prepared.subject.judging)


def test_sides_come_from_a_groups_file(prepared: Prepared, tmp_path: Path) -> None:
    images = prepared.images.images
    files = {
        image.path: {"half": "judging" if n % 3 == 0 else "lists", "sources": [n, n + 1]}
        for n, image in enumerate(images)
    }
    (tmp_path / "g.json").write_text(json.dumps({"files": files}))
    sides = read_groups(tmp_path / "g.json")
    judging = judging_images(images, sides)
    assert judging.tolist() == [n % 3 == 0 for n in range(len(images))]
    assert sides.sources is not None
    assert sides.sources[images[4].path] == ("4", "5")
    with pytest.raises(DataError, match="belongs to no half"):
        judging_images(images, Sides(halves={images[0].path: "lists"}))
    with pytest.raises(DataError, match="no image is left"):
        judging_images(images, Sides(halves={image.path: "judging" for image in images}))


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(DataError, match="expected gcc"):
        check_methods(["gcc", "x"])
