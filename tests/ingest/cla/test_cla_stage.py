"""The stage's corners: one scope, one image, a dead layer, wide k, far layers, too much to store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from atlas.errors import DataError, ModelError
from atlas.schema import table
from atlas.spool.columns import check
from ingest.demo import planted
from ingest.demo.network import SquareImage
from ingest.demo.planted_circuit import LAYERS, CircuitNet
from ingest.job import IngestSpec, Prepared, Sides, prepare
from ingest.methods.cla_job import ClaParameters, make_links
from ingest.methods.cla_stage import ClaStage
from ingest.methods.cla_tables import ranks, stored_pairs
from ingest.models import ModelSpec
from ingest.plan import Folders, activations
from ingest.store import ActivationStore


def dead() -> tuple[nn.Module, SquareImage]:
    """Nothing passes the second layer."""
    net = CircuitNet()
    with torch.no_grad():
        net.step1.weight.zero_()
        net.past.weight.zero_()
    return net, SquareImage(planted.SIDE)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Prepared, ActivationStore]]:
    home = tmp_path_factory.mktemp("stage")
    planted.write_images(home / "images")
    made: dict[str, tuple[Prepared, ActivationStore]] = {}

    def get(factory: str) -> tuple[Prepared, ActivationStore]:
        if factory not in made:
            prepared = prepare(
                IngestSpec(
                    model=ModelSpec(factory),
                    data=home / "images",
                    layers=",".join(LAYERS),
                    sides=Sides(judge_share=0.0),
                    force=True,
                )
            )
            folders = Folders(home / "work", home / "spools", home / "media")
            made[factory] = prepared, activations(prepared, folders, lambda *_: None)
        return made[factory]

    return get


NET = "ingest.demo.planted_circuit:circuits"


def stage(base, factory: str = NET, **parameters: Any) -> ClaStage:
    prepared, store = base(factory)
    spec = dataclasses.replace(prepared.spec, cla=ClaParameters(**parameters))
    return ClaStage(dataclasses.replace(prepared, spec=spec), store)


def computed(own: ClaStage) -> list[tuple[str, Mapping[str, Any]]]:
    """All tables, checked against the schema as a spool would."""
    kept: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for phase in own.phases:
        for name in phase:
            kept[name] = list(own.compute("r0123456789", name, lambda *_: None, kept.__getitem__))
    tables = [item for name in kept for item in kept[name]]
    for name, columns in tables:
        if not name.startswith("#"):
            declared = {prop.name: prop for prop in table(name).columns}
            for column, values in columns.items():
                check(name, declared[column], values)
    return tables


def test_one_scope_has_a_raw_circuit_and_no_contrast(base) -> None:
    own = stage(base, scopes="all", k=2)
    tables = computed(own)
    circuits = [columns for name, columns in tables if name == "Circuit"]
    assert [c["variant"] for c in circuits] == [["raw"]]
    edges = next(columns for name, columns in tables if name == "Neuron-ATTRIBUTES_TO-Neuron")
    assert set(edges["contrast"]) == {None}
    assert "Circuit-EXPLAINS-ImageSet" in {name for name, _ in tables}
    assert "nothing to contrast" in " ".join(own.facts({})["remarks"])


def test_one_image_a_scope_gives_scores_without_spread(base) -> None:
    own = stage(base, images_per_scope=1, k=2)
    edges = [columns for name, columns in computed(own) if name == "Neuron-ATTRIBUTES_TO-Neuron"]
    assert all(set(e["n"]) == {1} and not np.any(e["std"]) for e in edges)
    assert "one image" in " ".join(own.facts({})["remarks"])


def test_a_dead_layer_has_no_members_and_no_edges(base) -> None:
    tables = computed(stage(base, f"{__name__}:dead", k=2))
    assert not [name for name, _ in tables if "ATTRIBUTES_TO-Neuron" in name]
    circuits = [columns for name, columns in tables if name == "Circuit"]
    assert all(size == 0 for c in circuits for size in c["size"])


def test_k_beyond_the_layers_takes_all_that_attribute(base) -> None:
    tables = computed(stage(base, k=999))
    raw = next(c for name, c in tables if name == "Circuit")
    assert 6 <= raw["size"][0] <= 24


def test_layers_two_apart_and_the_logits(base) -> None:
    prepared, _ = base(NET)
    links = make_links(prepared.model.trace, prepared.layers, 2)
    assert [(li.source.ordinal, li.target and li.target.ordinal, li.hops) for li in links] == [
        (0, 1, 1),
        (0, 2, 2),
        (1, 2, 1),
        (1, None, 2),
        (2, None, 1),
    ]
    edges = [c for name, c in computed(stage(base, hops=2, k=2)) if "ATTRIBUTES_TO" in name]
    assert {int(h) for e in edges for h in e["hops"]} == {1, 2}


def test_scores_of_a_batch_are_those_of_its_images(base) -> None:
    """The mean over a scope is the mean of its images' own scores, whatever the batches."""
    own = stage(base, k=2)
    rows = own.scopes[0].rows[:3]
    whole = own.scores(rows)
    parts = [own.scores([row]) for row in rows]
    for i, mean in enumerate(whole.means):
        np.testing.assert_allclose(mean, np.mean([p.means[i] for p in parts], axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            whole.stds[i], np.std([p.means[i] for p in parts], axis=0), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"most_edges": 10}, "more attribution edges"),
        ({"k": 0}, "no such size"),
        ({"hops": 0}, "no such distance"),
        ({"scopes": "nothing.json"}, "cannot read the scopes"),
    ],
)
def test_clear_errors(base, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        stage(base, **parameters)


def test_no_image_is_an_error(base) -> None:
    with pytest.raises(DataError, match="no image to score"):
        stage(base).scores([])


def test_one_layer_is_an_error(base) -> None:
    prepared, _ = base(NET)
    with pytest.raises(ModelError, match="two layers"):
        make_links(prepared.model.trace, prepared.layers[:1])


def test_the_run_is_told_by_its_images_and_not_by_its_memory(base) -> None:
    one, two = stage(base, chunk_bytes=1000), stage(base)
    assert one.parameters() == two.parameters()
    assert stage(base, images_per_scope=3).parameters() != two.parameters()
    assert "scopes_digest" in two.parameters()


def test_stored_pairs_against_loops() -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((6, 5)) * (rng.random((6, 5)) > 0.3)).astype(np.float32)
    also = np.zeros((6, 5), bool)
    also[[0, 1], [4, 4]] = True
    m, n = stored_pairs(scores, 2, 3, also)
    best = sorted(range(5), key=lambda t: (-float(scores[:, t].sum(dtype=np.float64)), t))[:2]
    expected = {(s, t) for t in best for s in sorted(range(6), key=lambda s: (-scores[s, t], s))[:3]}
    expected = {(s, t) for s, t in expected | {(0, 4), (1, 4)} if scores[s, t] > 0}
    assert set(zip(m.tolist(), n.tolist(), strict=True)) == expected
    assert list(n) == sorted(n)
    for axis in (0, 1):
        lines = np.moveaxis(scores, axis, -1)
        want = [
            [sorted(range(len(v)), key=lambda i, v=v: (-v[i], i)).index(i) + 1 for i in range(len(v))]
            for v in lines
        ]
        assert np.moveaxis(ranks(scores, axis), axis, -1).tolist() == want


