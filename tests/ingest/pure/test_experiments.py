"""Spliced neurons, contents and embeddings on a small set of canvases of the digit-pair world."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from atlas.errors import DataError
from atlas.spool import Spool
from ingest import evaluation_pure, plan
from ingest.demo.digits import read_answers, side_file
from ingest.demo.story import demo_spec
from ingest.experiments import content, embeddings, looking, splice
from ingest.images import scan_images
from ingest.job import Prepared, prepare
from ingest.layers import to_units
from ingest.methods.pure import Lens, lenses
from ingest.methods.pure_figures import Agreement, draw, mean_over
from ingest.numerics.pooling import top_share_mean
from ingest.numerics.pure import VARIANTS, Look
from ingest.reopen import Opened
from ingest.store import ActivationStore, cell_centre

LAYER = "layer4.1"
CHUNK = 2**26
Job = tuple[Prepared, ActivationStore, plan.Folders]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """120 canvases seen by the demo's network in its last two blocks."""
    home = tmp_path_factory.mktemp("senses")
    spec = demo_spec(home, 120)
    prepared = prepare(type(spec)(**{**vars(spec), "layers": f"layer4.0,{LAYER}"}))
    folders = plan.Folders(home / "work", home / "spools", home / "media")
    return prepared, plan.activations(prepared, folders, lambda *_: None), folders


@pytest.fixture
def batches(job: Job) -> splice.Batches:
    return job[0].batches


@pytest.fixture
def lists(job: Job) -> np.ndarray:
    return np.asarray(job[0].subject.lists, bool)


@pytest.fixture
def splices(job: Job, lists: np.ndarray) -> splice.Splices:
    return splice.draw_splices(job[1], LAYER, lists, 12, seed=0)


def lens_of(job: Job) -> Lens:
    return lenses(job[0].model.trace, job[0].layers, "")[1]


def units_of(job: Job, batches: splice.Batches, rows: Sequence[int], layer: int) -> Tensor:
    spec = job[0].layers[layer]
    parts: Iterable[Tensor] = [
        to_units(job[0].model.trace.values(x, [spec.node])[spec.node], spec) for _, x in batches(rows)
    ]
    return torch.cat(list(parts)).detach()


def test_parents_are_scaled_and_their_overlap_is_known(
    job: Job, lists: np.ndarray, splices: splice.Splices
) -> None:
    store = job[1]
    assert len({tuple(pair) for pair in splices.parents.tolist()}) == len(splices) == 12
    top = store.top(LAYER, splice.reference_count(60), lists).indices
    for (a, b), scale, overlap in zip(splices.parents, splices.scales, splices.jaccard, strict=True):
        assert a != b
        own, other = set(top[a].tolist()), set(top[b].tolist())
        assert overlap == len(own & other) / len(own | other)
        np.testing.assert_allclose(scale, store.stats(LAYER, lists)["p99"][[a, b]])
    assert len(set(np.searchsorted(splice.OVERLAPS, splices.jaccard))) >= 3


def test_references_of_a_spliced_neuron_are_its_own_best_images(
    job: Job, batches: splice.Batches, splices: splice.Splices
) -> None:
    prepared, store, _ = job
    rows = np.flatnonzero(prepared.subject.judging)
    found = splice.splice_references(prepared.model.trace, {LAYER: splices}, store, rows, batches, 7)[LAYER]
    units = units_of(job, batches, rows.tolist(), 1)
    for s, (a, b) in enumerate(splices.parents):
        p, q = splices.scales[s]
        h = torch.relu(units[:, a] / p + units[:, b] / q)
        ranking = top_share_mean(h[:, None].float(), store.plan.pool_share).mean[:, 0].numpy()
        best = rows[np.argsort(-ranking, kind="stable")[:7]]
        assert set(found.rows[s].tolist()) == set(best.tolist())
        pooled = store.pooled(LAYER)
        spoke = [int(pooled[row, b] / q > pooled[row, a] / p) for row in found.rows[s]]
        assert found.truth[s].tolist() == spoke


def test_a_neuron_spliced_with_itself_has_its_own_vectors(
    job: Job, batches: splice.Batches, lists: np.ndarray, splices: splice.Splices
) -> None:
    prepared, store, _ = job
    channels = splices.parents[:3, 0]
    own = splice.self_splices(store, LAYER, lists, channels)
    rows = store.top(LAYER, 5, lists).indices[channels]
    lens = lens_of(job)
    names = ("pure", "at-max", "at-max-l2")
    trace = prepared.model.trace
    twins = looking.watch(trace, lens, looking.Watched(rows, np.arange(3), own), batches, names, CHUNK)
    plain = looking.watch(trace, lens, looking.Watched(rows, channels), batches, names, CHUNK)
    for name in names:
        torch.testing.assert_close(twins[name], plain[name], rtol=1e-4, atol=1e-6)


