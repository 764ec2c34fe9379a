"""The planted network through a whole job: its concepts, the shared one, and what the graph will hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas.spool import Spool
from ingest.demo.planted_concepts import CLASSES, LAYERS, MEMBERS, SHARED, S, directions, write_images
from ingest.job import IngestSpec, prepare
from ingest.methods.gig_job import GigParameters
from ingest.methods.gig_stage import GigStage
from ingest.methods.stage import Stage
from ingest.models import ModelSpec
from ingest.plan import Folders, Result, run

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Found:
    """A finished job, its stage, and its spool's tables as rows."""

    stage: GigStage
    tables: dict[str, Rows]
    result: Result
    facts: dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return job(tmp_path_factory.mktemp("planted"), GigParameters())


def job(home: Path, gig: GigParameters) -> Found:
    torch.set_num_threads(1)
    write_images(home / "images")
    spec = IngestSpec(
        model=ModelSpec("ingest.demo.planted_concepts:concepts"),
        data=home / "images",
        layers=",".join(LAYERS),
        methods=("gig",),
        queries="6",
        workers=1,
        gig=gig,
    )
    prepared = prepare(spec)
    result = run(prepared, Folders(home / "work", home / "spools", home / "media"), lambda *_: None)
    spool = Spool.open(result.spools[-1])
    tables = {
        item.name: [
            dict(zip([c.name for c in item.columns], row, strict=True))
            for batch in spool.batches(item)
            for row in batch
        ]
        for item in spool.tables()
    }
    return Found(GigStage(prepared, result.store), tables, result, dict(spool.run.facts))


def nearest_object(found: Found) -> dict[str, int]:
    """Concept of the first layer → the object whose direction it is, by its stored vector."""
    v = directions()
    first = [row for row in found.tables["Concept"] if f"/{LAYERS[0]}/" in row["id"]]
    return {row["id"]: int((v @ np.array(row["vector"])).argmax()) for row in first}


def test_the_stage_is_one(found):
    stage: Stage = found.stage
    assert stage.queries


def test_planted_directions_are_recovered(found):
    vectors = np.array([r["vector"] for r in found.tables["Concept"] if f"/{LAYERS[0]}/" in r["id"]])
    wanted = directions()[sorted({j for members in MEMBERS.values() for j in members})]
    cosine = vectors @ wanted.T
    assert cosine.max(axis=0).min() >= 0.99
    assert cosine.max(axis=1).min() >= 0.99  # and no concept is a mixture, or the bystander
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_what_two_classes_share_is_the_planted_concept(found):
    objects = nearest_object(found)
    strong: dict[str, set[int]] = {}
    for row in found.tables["Concept-CONTRIBUTES_TO-Class"]:
        if row["start"] in objects and row["share"] > 0.05:
            strong.setdefault(row["end"].split("/")[-1], set()).add(objects[row["start"]])
    assert strong == {label: set(members) for label, members in MEMBERS.items()}
    assert strong["a"] & strong["b"] == {SHARED}
    assert not (strong["a"] | strong["b"]) & strong["c"]


def test_shares_of_a_target_are_over_all_its_sources(found):
    for row in found.tables["Concept-CONTRIBUTES_TO-Class"]:
        assert row["hops"] == len(LAYERS) - LAYERS.index(row["start"].split("/")[1])
    for table in ("Concept-CONTRIBUTES_TO-Class", "Concept-CONTRIBUTES_TO-Concept"):
        totals: dict[tuple[str, str, str], float] = {}
        for row in found.tables[table]:
            key = (row["end"], row["scope"], row["start"].split("/")[1])
            totals[key] = totals.get(key, 0.0) + abs(row["share"])
            assert row["n"] == 10
        assert list(totals.values()) == pytest.approx([1.0] * len(totals))


