"""The evaluation: related classes overlap more, prunings hit their own class, and the figures are a run."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from atlas.errors import DataError
from atlas.spool import Spool
from ingest.demo import planted
from ingest.demo.planted_circuit import LAYERS
from ingest.evaluation import evaluation_of
from ingest.job import IngestSpec, Sides, prepare
from ingest.methods.cla_curves import partners
from ingest.methods.cla_job import ClaParameters
from ingest.methods.cla_overlap import parts_of, random_groups, relation, sweep_of_k
from ingest.methods.cla_stage import ClaStage
from ingest.models import ModelSpec
from ingest.plan import Folders, activations
from ingest.reopen import Opened


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Opened, Folders]:
    home = tmp_path_factory.mktemp("evaluate")
    planted.write_images(home / "images")
    (home / "related.json").write_text(json.dumps({"a": ["x"], "b": ["x", "y"], "c": ["z"]}))
    cla = ClaParameters(k=2, images_per_scope=0, screen=True, related=str(home / "related.json"))
    spec = IngestSpec(
        model=ModelSpec("ingest.demo.planted_circuit:circuits"),
        data=home / "images",
        layers=",".join(LAYERS),
        sides=Sides(judge_share=0.5),
        cla=cla,
    )
    prepared = prepare(spec)
    folders = Folders(home / "work", home / "spools", home / "media")
    store = activations(prepared, folders, lambda *_: None)
    return Opened(prepared, store, ClaStage(prepared, store)), folders


@pytest.fixture(scope="module")
def figures(opened: tuple[Opened, Folders]) -> list[dict[str, Any]]:
    own, folders = opened
    path = evaluation_of("cla")(own, "r0123456789", 12, folders, lambda *_: None)
    spool = Spool.open(path)
    table = next(t for t in spool.tables() if t.name == "Evaluation")
    names = [column.name for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for batch in spool.batches(table) for row in batch]
    return [{**row, **json.loads(row["settings"])} for row in rows]


def one(figures: list[dict[str, Any]], metric: str, **settings: Any) -> float:
    found = [f for f in figures if f["metric"] == metric and all(f.get(k) == v for k, v in settings.items())]
    assert len(found) == 1, (metric, settings, found)
    return float(found[0]["value"])


def test_planted_circuits_share_nothing_and_hold_still(figures) -> None:
    """At k = 2 the circuits are the planted ones, which are disjoint, on either half of the images."""
    for source in ("raw", "contrastive"):
        assert one(figures, "circuit_jaccard", source=source, k=2, layers="all", pairs="related") == 0
        assert one(figures, "circuit_stability", source=source, k=2, **{"with": "same_class"}) == 1
        assert one(figures, "circuit_stability", source=source, k=2, **{"with": "other_class"}) == 0
    for source in ("raw of random groups", "weights", "contrastive traced from the logit"):
        one(figures, "circuit_overlap_auroc", source=source, k=2, layers="all")
    one(figures, "circuit_jaccard", source="random", k=2)


def test_pruning_takes_the_whole_logit_of_its_own_class_and_little_of_others(figures) -> None:
    def lost(on: str, kind: str, source: str) -> float:
        return one(figures, "pruned_logit_drop", on=on, kind=kind, source=source, k=2)

    whole = lost("target", "zero", "contrastive")
    assert whole > 0
    assert abs(lost("unrelated", "zero", "contrastive")) < 1e-6
    assert 0 < lost("target", "circuit", "contrastive") <= whole
    assert one(figures, "pruned_accuracy_drop", on="target", kind="zero", source="raw", k=2) == 1


def test_screening_is_exact_on_a_network_that_is_linear(figures) -> None:
    assert one(figures, "screening_spearman", edges="pooled") == pytest.approx(1, abs=0.05)


def test_parts_partners_and_groups() -> None:
    parts = parts_of("-", ["0-1", "1-2", "3-4"])
    related = relation(parts)
    assert related.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert parts_of("", ["x-y"]) == [frozenset({"x-y"})]
    found = partners(related)
    assert found["target"] == (0, 1, 2)
    assert found["unrelated"] == (2, 2, 0)
    assert "related" not in found, "a class without kin leaves the whole comparison out"
    dealt = random_groups([[1, 2], [3, 4, 5]], 0)
    assert [len(group) for group in dealt] == [2, 3]
    assert sorted(row for group in dealt for row in group) == [1, 2, 3, 4, 5]
    assert sweep_of_k((8, 40)) == (1, 2, 4, 8, 16)
    assert sweep_of_k((4096,))[-1] == 256
    with pytest.raises(DataError, match="what classes are made of"):
        parts_of("missing.json", ["a"])


def test_one_class_is_refused(opened: tuple[Opened, Folders]) -> None:
    own, folders = opened
    spec = dataclasses.replace(
        own.prepared.spec, cla=dataclasses.replace(own.prepared.spec.cla, scopes="all")
    )
    alone = dataclasses.replace(own, prepared=dataclasses.replace(own.prepared, spec=spec))
    with pytest.raises(DataError, match="circuits of classes are compared"):
        evaluation_of("cla")(alone, "r0123456789", 4, folders, lambda *_: None)
