"""The activation pass: equal to hooks and sorts, however it is cut, killed or ordered."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ingest.activations import ActivationJob, PassSpec, activation_pass
from ingest.images import ImageSet
from ingest.layers import to_units
from ingest.store import ActivationStore

MakeJob = Callable[..., ActivationJob]
Contents = Callable[[Path], dict[str, bytes]]
KILLED_PASS = """
import importlib.util, os, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
job = here.job_of(here.scan_images(pathlib.Path(sys.argv[2])), here.convolutional())
kill = lambda name: name == "shard-pooled:1" and os.kill(os.getpid(), signal.SIGKILL)
here.activation_pass(job, pathlib.Path(sys.argv[3]), checkpoint=kill)
"""


class KilledError(Exception):
    """Stands for the end of the process."""


def literal(job: ActivationJob) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Units (N, C, P) of every layer and logits (N, outputs), by hooks on the module itself."""
    found: dict[str, torch.Tensor] = {}
    handles = [
        job.model.module.get_submodule(layer.name).register_forward_hook(
            lambda m, i, out, layer=layer: found.__setitem__(layer.name, to_units(out.clone(), layer))
        )
        for layer in job.layers
    ]
    batch = torch.stack(
        [job.model.transform(Image.open(job.images.root / i.path)) for i in job.images.images]
    )
    with torch.no_grad():
        logits = job.model.module(batch)
    for handle in handles:
        handle.remove()
    return found, logits


def test_everything_stored_is_what_hooks_and_a_sort_give(
    network: nn.Module, image_set: ImageSet, tmp_path: Path, make_job: MakeJob
) -> None:
    job = make_job(image_set, network)
    store = activation_pass(job, tmp_path / "store")
    units, logits = literal(job)
    assert len(job.layers) >= 2
    np.testing.assert_allclose(store.logits, logits.numpy(), rtol=1e-5, atol=1e-5)
    for layer in job.layers:
        u = units[layer.name]
        kept = max(1, int(0.1 * u.shape[2]))
        means = u.double().sort(dim=2, descending=True).values[:, :, :kept].mean(dim=2)
        np.testing.assert_allclose(store.pooled(layer.name), means.numpy(), rtol=1e-5, atol=1e-5)
        placed = u[:, :, layer.tokens_before :]
        at_peak = placed.gather(2, torch.from_numpy(store.peaks(layer.name).astype(np.int64))[..., None])[
            ..., 0
        ]
        np.testing.assert_allclose(at_peak, placed.amax(dim=2), rtol=1e-5, atol=1e-5)
    if not isinstance(network, nn.Sequential):
        assert {layer.tokens_before for layer in job.layers} == {1}, "the class token is there"


@pytest.mark.parametrize(
    "where",
    ["reserved", "shard-pooled:0", "shard-written:0", "shard-pooled:2", "shard-written:2", "complete"],
)
def test_killed_anywhere_and_run_again_gives_the_same_bytes(
    where: str, job: ActivationJob, store: ActivationStore, tmp_path: Path, contents: Contents
) -> None:
    def kill(name: str) -> None:
        if name == where:
            raise KilledError

    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        activation_pass(job, folder, checkpoint=kill)
    seen: list[str] = []
    activation_pass(job, folder, checkpoint=seen.append)
    if where.startswith("shard-written"):
        assert f"shard-pooled:{where[-1]}" not in seen, "a marked shard is not run again"
    assert contents(folder) == contents(store.folder)


@pytest.mark.slow
def test_a_process_killed_by_the_system_goes_on(
    job: ActivationJob, store: ActivationStore, tmp_path: Path, contents: Contents
) -> None:
    folder = tmp_path / "killed"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED_PASS,
            str(Path(__file__).with_name("conftest.py")),
            str(job.images.root),
            str(folder),
        ],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (folder / "shards").iterdir()] == ["00000.done"]
    activation_pass(job, folder)
    assert contents(folder) == contents(store.folder)


