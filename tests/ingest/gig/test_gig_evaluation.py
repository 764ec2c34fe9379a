"""The paper's tables on planted concepts: what is measured, and that ours, which knows the objects, is ahead."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from atlas.errors import DataError
from atlas.spool import Spool
from ingest import evaluation_gig
from ingest.evaluation import evaluation_of
from ingest.evaluation_gig import layer_pairs
from ingest.methods.concept_curves import Areas
from ingest.methods.concept_figures import Table, fidelity, pair_measures, summary
from ingest.methods.concept_places import place_measures, shared_concepts
from ingest.methods.measures import Resampling
from ingest.numerics import alternative_dictionaries
from ingest.numerics.sae import SaeTraining

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(planted_job: Any) -> Rows:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternative_dictionaries, "TRAINING", SaeTraining(steps=30))
        patch.setattr(evaluation_gig, "EFFORT", evaluation_gig.Effort(points=6, steps=4))
        assert evaluation_of("gig") is evaluation_gig.evaluate
        spool = Spool.open(
            evaluation_gig.evaluate(
                planted_job.opened, planted_job.run, 4, planted_job.folders, lambda *_: None
            )
        )
    assert spool.run.requires == (planted_job.run,)
    plot = planted_job.folders.media / str(spool.run.facts["plot"])
    picture = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 2 * 2 * 5
    points = [tuple(map(float, point.split(","))) for point in lines[0].attrib["points"].split()]
    assert len(points) == 11
    curves = json.loads(plot.with_suffix(".json").read_text(encoding="utf-8"))
    assert points[-1][1] == pytest.approx(120 * (1 - curves["block1"]["ours"][0][-1]), abs=0.1)
    table = next(table for table in spool.tables() if table.name == "Evaluation")
    columns = [column.name for column in table.columns]
    found = [dict(zip(columns, row, strict=True)) for batch in spool.batches(table) for row in batch]
    return [{**row, "settings": json.loads(row["settings"])} for row in found]


def value(rows: Rows, metric: str, **settings: Any) -> float:
    found = [r for r in rows if r["metric"] == metric and settings.items() <= r["settings"].items()]
    assert len(found) == 1, (metric, settings, len(found))
    return float(found[0]["value"])


def test_every_layer_and_dictionary_is_measured(rows: Rows) -> None:
    count = Counter(row["metric"] for row in rows)
    layers, dictionaries = 2, 5
    assert count["rel_l2"] == count["l0"] == layers * dictionaries * 2
    assert count["c_insertion"] == count["c_deletion"] == count["c_fidelity"] == layers * dictionaries * 2
    assert count["c_fidelity_gain"] == layers * (dictionaries - 1) * 2
    assert count["inter_fidelity"] == 3 * 2
    assert count["layers_ahead"] == 2
    assert "shared_digit_mass" not in count


def test_figures_are_what_they_are_called(rows: Rows) -> None:
    for layer in ("block1", "block2"):
        for name in ("ours", "learned", "sae", "random_exemplars", "gaussian"):
            for over in ("all", "active"):
                own = {"layer": layer, "dictionary": name, "over": over}
                put_in, left = (value(rows, f"c_{kind}", **own) for kind in ("insertion", "deletion"))
                assert value(rows, "c_fidelity", **own) == pytest.approx(put_in - left)
                assert 0 <= left <= 1
                assert 0 <= put_in <= 1
    ours = value(rows, "rel_l2", layer="block1", dictionary="ours", positions="sampled")
    chance = value(rows, "rel_l2", layer="block1", dictionary="gaussian", positions="sampled")
    assert ours < 0.5 < chance
    gain = value(rows, "rel_l2_gain", layer="block1", against="gaussian", positions="sampled")
    assert gain == pytest.approx(chance - ours)
    assert value(rows, "c_fidelity", layer="block1", dictionary="ours", over="active") > 0.2


def test_the_pairs_that_are_named_are_those_that_are_judged(planted_job: Any) -> None:
    stage = planted_job.opened.stage
    names = [own.space.layer.name for own in stage.dictionaries]
    assert layer_pairs(stage, ()) == ((0, 1),)
    assert layer_pairs(stage, [(names[0], names[1])]) == ((0, 1),)
    with pytest.raises(DataError, match="no dictionary of this layer: nowhere"):
        layer_pairs(stage, [("nowhere", names[1])])
    with pytest.raises(DataError, match=f"no path .*: {names[1]}:{names[0]}"):
        layer_pairs(stage, [(names[1], names[0])])


def one(insertion: float, deletion: float) -> Areas:
    empty = np.zeros(11)
    return Areas(insertion, deletion, insertion, deletion, empty, empty)


def test_layers_ahead_counts_layers_above_both_baselines() -> None:
    table = Table()
    values = {"ours": (0.9, 0.5), "learned": (0.6, 0.7), "sae": (0.2, 0.4)}
    for name, areas in values.items():
        for layer, insertion in zip(("a", "b"), areas, strict=True):
            table.curves[layer, name] = [one(insertion, 0.1), one(insertion, 0.0)]
    found = {m.settings["over"]: m.value for m in summary(table) if m.metric == "layers_ahead"}
    assert found == {"all": 0.5, "active": 0.5}
    assert fidelity(one(0.9, 0.25), "all") == 0.65


def test_targets_that_cannot_be_judged_are_left_out() -> None:
    images = [[one(1.0, 0.5), None], [None, None], [one(0.5, 0.25), one(0.0, 0.25)]]
    worse = [[one(0.5, 0.5), None], [None, None], [one(0.5, 0.5), one(0.0, 0.25)]]
    measures = pair_measures(
        {("a", "b", "gig"): images, ("a", "b", "random"): worse}, Resampling([("x",), ("y",), ("z",)])
    )
    found = {
        (m.metric, m.settings["order"]): m
        for m in measures
        if m.settings.get("order") and m.settings["over"] == "all"
    }
    assert found["inter_insertion", "gig"].value == pytest.approx((1.0 + 0.25) / 2)
    assert found["inter_insertion", "gig"].n == 2
    gains = [m.value for m in measures if m.metric == "inter_fidelity_gain"]
    assert gains == [pytest.approx(((0.5 - 0.0) + (0.0 - (-0.125))) / 2)] * 2


def test_shared_concepts_of_classes_with_one_digit_in_common() -> None:
    digits = {"0-1": (0, 1), "0-2": (0, 2), "3-4": (3, 4)}
    shares = {
        "0-1": np.array([0.5, 0.1, -0.4, 0.2]),
        "0-2": np.array([0.3, 0.25, 0.4, -0.1]),
        "3-4": np.array([0.0, 0.0, 1.0, 0.0]),
    }
    (meeting,) = shared_concepts(digits, shares)
    assert (meeting.classes, meeting.digit, meeting.concepts) == (("0-1", "0-2"), 0, (0, 1))


def test_other_images_have_no_digits(planted_job: Any) -> None:
    torch.manual_seed(0)
    assert place_measures(planted_job.opened.stage, planted_job.opened.prepared, lambda *_: None) == []
