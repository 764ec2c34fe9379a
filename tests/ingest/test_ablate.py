"""A question about a circuit, measured on a reopened job and spooled: what it says is what hooks measure."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from atlas.errors import DataError
from atlas.spool import Spool
from ingest.ablate import Question, ablate, spool_effects
from ingest.activations import PassSpec
from ingest.images import decode
from ingest.job import IngestSpec, prepare
from ingest.methods.effect_tables import effect_rows
from ingest.models import ModelSpec
from ingest.plan import Folders, activations


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "noise"
    rng = np.random.default_rng(0)
    for k in range(10):
        (root / f"{k}").mkdir(parents=True)
        for n in range(5):
            pixels = rng.integers(0, 200, (32, 32, 3)) + np.array([5 * k, 50 - 5 * k, 0])
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"{k}" / f"{n}.png")
    model = ModelSpec("examples.own_model:small_resnet")
    prepared = prepare(IngestSpec(model, root, force=True, passes=PassSpec(batch=8, shard=16)))
    home = tmp_path_factory.mktemp("home")
    folders = Folders(home / "work", home / "spools", home / "media")
    store = activations(prepared, folders, lambda *_: None)
    return SimpleNamespace(prepared=prepared, store=store, folders=folders)


def neurons(job, *nodes):
    names = [job.prepared.subject.neuron_ids(layer) for layer in job.prepared.layers]
    return tuple(names[layer][channel] for layer, channel in nodes)


def asked(job, question):
    return ablate(job.prepared, job.store, question, lambda *_: None)


def test_zeroing_is_what_hooks_do_to_the_judging_images_of_a_class(job) -> None:
    subject, model = job.prepared.subject, job.prepared.model
    own = subject.class_ids()[3]
    question = Question(neurons(job, (0, 2), (2, 5), (2, 7)), classes=(own,), draws=2)
    rows = {(r["control"], r["metric"]): r for r in effect_rows(asked(job, question))}
    assert {control for control, _ in rows} == {"circuit", "top", "random"}
    judged = [i for i, k in enumerate(subject.labels) if k == 3 and subject.judging[i]]
    assert judged
    x = torch.stack(
        [
            model.transform(decode(job.prepared.images.root / job.prepared.images.images[i].path))
            for i in judged
        ]
    )
    handles = []
    for layer, channels in ((0, [2]), (2, [5, 7])):
        module = model.module.get_submodule(job.prepared.layers[layer].name)
        handles.append(
            module.register_forward_hook(
                lambda _m, _i, out, c=channels: out.index_fill(1, torch.tensor(c), 0.0)
            )
        )
    after = model.module(x)
    for handle in handles:
        handle.remove()
    before = model.module(x)
    logit = rows["circuit", "logit"]
    assert logit["before"] == pytest.approx(before[:, 3].mean().item(), rel=1e-4, abs=1e-5)
    assert logit["after"] == pytest.approx(after[:, 3].mean().item(), rel=1e-4, abs=1e-5)
    assert logit["images"] == len(judged)
    assert logit["class"] == own
    kl = torch.nn.functional.kl_div(
        after.log_softmax(1), before.log_softmax(1), log_target=True, reduction="sum"
    )
    assert rows["circuit", "kl"]["after"] == pytest.approx(kl.item() / len(judged), rel=1e-3, abs=1e-7)
    assert ("circuit", f"probe {job.prepared.layers[1].name}") in rows


def test_all_classes_and_pruning(job) -> None:
    found = asked(job, Question(neurons(job, (1, 2), (1, 3), (2, 5)), kind="circuit", draws=1))
    classes = {e.change.group for e in found}
    assert classes <= set(job.prepared.subject.class_ids())
    assert len(classes) > 5
    assert any(abs(e.change.after - e.change.before) > 0 for e in found if e.change.metric == "logit")


def test_own_edges_are_cut_one_by_one(job) -> None:
    nodes = neurons(job, (0, 1), (1, 2), (2, 3))
    question = Question(nodes, edges=((nodes[0], nodes[1]), (nodes[1], nodes[2])), kind="edges", draws=2)
    assert {e.control for e in asked(job, question)} == {"circuit", "random"}
    skipping = replace(question, edges=((nodes[0], nodes[2]),))
    with pytest.raises(DataError, match="skips layers"):
        asked(job, skipping)


def test_images_at_most_and_given_ones(job) -> None:
    rows = effect_rows(asked(job, Question(neurons(job, (0, 1)), most=4, draws=1)))
    assert sum(r["images"] for r in rows if (r["control"], r["metric"]) == ("circuit", "logit")) == 4
    one = effect_rows(asked(job, Question(neurons(job, (0, 1)), images=(7,), draws=1)))
    assert {r["images"] for r in one if r["metric"] == "logit"} == {1}


def test_predictions_stand_beside_the_circuit_alone(job) -> None:
    own = job.prepared.subject.class_ids()[3]
    question = Question(neurons(job, (2, 5)), classes=(own,), predicted={own: -0.25}, draws=1)
    told = {(r["control"], r["metric"]): r["predicted"] for r in effect_rows(asked(job, question))}
    assert told.pop(("circuit", "logit")) == -0.25
    assert set(told.values()) == {None}


def test_spooled_with_the_circuit_it_cuts(job) -> None:
    question = Question(neurons(job, (0, 2), (2, 5)), circuit="c0123456789a", draws=1)
    effects = asked(job, question)
    spool = Spool.open(spool_effects(job.prepared, question, effects, ["r0123456789"], job.folders))
    assert spool.run.method == "ablate:c0123456789a:zero"
    names = {table.name: spool.rows(table.name) for table in spool.tables()}
    expected = {"Intervention": 3, "Intervention-CUTS-Circuit": 1, "Intervention-CHANGED-Class": len(effects)}
    assert names.items() >= expected.items()


def test_refusals(job) -> None:
    for question, words in (
        (Question(()), "no neuron to cut"),
        (Question(("other@01234567/layer1/3",)), "not a neuron of this model"),
        (Question(neurons(job, (0, 1)), classes=("noise/none",)), "no such class"),
    ):
        with pytest.raises(DataError, match=words):
            asked(job, question)
