"""The activation pass on bad numbers, bad disks and in the wrong place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
import torch
from PIL import Image
from torch import nn

from atlas.errors import BusyError, DataError, DiskError, ModelError
from ingest.activations import ActivationJob, PassSpec, activation_pass
from ingest.images import ImageSet
from ingest.store import ActivationStore

MakeJob = Callable[..., ActivationJob]
Contents = Callable[[Path], dict[str, bytes]]
Limit = Callable[[int], None]


def test_nan_weights_are_named_with_layer_channel_and_image(
    image_set: ImageSet, tmp_path: Path, convolution: nn.Module, make_job: MakeJob
) -> None:
    with torch.no_grad():
        convolution[3].weight[5, 2, 1, 1] = float("nan")
    job = make_job(image_set, convolution)
    with pytest.raises(ModelError) as error:
        activation_pass(job, tmp_path / "store")
    first = image_set.images[0]
    assert f"{job.layers[1].name}/5" in str(error.value)
    assert f"nan on image {first.path} ({first.id})" in str(error.value)
    with pytest.raises(DataError, match="no complete activation store"):
        ActivationStore(tmp_path / "store")


def test_infinite_logits_are_named(
    image_set: ImageSet, tmp_path: Path, convolution: nn.Module, make_job: MakeJob
) -> None:
    with torch.no_grad():
        convolution[7].bias[2] = -float("inf")
    with pytest.raises(ModelError, match=r"output 2 .*got -inf on image cat/0\.png"):
        activation_pass(make_job(image_set, convolution), tmp_path / "store")


def test_an_activation_that_overflows_on_one_image_names_that_image(
    image_set: ImageSet, tmp_path: Path, job: ActivationJob, make_job: MakeJob
) -> None:
    bad = image_set.images[11]
    match = job.model.transform(Image.open(image_set.root / bad.path))
    module = nn.Sequential(nn.Conv2d(3, 2, match.shape[-1], bias=False), nn.Flatten(), nn.Linear(2, 4)).eval()
    with torch.no_grad():
        module[0].weight[0] = 0
        module[0].weight[1] = (
            match * 3.78e35
        )  # times |match|² (1,024) too large for float32, times others not
    job = make_job(image_set, module, globs="0")
    with pytest.raises(ModelError, match=rf"0/1 .*got inf on image {bad.path} \({bad.id}\)"):
        activation_pass(job, tmp_path / "store")


@pytest.mark.parametrize("begun", [False, True])
def test_a_full_disk_is_met_before_the_first_image_and_leaves_nothing(
    begun: bool, job: ActivationJob, tmp_path: Path, small_files: Limit
) -> None:
    folder = tmp_path / "work" / "store"
    if begun:
        folder.mkdir(parents=True)
        (folder / "pooled.000.npy").write_bytes(b"cut short")
    seen: list[str] = []
    small_files(500)
    with pytest.raises(DiskError) as error:
        activation_pass(job, folder, checkpoint=seen.append)
    assert str(folder) in str(error.value)
    assert "File too large" in str(error.value)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert folder.exists() == begun
    assert not seen
    small_files(-1)
    activation_pass(job, folder)


def test_a_disk_that_fails_later_loses_one_shard_only(
    job: ActivationJob, store: ActivationStore, tmp_path: Path, small_files: Limit, contents: Contents
) -> None:
    folder = tmp_path / "later"
    with pytest.raises(DiskError, match="later"):
        activation_pass(
            job, folder, checkpoint=lambda name: small_files(200) if name == "shard-pooled:1" else None
        )
    small_files(-1)
    assert [path.name for path in sorted((folder / "shards").iterdir())] == ["00000.done"]
    activation_pass(job, folder)
    assert contents(folder) == contents(store.folder)


@pytest.fixture
def small_files() -> Iterator[Limit]:
    """Let this process write no file beyond some bytes, as a full disk would; -1 ends it."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size < 0 else size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_too_little_space_says_how_much_is_needed(
    job: ActivationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": job.size - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DiskError, match="not enough space"):
        activation_pass(job, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_file_in_the_way_is_a_clear_error(job: ActivationJob, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="file"):
        activation_pass(job, tmp_path / "file" / "store")


def test_two_passes_at_once_are_refused(job: ActivationJob, tmp_path: Path) -> None:
    with filelock.FileLock(tmp_path / "store.lock"), pytest.raises(BusyError, match="another process"):
        activation_pass(job, tmp_path / "store")


def test_a_folder_of_another_job_is_refused(job: ActivationJob, store: ActivationStore) -> None:
    with pytest.raises(DataError, match="another activation pass"):
        activation_pass(replace(job, spec=PassSpec(batch=2)), store.folder)


def test_no_images_is_an_error(job: ActivationJob, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        activation_pass(replace(job, images=replace(job.images, images=())), tmp_path / "store")