def test_a_reservation_cut_short_starts_anew(
    job: ActivationJob, store: ActivationStore, tmp_path: Path, contents: Contents
) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "pooled.000.npy").write_bytes(b"\x93NUMPY")
    (folder / "plan.json.part").write_text("{")
    activation_pass(job, folder)
    assert contents(folder) == contents(store.folder)


def test_a_torn_shard_is_written_again(
    job: ActivationJob, store: ActivationStore, tmp_path: Path, contents: Contents
) -> None:
    before = contents(store.folder)
    (store.folder / "complete").unlink()
    (store.folder / "shards" / "00001.done").unlink()
    with (store.folder / "pooled.000.npy").open("r+b") as file:
        file.seek(-(len(job.images.images) - 8) * 7 * 4, 2)
        file.write(b"\xff" * 28)
    assert contents(store.folder) != before
    activation_pass(job, store.folder)
    assert contents(store.folder) == before


@pytest.mark.parametrize("shard", [4, 12, 400])
def test_shards_together_are_one_pass(
    shard: int, job: ActivationJob, store: ActivationStore, tmp_path: Path
) -> None:
    other = activation_pass(replace(job, spec=PassSpec(batch=4, shard=shard)), tmp_path / "other")
    for layer in job.layers:
        np.testing.assert_array_equal(other.pooled(layer.name), store.pooled(layer.name))
        np.testing.assert_array_equal(other.top(layer.name).indices, store.top(layer.name).indices)


def test_lists_do_not_depend_on_the_order_of_images(
    job: ActivationJob, store: ActivationStore, tmp_path: Path
) -> None:
    turned = replace(job.images, images=job.images.images[::-1], digest="1" * 64)
    other = activation_pass(replace(job, images=turned, spec=PassSpec(batch=1)), tmp_path / "other")
    same = activation_pass(replace(job, spec=PassSpec(batch=1)), tmp_path / "same")
    for layer in job.layers:
        first, second = same.top(layer.name), other.top(layer.name)
        ties = (np.diff(first.values, axis=1) == 0).sum()
        assert ties >= 4 * layer.channels, "the data has ties"
        np.testing.assert_array_equal(np.array(same.ids)[first.indices], np.array(other.ids)[second.indices])


def test_memory_does_not_grow_with_the_number_of_images(
    image_set: ImageSet, tmp_path: Path, make_job: MakeJob
) -> None:
    job = make_job(
        image_set, nn.Sequential(nn.Conv2d(3, 4000, 32), nn.ReLU(), nn.Flatten(), nn.Linear(4000, 4)).eval()
    )

    def peak(copies: int) -> int:
        many = replace(job.images, images=job.images.images * copies, digest=str(copies) * 64)
        tracemalloc.start()
        activation_pass(replace(job, images=many), tmp_path / f"store{copies}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    few, more = peak(2), peak(6)
    added = 4 * len(job.images.images) * 4000 * 4
    assert more - few < added / 5


def test_the_digest_holds_all_that_the_numbers_depend_on(
    job: ActivationJob, convolution: nn.Module, make_job: MakeJob
) -> None:
    others = [
        replace(job, model=replace(job.model, digest="1" * 64)),
        replace(job, model=replace(job.model, transform_text="other")),
        replace(job, images=replace(job.images, digest="1" * 64)),
        replace(job, layers=job.layers[:1]),
        replace(job, spec=replace(job.spec, pool_share=0.2)),
        replace(job, spec=replace(job.spec, batch=5)),
        replace(job, spec=replace(job.spec, shard=16)),
    ]
    assert len({job.digest, *(other.digest for other in others)}) == len(others) + 1
    assert make_job(job.images, convolution).digest == job.digest


def test_progress_ends_at_the_number_of_images(job: ActivationJob, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    activation_pass(job, tmp_path / "store", progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (4, len(job.images.images))
    assert seen[-1] == (len(job.images.images), len(job.images.images))
    assert seen == sorted(seen)


def test_job_size_is_the_size_on_disk(job: ActivationJob, store: ActivationStore) -> None:
    assert sum(path.stat().st_size for path in store.folder.glob("*.npy")) == job.size
