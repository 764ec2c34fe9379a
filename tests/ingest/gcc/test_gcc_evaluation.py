"""The traversal reference, agreement, and figures about interventions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from atlas.schema import table
from atlas.spool.columns import check
from ingest.methods.ablation import ablated_logits
from ingest.methods.gcc import OverlapRows, query_circuits
from ingest.methods.gcc_agreement import _advantage, traversal_measures
from ingest.methods.gcc_evaluation import Judged, ablation_measures, edge_measures, measure_drops
from ingest.methods.gcc_flow import flows, groups
from ingest.methods.gcc_job import GccParameters
from ingest.methods.interventions import intervention_tables
from ingest.methods.measures import Resampling, measure_tables
from ingest.numerics.gcc import Thresholds
from ingest.numerics.stored_traversal import FlowIndex, Rule, agreement

PARAMETERS = GccParameters(flow_images=4, thresholds=Thresholds(flow_floor=0.05, candidate_mask=True))


def stored(layer, rows):
    source, target, sensitivity, overlap = (np.array(c) for c in zip(*rows, strict=True))
    return SimpleNamespace(
        layer=layer,
        source=source,
        target=target,
        sensitivity=sensitivity,
        overlap=overlap,
        identity=source == target,
    )


def masks(*widths):
    return [np.ones(width, bool) for width in widths]


def test_traversal_keeps_the_best_share_of_the_candidates_above_both_floors():
    rows = [(0, 0, 0.5, 0.9), (0, 1, 0.3, 0.2), (0, 2, 0.2, 0.9), (0, 3, 0.0, 0.9), (1, 1, 0.9, 0.9)]
    index = FlowIndex([stored(0, rows[::-1])])
    roots = [np.array([0]), np.array([], np.int64)]
    # Candidates of source 0 are 0, 1, 2: a score of zero is none. tau = max(.1, 2.0 / 4) = .5
    assert index.traverse(roots, masks(2, 4), Rule(share=1.0)) == {(0, 0, 0), (0, 0, 2)}
    assert index.traverse(roots, masks(2, 4), Rule(share=0.4)) == {(0, 0, 0)}
    assert index.traverse(roots, masks(2, 4), Rule(share=0.5, by="overlap")) == {(0, 0, 0), (0, 0, 2)}
    assert index.traverse(roots, masks(2, 4), Rule(share=1.0, floor=0.95)) == set()
    masked = [np.ones(2, bool), np.array([False, True, True, True])]
    assert index.traverse(roots, masked, Rule(share=0.5)) == set()
    assert index.identities() == {(0, 0, 0), (0, 1, 1)}
    assert index.holds({(0, 0, 0), (0, 1, 2)}) == 1


def test_traversal_goes_on_from_what_it_reached_and_skips_layers_without_edges():
    index = FlowIndex([stored(0, [(0, 2, 0.5, 0.9)]), stored(1, [(2, 1, 0.5, 0.9), (0, 0, 0.5, 0.9)])])
    roots = [np.array([0]), np.array([], np.int64), np.array([5]), np.array([], np.int64)]
    assert index.traverse(roots, masks(1, 3, 6, 6), Rule()) == {(0, 0, 2), (1, 2, 1)}


def test_agreement():
    both = agreement({(0, 1), (0, 2)}, {(0, 1), (0, 3), (0, 4)})
    assert (both.precision, both.recall, both.f1) == (0.5, pytest.approx(1 / 3), 0.4)
    none = agreement(set(), {(0, 1)})
    assert math.isnan(none.precision)
    assert (none.recall, none.f1) == (0.0, 0.0)
    assert math.isnan(agreement({(0, 1)}, set()).f1)


@pytest.fixture(scope="module")
def judged(residual):
    overlaps = OverlapRows(residual.lists)
    found = [
        query_circuits(residual.trace, residual.pairs(), overlaps, residual.query(i), PARAMETERS)
        for i in range(8)
    ]
    return [
        Judged(result, residual.images[i : i + 1], int(np.argmax(result.logits)))
        for i, result in enumerate(found)
    ]


@pytest.fixture(scope="module")
def resampling():
    return Resampling([(f"s{i // 2}",) for i in range(8)], draws=100)


def load(world):
    return lambda rows: iter([(list(rows), world.images[list(rows)])])


def by_name(measures):
    return {(m.metric, *sorted(m.settings.items())): m for m in measures}


def test_traversal_measures_beat_nothing_they_were_not_given(residual, judged, resampling):
    (group,) = groups(residual.pairs())
    kept = list(flows(residual.trace, group, residual.lists, load(residual), PARAMETERS))
    results = [one.result for one in judged]
    found = by_name(traversal_measures(kept, results, resampling, 0.05, shares=(0.05, 1.0)))
    recall = {
        k[-1][1]: m.value for k, m in found.items() if k[0] == "traversal_nodes_recall" and "sens" in str(k)
    }
    assert 0 <= recall[0.05] <= recall[1.0] <= 1
    assert found["exact_edges_absent",].value == 0.0
    gains = [m for k, m in found.items() if k[0].startswith("traversal_advantage")]
    assert len(gains) == 2
    assert all(m.low <= m.value <= m.high for m in gains)


def test_cap_of_the_store_shows_as_absent_edges(residual, judged, resampling):
    """With one target a source, the others of an exact circuit are missing and the atlas says so."""
    tight = GccParameters(flow_images=4, keep_sensitivity=1, keep_overlap=1.0, keep_most=1)
    (group,) = groups(residual.pairs())
    kept = list(flows(residual.trace, group, residual.lists, load(residual), tight))
    measures = by_name(traversal_measures(kept, [j.result for j in judged], resampling, 0.05, (0.05,)))
    edges = {(f.layer, s, t) for f in kept for s, t in zip(f.source.tolist(), f.target.tolist(), strict=True)}
    shares = [
        1 - len(j.result.edges.pairs() & edges) / len(j.result.edges) for j in judged if len(j.result.edges)
    ]
    absent = measures["exact_edges_absent",]
    assert absent.value == pytest.approx(np.mean(shares))
    assert absent.value > 0


def test_ablation_measures_are_means_of_measured_drops(residual, judged, resampling):
    cut = measure_drops(residual.trace, residual.layers, judged, draws=1)
    found = by_name(ablation_measures(cut, judged, resampling))
    drops = []
    for one in judged:
        nodes = set().union(*(c.members() for c in one.result.circuits), set())
        if not nodes:
            continue
        logits = ablated_logits(residual.trace, residual.layers, one.x, [0, 0], [(), nodes])
        drops.append(float(logits[0, one.output] - logits[1, one.output]))
    key = ("ablation_drop", ("kind", "circuit"), ("last_layer", True), ("scope", "union"))
    assert found[key].value == pytest.approx(np.mean(drops), rel=1e-4)
    assert found[key].n == len(drops)
    settings = (("last_layer", False), ("scope", "circuit"))
    cut = found["ablation_drop", ("kind", "circuit"), *settings].value
    assert found["ablation_minus_matched", *settings].value == pytest.approx(
        cut - found["ablation_drop", ("kind", "matched"), *settings].value
    )
    assert (
        found["ablation_share_cut", *settings].value
        <= found["ablation_share_cut", ("last_layer", True), settings[1]].value
    )


def test_edge_curves_start_and_end_where_they_must(residual, judged, resampling, monkeypatch):
    monkeypatch.setattr("ingest.methods.gcc_evaluation.CUTS", (0, 10_000))
    found = by_name(edge_measures(residual.trace, residual.pairs(), judged, resampling, 10**7))
    clean = np.mean([one.result.logits[one.output] for one in judged])

    def at(curve, order, k):
        return found[f"edge_{curve}_logit", ("k", k), ("order", order)].value

    for order in ("sensitivity", "overlap", "random", "outside"):
        assert at("deletion", order, 0) == pytest.approx(clean, rel=1e-5)
    assert at("insertion", "sensitivity", 10_000) == pytest.approx(clean, rel=1e-5)
    assert at("insertion", "random", 0) == pytest.approx(at("deletion", "overlap", 10_000), rel=1e-5)
    assert found["edge_deletion", ("k", 0), ("order", "random")].value == 1.0


def test_measures_become_evaluations(resampling):
    measures = [
        resampling.mean("a", np.arange(8.0), {"k": 1}),
        resampling.mean("a", np.full(8, np.nan), {"k": 2}),
        resampling.ratio("b", np.full(8, 6.0), np.full(8, 2.0), {}),
    ]
    tables = dict(measure_tables(measures, "r0", "r1"))
    assert tables["Evaluation"]["metric"] == ["a", "b"]
    assert tables["Evaluation"]["value"] == [3.5, 3.0]
    assert tables["Evaluation"]["settings"] == ['{"k":1}', "{}"]
    assert len(set(tables["Evaluation"]["id"])) == 2
    assert tables["Evaluation-OF-Run"]["end"] == ["r1", "r1"]


def test_interventions_say_what_each_class_lost(residual, judged, resampling):
    drops = measure_drops(residual.trace, residual.layers, judged, draws=1)
    classes = ["d/a" if i % 2 else "d/b" for i in range(7)] + [None]
    tables = dict(intervention_tables(drops, classes, resampling, "r0"))
    for name, columns in tables.items():
        for prop in table(name).columns:
            if prop.name in columns:
                check(name, prop, columns[prop.name])
    assert len(set(tables["Intervention"]["id"])) == 5 * 4
    changed = tables["Intervention-CHANGED-Class"]
    first = tables["Intervention"]["id"][0]
    row = list(zip(changed["start"], changed["end"], strict=True)).index((first, "d/a"))
    own = [d for d, c in zip(drops["union", True], classes, strict=True) if c == "d/a" and d is not None]
    assert changed["before"][row] == pytest.approx(np.mean([d.clean for d in own]))
    lost = np.mean([d.by_kind["circuit"] for d in own])
    assert changed["before"][row] - changed["after"][row] == pytest.approx(lost)
    assert changed["low"][row] <= -lost <= changed["high"][row]


def test_an_advantage_over_nothing_is_not_a_number() -> None:
    """Circuits without an edge have no F1; the means of none of them warn of nothing."""
    f1 = {
        ("edges", by, share): np.full(2, np.nan) for by in ("sensitivity", "overlap") for share in (0.1, 0.2)
    }
    found = _advantage("edges", f1, (0.1, 0.2), Resampling([("a",), ("b",)]))
    assert math.isnan(found.value)