def test_a_concept_is_built_from_its_own_object(found):
    objects = nearest_object(found)
    second = {
        row["id"]: int(np.argmax(row["vector"]))
        for row in found.tables["Concept"]
        if f"/{LAYERS[1]}/" in row["id"]
    }
    for row in found.tables["Concept-CONTRIBUTES_TO-Concept"]:
        if row["rank_in"] == 1:
            assert objects[row["start"]] == second[row["end"]]


def test_logits_are_what_concepts_add_up_to(found):
    """The network is linear where its rectifiers are open, and its codes leave out 6 %."""
    stage = found.stage
    scope = stage.scopes[0]
    (x,) = [x for _, x in stage.batches(scope.rows)]
    clean = stage.explainer.clean(x, [(0, None)])
    codes = stage.explainer.decompose(0, clean[stage.spaces[0].node])
    scores = stage.explainer.to_outputs(codes, [0], clean)
    assert float(scores.error.max()) < 1e-5
    assert scores.scores[:, 0].sum(1).numpy() == pytest.approx(clean["output"][:, 0].numpy(), rel=0.15)


def test_an_image_is_expressed_in_its_own_objects(found):
    objects = nearest_object(found)
    v = {row["start"]: set() for row in found.tables["Image-EXPRESSES-Concept"]}
    for row in found.tables["Image-EXPRESSES-Concept"]:
        if row["end"] in objects and row["u"] > 0.15:
            v[row["start"]].add(objects[row["end"]])
    rows = {image: n for n, image in enumerate(found.result.store.ids)}
    labels = found.stage._prepared.subject.labels
    for image, own in v.items():
        assert own == set(MEMBERS[CLASSES[labels[rows[image]]]])


def test_exemplars_show_the_object_where_it_is(found):
    objects = nearest_object(found)
    shown = [row for row in found.tables["Concept-EXEMPLIFIED_BY-Image"] if row["start"] in objects]
    labels = {
        image: found.stage._prepared.subject.labels[n] for n, image in enumerate(found.result.store.ids)
    }
    for row in shown:
        if objects[row["start"]] == S and row["rank"] <= 3:
            assert CLASSES[labels[row["end"]]] in ("a", "b")
            assert row["similarity"] > 0.99
        assert row["x"] % 2 == 1
        assert row["y"] % 2 == 1
    assert {row["rank"] for row in shown} == set(range(1, 11))


def test_only_list_images_make_concepts(found):
    judging = found.stage._prepared.subject.judging
    assert not judging[found.stage.vectors(0).rows].any()
    listed = {image for n, image in enumerate(found.result.store.ids) if not judging[n]}
    assert {row["end"] for row in found.tables["Concept-EXEMPLIFIED_BY-Image"]} <= listed
    assert {row["end"] for row in found.tables["ImageSet-HOLDS-Image"]} <= listed


def test_facts_tell_how_complete_and_how_sampled(found):
    listed = int((~found.stage._prepared.subject.judging).sum())
    assert found.facts["vectors"] == listed * len(LAYERS)
    assert found.facts["fallback_vectors"] == 0
    assert found.facts["completeness_error"] < 1e-4
    assert found.facts["remarks"] == []


def test_dictionaries_come_back_without_their_files(found):
    before = [dictionary.v.clone() for dictionary in found.stage.dictionaries]
    for file in found.stage.folder.iterdir():
        file.unlink()
    again = GigStage(found.stage._prepared, found.result.store)
    assert all(torch.equal(a, b.v) for a, b in zip(before, again.dictionaries, strict=True))


def test_another_dictionary_has_other_addresses(tmp_path):
    other = job(tmp_path, GigParameters(dictionary="gaussian", concepts=4, images_per_class=2, steps=2))
    names = {row["id"].rsplit("/", 1)[-1] for row in other.tables["Concept"]}
    assert names == {f"gaussian.c{n}" for n in range(4)}
    assert {row["id"].rsplit("/", 1)[-1] for row in other.tables["Dictionary"]} == {"gaussian"}
    assert {row["n"] for row in other.tables["Concept-CONTRIBUTES_TO-Class"]} == {2}