def test_read_outs_have_the_vectors_of_a_sum_of_channels(
    job: Job, batches: splice.Batches, splices: splice.Splices
) -> None:
    prepared = job[0]
    rows = np.arange(8).reshape(2, 4)
    lens = lens_of(job)
    watched = looking.Watched(rows, np.array([3, 5]), splices)
    found = looking.watch(prepared.model.trace, lens, watched, batches, ("pure", "local", "map"), CHUNK)
    lower = prepared.layers[0]
    for place, s in enumerate((3, 5)):
        for n, row in enumerate(rows[place].tolist()):
            ((_, x),) = batches([row])
            a = prepared.model.trace.values(x, [lower.node])[lower.node].detach().requires_grad_(True)
            upper = to_units(lens.segment(a, {}), prepared.layers[1])[0]
            (i, j), (p, q) = splices.parents[s], splices.scales[s]
            h = torch.relu(upper[i] / p + upper[j] / q)
            (g,) = torch.autograd.grad((h**2).sum() / 2, a)
            r = (a * g).sum((0, 2, 3)).detach()
            torch.testing.assert_close(
                found["pure"][place, n], (r / r.abs().sum()).float(), rtol=1e-3, atol=1e-6
            )
            shown = upper.detach().clone()
            shown[[i, j]] = 0
            torch.testing.assert_close(found["local"][place, n], shown[:, h.argmax()], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found["map"][place, n], shown.mean(1), rtol=1e-4, atol=1e-5)


def test_the_hybrid_is_relevance_beside_weighted_and_local_activation() -> None:
    weight = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def forward(units: Tensor, rows: Tensor) -> Tensor:
        return torch.einsum("hcp,bcp->bhp", weight, units) + units.sum((1, 2))[:, None, None] * weight[:, 0]

    look = Look(weight[:2].abs(), forward, torch.tensor([1, 0]), torch.tensor([2, 3]))

    def root(r: Tensor) -> Tensor:
        r = r.sign() * r.abs().sqrt()
        return r / r.norm(dim=1, keepdim=True)

    maps = forward(weight[:2].abs(), torch.arange(2))
    sums = [
        sum(maps[i, k, p].clamp(min=0) ** 2 * maps[i, :, p] for p in range(5)) for i, k in ((1, 2), (0, 3))
    ]
    active = root(torch.stack([torch.as_tensor(one) for one in sums]))
    torch.testing.assert_close(VARIANTS["weighted"](look), active)
    expected = torch.cat([root(look.relevance), active, 0.5 * root(VARIANTS["local"](look))], 1)
    torch.testing.assert_close(VARIANTS["hybrid"](look), expected)


def test_the_digit_under_a_maximum_is_the_box_the_cell_lies_in(job: Job) -> None:
    prepared, store, _ = job
    root = prepared.images.root
    paths = [image.path for image in prepared.images.images]
    contents = content.read_contents(root, paths)
    assert contents is not None
    assert content.read_contents(root.with_name("elsewhere"), paths) is None
    layer = prepared.layers[1]
    rows = np.arange(20).reshape(2, 10)
    peaks = np.random.default_rng(0).integers(0, layer.positions, rows.shape)
    found = content.digits_at(contents, layer, rows, peaks, store.plan.input_shape)
    x, y = cell_centre(layer, peaks, store.plan.input_shape)
    answers = read_answers(side_file(root))
    for at in np.ndindex(rows.shape):
        answer = answers[paths[rows[at]]]
        inside = [
            digit
            for digit, (x0, y0, x1, y1) in zip(answer["digits"], answer["boxes"], strict=True)
            if x0 <= x[at] <= x1 and y0 <= y[at] <= y1
        ]
        if inside:
            assert found[at] in inside
        touched = [
            digit
            for digit, (x0, y0, x1, y1) in zip(answer["digits"], answer["boxes"], strict=True)
            if x0 < x[at] + 8 and x[at] - 8 < x1 and y0 < y[at] + 8 and y[at] - 8 < y1
        ]
        assert found[at] in touched if found[at] >= 0 else not inside


