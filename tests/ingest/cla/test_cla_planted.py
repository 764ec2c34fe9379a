"""The planted network: a whole job finds the planted circuits, nodes and edges, whatever else is bright."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas.spool import Spool
from ingest.demo import planted
from ingest.demo.planted_circuit import COMMON, DECOY, LAYERS, MEMBERS, STEP, CircuitNet, planted_nodes
from ingest.job import IngestSpec, Sides, prepare
from ingest.methods.cla_job import ClaParameters
from ingest.models import ModelSpec
from ingest.plan import Folders, run

Rows = Mapping[str, list[dict[str, Any]]]
IMAGES = {label: slice(16 * k, 16 * k + 16) for k, label in enumerate(planted.CLASSES)}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rows]:
    """Factory → the rows of the job's CLA spool, by table."""
    made: dict[str, Rows] = {}

    def get(factory: str) -> Rows:
        if factory not in made:
            home = tmp_path_factory.mktemp(factory)
            planted.write_images(home / "images")
            spec = IngestSpec(
                model=ModelSpec(f"ingest.demo.planted_circuit:{factory}"),
                data=home / "images",
                dataset="planted",
                layers=",".join(LAYERS),
                methods=("cla",),
                sides=Sides(judge_share=0.0),
                cla=ClaParameters(k=2, keep=4, sources=3, images_per_scope=0),
                workers=1,
            )
            folders = Folders(home / "work", home / "spools", home / "media")
            result = run(prepare(spec), folders, lambda *_: None)
            spool = Spool.open(result.spools[-1])
            made[factory] = {
                t.name: [
                    dict(zip([c.name for c in t.columns], row, strict=True))
                    for batch in spool.batches(t)
                    for row in batch
                ]
                for t in spool.tables()
            }
        return made[factory]

    return get


def nodes(rows: Rows, label: str, variant: str) -> set[tuple[int, int]]:
    circuit = next(
        c["id"] for c in rows["Circuit"] if c["target"] == f"planted/{label}" and c["variant"] == variant
    )
    found = [r["end"].split("/")[1:] for r in rows["Circuit-INCLUDES-Neuron"] if r["start"] == circuit]
    return {(LAYERS.index(layer), int(channel)) for layer, channel in found}


def scores(rows: Rows, label: str) -> dict[tuple[int, int, int], dict[str, Any]]:
    found = {}
    for row in rows["Neuron-ATTRIBUTES_TO-Neuron"]:
        if row["scope"] == f"planted/{label}":
            (layer, m), (_, n) = (row[end].split("/")[1:] for end in ("start", "end"))
            found[LAYERS.index(layer), int(m), int(n)] = row
    return found


def activations() -> list[np.ndarray]:
    """(48, 8) of each layer, worked out from the symbols."""
    bright = planted.symbols() / 255
    order = [planted.A1, planted.A2, planted.B1, planted.B2, planted.C1, planted.C2, planted.D]
    layers = [np.concatenate([bright[:, order], np.zeros((48, 1))], 1)]
    for _ in range(2):
        after = np.zeros((48, 8))
        for (target, source), weight in STEP.items():
            after[:, target] += weight * layers[-1][:, source]
        after[:, DECOY] = bright[:, planted.D]
        layers.append(after)
    return layers


@pytest.mark.parametrize("label", planted.CLASSES)
@pytest.mark.parametrize("variant", ["raw", "contrastive"])
def test_the_circuit_is_the_planted_one(jobs, label: str, variant: str) -> None:
    assert nodes(jobs("circuits"), label, variant) == planted_nodes(label)


@pytest.mark.parametrize("label", planted.CLASSES)
def test_edges_are_the_planted_ones_with_their_scores(jobs, label: str) -> None:
    """A pair that no weight joins has no edge; a score is mean brightness times weight."""
    found, a = scores(jobs("circuits"), label), activations()
    own = IMAGES[label]
    for (layer, m, n), row in found.items():
        values = a[layer][own, m] * STEP[n, m]
        assert row["score"] == pytest.approx(values.mean(), rel=1e-5)
        assert row["std"] == pytest.approx(values.std(), rel=1e-4)
        others = [(a[layer][IMAGES[other], m] * STEP[n, m]).mean() for other in MEMBERS if other != label]
        assert row["contrast"] == pytest.approx(max(0, values.mean() - np.mean(others)), abs=1e-5)
        sources = [s for t, s in STEP if t == n]
        whole = sum((a[layer][own, s] * STEP[n, s]).mean() for s in sources)
        assert row["share"] == pytest.approx(values.mean() / whole, rel=1e-5)
        assert (row["hops"], row["n"]) == (1, 16)
    members = MEMBERS[label]
    planted_edges = {(layer, m, n) for layer in range(2) for n, m in STEP if m in members}
    assert {edge for edge in found if edge[1] in members} == planted_edges
    circuit = next(
        c for c in jobs("circuits")["Circuit"] if c["target"].endswith(label) and c["variant"] == "raw"
    )
    assert (circuit["size"], circuit["edges"], circuit["layers"]) == (6, 8, 3)


def test_the_decoy_is_as_bright_as_the_circuit_and_joins_nothing(jobs) -> None:
    a = activations()
    for layer in range(3):
        own = a[layer][IMAGES["a"]].mean(0)
        assert own[DECOY] >= own[list(MEMBERS["a"])].min()
    assert not [edge for edge in scores(jobs("circuits"), "a") if DECOY in edge[1:]]


@pytest.mark.parametrize("label", planted.CLASSES)
def test_a_louder_common_channel_takes_the_raw_circuit_and_not_the_contrastive_one(jobs, label: str) -> None:
    crowded = jobs("crowded")
    assert {(layer, COMMON) for layer in range(3)} <= nodes(crowded, label, "raw")
    assert nodes(crowded, label, "contrastive") == planted_nodes(label)


def test_the_network_is_right_about_every_image() -> None:
    for gain in (0.0, 4.0):
        with torch.no_grad():
            logits = CircuitNet(gain).eval()(planted.inputs())
        assert logits.argmax(1).tolist() == [k for k in range(3) for _ in range(16)]


def test_tables_hang_together(jobs) -> None:
    rows = jobs("circuits")
    assert len(rows["Circuit"]) == 6
    assert {r["end"] for r in rows["Circuit-EXPLAINS-Class"]} == {f"planted/{c}" for c in planted.CLASSES}
    assert len(rows["ImageSet-HOLDS-Image"]) == 48
    classes = [r for r in rows["Neuron-ATTRIBUTES_TO-Class"] if r["scope"] == r["end"] == "planted/a"]
    assert {int(r["start"].split("/")[2]) for r in classes} == set(MEMBERS["a"])
    for target in {(r["end"], r["scope"]) for r in rows["Neuron-ATTRIBUTES_TO-Neuron"]}:
        own = [r for r in rows["Neuron-ATTRIBUTES_TO-Neuron"] if (r["end"], r["scope"]) == target]
        assert sorted(r["rank_in"] for r in own) == list(range(1, len(own) + 1))
        assert sum(r["share"] for r in own) == pytest.approx(1)
    ranked = sorted(
        rows["Circuit-INCLUDES-Neuron"], key=lambda r: (r["start"], Path(r["end"]).parent, r["rank"])
    )
    for one, two in itertools.pairwise(ranked):
        if one["start"] == two["start"] and Path(one["end"]).parent == Path(two["end"]).parent:
            assert one["score"] >= two["score"]
