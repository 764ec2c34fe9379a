"""The activation pass: equal to hooks and sorts, whatever its cuts, kills and faults."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import nn
from torchvision.models import VisionTransformer

from atlas.errors import BusyError, DataError, DiskError, ModelError
from ingest.activations import ActivationJob, PassSpec, activation_pass
from ingest.images import ImageSet, scan_images
from ingest.layers import choose_layers, to_units
from ingest.models import VisionModel
from ingest.segments import Trace
from ingest.store import ActivationStore, cell_centre

SIZE = 32
IMAGES = 22


KILLED_PASS = """
import importlib.util, os, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
job = here.make_job(here.scan_images(pathlib.Path(sys.argv[2])), here.convolutional())
kill = lambda name: name == "shard-pooled:1" and os.kill(os.getpid(), signal.SIGKILL)
here.activation_pass(job, pathlib.Path(sys.argv[3]), checkpoint=kill)
"""


class KilledError(Exception):
    """Stands for the end of the process."""


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, np.float32) / 255).permute(2, 0, 1)


@pytest.fixture(scope="module")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """22 images in two folders; three of each are different files of equal pixels, so that values tie."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for folder in ("cat", "dog"):
        (root / folder).mkdir()
        same = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        for n in range(IMAGES // 2):
            image = same if n >= IMAGES // 2 - 3 else rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
            note = PngImagePlugin.PngInfo()
            note.add_text("n", str(n))
            Image.fromarray(image).save(root / folder / f"{n}.png", pnginfo=note)
    return scan_images(root)


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 7, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(7, 9, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(9, 4),
    ).eval()


def transformer() -> nn.Module:
    torch.manual_seed(0)
    model = VisionTransformer(SIZE, 8, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=12, num_classes=4)
    nn.init.normal_(model.heads.head.weight)
    return model.eval()


def vision_model(module: nn.Module) -> VisionModel:
    trace = Trace(module, (3, SIZE, SIZE))
    return VisionModel(
        name="small",
        module=module,
        transform=pixels,
        transform_text="pixels",
        digest="0" * 64,
        source="random:0",
        categories=None,
        outputs=4,
        input_shape=(3, SIZE, SIZE),
        trace=trace,
    )


def make_job(images: ImageSet, module: nn.Module, globs: str | None = None, **spec: int) -> ActivationJob:
    model = vision_model(module)
    return ActivationJob(
        model, choose_layers(model, globs), images, PassSpec(**{"batch": 4, "shard": 8, **spec})
    )


@pytest.fixture
def job(image_set: ImageSet) -> ActivationJob:
    return make_job(image_set, convolutional())


@pytest.fixture
def store(job: ActivationJob, tmp_path: Path) -> ActivationStore:
    return activation_pass(job, tmp_path / "store")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def literal(job: ActivationJob) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Units (N, C, P) of every layer and logits (N, outputs), by hooks on the module itself."""
    found: dict[str, torch.Tensor] = {}
    handles = [
        job.model.module.get_submodule(layer.name).register_forward_hook(
            lambda m, i, out, layer=layer: found.__setitem__(layer.name, to_units(out.clone(), layer))
        )
        for layer in job.layers
    ]
    batch = torch.stack([pixels(Image.open(job.images.root / image.path)) for image in job.images.images])
    with torch.no_grad():
        logits = job.model.module(batch)
    for handle in handles:
        handle.remove()
    return found, logits


@pytest.mark.parametrize("module", [convolutional, transformer])
def test_everything_stored_is_what_hooks_and_a_sort_give(
    module: Callable[[], nn.Module], image_set: ImageSet, tmp_path: Path
) -> None:
    job = make_job(image_set, module())
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
    if module is transformer:
        assert {layer.tokens_before for layer in job.layers} == {1}, "the class token is there"


@pytest.mark.parametrize(
    "where",
    ["reserved", "shard-pooled:0", "shard-written:0", "shard-pooled:2", "shard-written:2", "complete"],
)
def test_killed_anywhere_and_run_again_gives_the_same_bytes(
    where: str, job: ActivationJob, store: ActivationStore, tmp_path: Path
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
    job: ActivationJob, store: ActivationStore, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_PASS, __file__, str(job.images.root), str(folder)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (folder / "shards").iterdir()] == ["00000.done"]
    activation_pass(job, folder)
    assert contents(folder) == contents(store.folder)


def test_a_reservation_cut_short_starts_anew(
    job: ActivationJob, store: ActivationStore, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "pooled.000.npy").write_bytes(b"\x93NUMPY")
    (folder / "plan.json.part").write_text("{")
    activation_pass(job, folder)
    assert contents(folder) == contents(store.folder)


def test_a_torn_shard_is_written_again(job: ActivationJob, store: ActivationStore, tmp_path: Path) -> None:
    before = contents(store.folder)
    (store.folder / "complete").unlink()
    (store.folder / "shards" / "00001.done").unlink()
    with (store.folder / "pooled.000.npy").open("r+b") as file:
        file.seek(-(IMAGES - 8) * 7 * 4, 2)
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


def test_lists_of_a_subset_are_the_literal_ones(job: ActivationJob, store: ActivationStore) -> None:
    rng = np.random.default_rng(1)
    subset = rng.random(IMAGES) < 0.6
    rows = np.flatnonzero(subset)
    for layer in job.layers:
        pooled = np.array(store.pooled(layer.name))
        lists = store.lists(layer.name, 0.3, subset)
        assert lists.indices.shape == (layer.channels, int(np.ceil(0.3 * len(rows))))
        assert lists.images == len(rows)
        for c in range(layer.channels):
            best = sorted(rows, key=lambda i, c=c: (-float(pooled[i, c]), store.ids[i]))
            assert lists.indices[c].tolist() == best[: lists.indices.shape[1]]
        np.testing.assert_array_equal(lists.values, np.take_along_axis(pooled.T, lists.indices, axis=1))
        np.testing.assert_array_equal(
            lists.peaks, np.take_along_axis(np.array(store.peaks(layer.name)).T, lists.indices, axis=1)
        )
        np.testing.assert_array_equal(lists.members(IMAGES).sum(axis=1), lists.indices.shape[1])


def test_who_is_held_is_who_would_be_listed(job: ActivationJob, store: ActivationStore) -> None:
    subset = np.arange(IMAGES) % 2 == 0
    for layer in job.layers:
        pooled = np.array(store.pooled(layer.name))
        lists = store.lists(layer.name, 0.3, subset)
        members = lists.members(IMAGES)
        for i in range(IMAGES):
            held = lists.would_hold(pooled[i], store.ids[i])
            if subset[i]:
                np.testing.assert_array_equal(held, members[:, i])
            else:
                with_it = subset.copy()
                with_it[i] = True
                again = store.top(layer.name, lists.indices.shape[1], with_it).members(IMAGES)
                np.testing.assert_array_equal(held, again[:, i])


def test_channels_in_blocks_give_the_same(
    store: ActivationStore, job: ActivationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [image.label for image in job.images.images]
    name = job.layers[1].name
    whole = store.top(name, 5), store.stats(name), store.class_stats(name, labels, 2)
    monkeypatch.setattr("ingest.store.BLOCK_BYTES", IMAGES * 4 * 2)
    assert len(list(store.blocks(name, store.rows(None)))) == 5
    parts = store.top(name, 5), store.stats(name), store.class_stats(name, labels, 2)
    np.testing.assert_array_equal(whole[0].indices, parts[0].indices)
    for before, after in zip(whole[1:], parts[1:], strict=True):
        for key in before:
            np.testing.assert_array_equal(before[key], after[key])


def test_memory_does_not_grow_with_the_number_of_images(image_set: ImageSet, tmp_path: Path) -> None:
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
    added = 4 * IMAGES * 4000 * 4
    assert more - few < added / 5


def test_nan_weights_are_named_with_layer_channel_and_image(image_set: ImageSet, tmp_path: Path) -> None:
    module = convolutional()
    with torch.no_grad():
        module[3].weight[5, 2, 1, 1] = float("nan")
    job = make_job(image_set, module)
    with pytest.raises(ModelError) as error:
        activation_pass(job, tmp_path / "store")
    first = image_set.images[0]
    assert f"{job.layers[1].name}/5" in str(error.value)
    assert f"nan on image {first.path} ({first.id})" in str(error.value)
    with pytest.raises(DataError, match="no complete activation store"):
        ActivationStore(tmp_path / "store")


def test_infinite_logits_are_named(image_set: ImageSet, tmp_path: Path) -> None:
    module = convolutional()
    with torch.no_grad():
        module[7].bias[2] = -float("inf")
    with pytest.raises(ModelError, match=r"output 2 .*got -inf on image cat/0\.png"):
        activation_pass(make_job(image_set, module), tmp_path / "store")


def test_an_activation_that_overflows_on_one_image_names_that_image(
    image_set: ImageSet, tmp_path: Path
) -> None:
    bad = image_set.images[11]
    match = pixels(Image.open(image_set.root / bad.path))
    module = nn.Sequential(nn.Conv2d(3, 2, SIZE, bias=False), nn.Flatten(), nn.Linear(2, 4)).eval()
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
    begun: bool, job: ActivationJob, tmp_path: Path, small_files: Callable[[int], None]
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
    job: ActivationJob, store: ActivationStore, tmp_path: Path, small_files: Callable[[int], None]
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
def small_files() -> object:
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


def test_job_size_is_the_size_on_disk(job: ActivationJob, store: ActivationStore) -> None:
    assert sum(path.stat().st_size for path in store.folder.glob("*.npy")) == job.size


def test_two_passes_at_once_are_refused(job: ActivationJob, tmp_path: Path) -> None:
    with filelock.FileLock(tmp_path / "store.lock"), pytest.raises(BusyError, match="another process"):
        activation_pass(job, tmp_path / "store")


def test_a_folder_of_another_job_is_refused(job: ActivationJob, store: ActivationStore) -> None:
    with pytest.raises(DataError, match="another activation pass"):
        activation_pass(replace(job, spec=PassSpec(batch=2)), store.folder)


def test_no_images_is_an_error(job: ActivationJob, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        activation_pass(replace(job, images=replace(job.images, images=())), tmp_path / "store")


def test_unknown_layer_and_wrong_subset_are_errors(store: ActivationStore) -> None:
    with pytest.raises(ModelError, match="layer not in the activation store: layer9"):
        store.pooled("layer9")
    with pytest.raises(DataError, match="subset of another data set"):
        store.stats(store.layers[0].name, np.ones(3, np.bool_))
    with pytest.raises(DataError, match="no image in the subset"):
        store.stats(store.layers[0].name, np.zeros(IMAGES, np.bool_))


def test_the_digest_holds_all_that_the_numbers_depend_on(job: ActivationJob) -> None:
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
    assert make_job(job.images, convolutional()).digest == job.digest


def test_predictions_and_accuracy(job: ActivationJob, store: ActivationStore) -> None:
    logits = torch.from_numpy(np.array(store.logits)).double()
    predictions = store.predictions()
    probability, output = logits.softmax(dim=1).max(dim=1)
    np.testing.assert_array_equal(predictions.output, output)
    np.testing.assert_allclose(predictions.probability, probability, rtol=1e-6)
    np.testing.assert_array_equal(predictions.logit, logits.amax(dim=1).float())
    labels = [None, *(image.label for image in job.images.images[1:])]
    outputs = [int(output[5]), 3]
    right = [outputs[k] == int(p) for k, p in zip(labels[1:], output[1:], strict=True)]
    assert store.accuracy(labels, outputs) == pytest.approx(sum(right) / len(right))
    assert np.isnan(store.accuracy([None] * IMAGES, outputs))


def test_progress_ends_at_the_number_of_images(job: ActivationJob, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    activation_pass(job, tmp_path / "store", progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (4, IMAGES)
    assert seen[-1] == (IMAGES, IMAGES)
    assert seen == sorted(seen)


@pytest.mark.parametrize("module", [convolutional, transformer])
def test_places_are_centres_of_cells_in_pixels_of_the_input(
    module: Callable[[], nn.Module], image_set: ImageSet
) -> None:
    for layer in make_job(image_set, module()).layers:
        assert layer.grid is not None
        height, width = layer.grid
        assert height * width + layer.tokens_before == layer.positions
        x, y = cell_centre(layer, np.array([0, width - 1, (height - 1) * width]), (3, SIZE, 2 * SIZE))
        half = SIZE / height / 2
        assert x.tolist() == [2 * half, 2 * SIZE - 2 * half, 2 * half]
        assert y.tolist() == [half, half, SIZE - half]


def test_a_layer_without_a_grid_sees_the_whole_input(job: ActivationJob) -> None:
    x, y = cell_centre(replace(job.layers[0], grid=None), np.array([[0, 5]]), (3, 20, 30))
    assert x.tolist() == [[15.0, 15.0]]
    assert y.tolist() == [[10.0, 10.0]]


def test_a_bright_dot_is_found_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "images" / "dots").mkdir(parents=True)
    places = [(5, 20), (30, 1), (0, 0)]
    for n, (x, y) in enumerate(places):
        dot = np.zeros((SIZE, SIZE, 3), np.uint8)
        dot[y, x] = 255
        Image.fromarray(dot).save(tmp_path / "images" / "dots" / f"{n}.png")
    module = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(192, 4)).eval()
    job = make_job(scan_images(tmp_path / "images"), module, globs="0")
    store = activation_pass(job, tmp_path / "store")
    lists = store.top("0")
    for images, peaks in zip(lists.indices, lists.peaks, strict=True):
        found = np.stack(cell_centre(job.layers[0], peaks, job.model.input_shape), axis=1)
        asked = np.array([places[int(Path(job.images.images[i].path).stem)] for i in images])
        assert (np.abs(found - (asked + 0.5)) <= 2).all()