def test_neurons_of_two_digits() -> None:
    digits = np.array([[3, 3, 3, 5, 5, 7], [1, 1, 1, 1, 1, 2], [9, 9, -1, 0, 0, -1]])
    neurons, labels = content.two_digits(digits, least=2)
    assert neurons.tolist() == [0, 2]
    assert labels.tolist() == [[0, 0, 0, 1, 1, -1], [1, 1, -1, 0, 0, -1]]
    assert content.one_digit(digits, share=0.8).tolist() == [1]


def test_embeddings_by_image_id(tmp_path: Path) -> None:
    ids = ["img:b", "img:a"]
    vectors = {"img:a": torch.ones(3), "img:b": torch.zeros(3), "img:c": torch.ones(3)}
    save_file(vectors, tmp_path / "clip.safetensors")
    np.save(tmp_path / "dino.npy", torch.stack(list(vectors.values())).numpy())
    (tmp_path / "dino.txt").write_text("\n".join(vectors))
    for name in ("clip.safetensors", "dino.npy"):
        found = embeddings.read_embeddings(tmp_path / name, ids)
        assert found.tolist() == [[0, 0, 0], [1, 1, 1]]
        with pytest.raises(DataError, match="has no embedding"):
            embeddings.read_embeddings(tmp_path / name, ["img:z"])
    (tmp_path / "dino.txt").write_text("img:a")
    for wrong in ("dino.npy", "none.safetensors", "dino.txt"):
        with pytest.raises(DataError, match="not a file of embeddings"):
            embeddings.read_embeddings(tmp_path / wrong, ids)


def test_agreement_is_the_mean_index_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(40)[:12] for _ in range(20)])
    truth = rng.integers(-1, 2, rows.shape)
    clusters = torch.from_numpy(np.where(rng.random(rows.shape) < 0.8, truth.clip(0), 1 - truth.clip(0)))
    drawn = draw([(str(s),) for s in range(20)], [(str(n),) for n in range(40)], np.arange(40), 50, 0)
    assert drawn.images[:, 40:].sum() == 0
    found = Agreement(clusters, truth, rows, drawn)
    for s in range(20):
        known = truth[s] >= 0
        assert found.values[s] == pytest.approx(
            adjusted_rand_score(truth[s][known], clusters[s].numpy()[known])
        )
    kept = np.arange(20) < 15
    measure = found.measure("m", {}, kept)
    assert measure.value == pytest.approx(found.values[:15].mean())
    assert measure.n == 15
    assert measure.low < measure.value < measure.high
    assert found.measure("m", {}, less=found).value == 0
    assert np.isnan(found.measure("m", {}, np.zeros(20, bool)).value)
    spread = mean_over("m", found.values, drawn.neurons, {})
    assert spread.low < spread.value < spread.high


def test_evaluation_writes_figures_of_every_truth(job: Job, tmp_path: Path) -> None:
    prepared, store, folders = job
    opened = Opened(prepared, store, None)  # type: ignore[arg-type]
    path = evaluation_pure.evaluate(opened, "r0000000005", 4, folders, lambda *_: None)
    spool = Spool.open(path)
    table = next(item for item in spool.tables() if item.name == "Evaluation")
    names = [column.name for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for batch in spool.batches(table) for row in batch]
    metrics = {row["metric"] for row in rows}
    assert {"pure_ari", "pure_ari_gain", "pure_split_share", "pure_inter", "pure_alignment"} <= metrics
    assert {"pure_cut_fed", "pure_cut_own_over_other", "pure_cut_own_over_random"} <= metrics
    told = [json.loads(row["settings"]) for row in rows if row["metric"] == "pure_ari"]
    assert {settings["variant"] for settings in told} == set(VARIANTS)
    best = [s for s in told if s["layer"] == LAYER and s["truth"] == "spliced" and s["best"]]
    assert len(best) == 1
    assert all(row["low"] is None or row["low"] <= row["value"] + 1e-9 for row in rows)


def test_any_model_embeds_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(5):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(tmp_path / f"{n}.png")
    images = scan_images(tmp_path)
    found = embeddings.embed(images, lambda x: x.flatten(2).mean(2), to_tensor, "cpu", batch=2)
    assert set(found) == {image.id for image in images.images}
    for image in images.images:
        own = to_tensor(Image.open(tmp_path / image.path)).flatten(1).mean(1)
        torch.testing.assert_close(found[image.id], own)
    for wrong in (lambda x: x, lambda x: x.flatten(2).mean(2) / 0):
        with pytest.raises(DataError, match="no vectors"):
            embeddings.embed(images, wrong, to_tensor, "cpu")