def test_screening_writes_signed_edges_between_layers_and_to_the_class(base) -> None:
    """Linear network: an edge is brightness × weight × what the target gives the logit; so is a layer's part."""
    own = stage(base, k=2, screen=True, images_per_scope=0)
    tables = computed(own)
    edges = next(c for name, c in tables if name == "Neuron-SCREENS-Neuron")
    pairs = {
        (int(m), int(n)): float(v)
        for m, n, v in zip(edges["start"].codes, edges["end"].codes, edges["score"], strict=True)
    }
    assert {n for m, n in pairs if m == 0} == {0, 1}
    for n in {n for _, n in pairs}:
        own_share = edges["share"][edges["end"].codes == n]
        assert np.abs(own_share).sum() == pytest.approx(1, rel=1e-5)
    heads = [c for name, c in tables if name == "Neuron-SCREENS-Class"][:3]
    assert [int(h["hops"][0]) for h in heads] == [3, 2, 1]
    first = {int(m): float(v) for m, v in zip(heads[0]["start"].codes, heads[0]["score"], strict=True)}
    for m in (0, 1):
        assert sum(v for (s, _), v in pairs.items() if s == m) == pytest.approx(first[m], rel=1e-5)
    assert sum(first.values()) == pytest.approx(sum(float(v) for v in heads[2]["score"]), rel=1e-5), (
        "the logit's parts sum to it in every layer"
    )
