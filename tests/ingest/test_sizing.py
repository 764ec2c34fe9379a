"""Sizes from shapes alone: counts by hand, and what each parameter costs."""

from __future__ import annotations

from dataclasses import replace

from ingest import sizing
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gig_job import GigParameters
from ingest.sizing import Size

SIZE = Size(channels=(2, 3), images=10, lists=5, classes=2, queries=4)


def test_counts_by_hand() -> None:
    counts = sizing.relationships(SIZE)
    assert counts["ACTIVATED_BY"] == 5
    assert counts["ACTIVATES"] == 20
    assert counts["RESPONDS_TO"] == 10
    # Every pair of neurons, and of the 25 senses 20 targets each.
    assert counts["FLOWS_TO"] == 6 + 25 * 20
    assert counts["RESEMBLES"] == 25 * 10
    # Per class: 2 sources of 3 neurons, and 3 sources of 2 classes; the members of two circuits, at most all neurons.
    assert counts["ATTRIBUTES_TO"] == 2 * (6 + 4 * 6 // 2 + 6 + 6)
    assert counts["INCLUDES"] == 2 * 2 * 5
    assert SIZE.concepts == (1, 1)
    assert counts["CONTRIBUTES_TO"] == 2 * 2 * 21 * 32
    assert counts["ASSIGNED_TO"] == 5


def test_a_method_left_out_costs_nothing() -> None:
    least = sizing.relationships(replace(SIZE, methods=("gcc",)))
    assert set(least) == {"ACTIVATED_BY", "ACTIVATES", "RESPONDS_TO", "FLOWS_TO"}
    assert "Concept" not in sizing.nodes(replace(SIZE, methods=("gcc",)))
    assert sizing.circuits(replace(SIZE, methods=("cla",))) == {}


def test_a_dictionary_of_ones_own_decides_the_concepts() -> None:
    own = replace(SIZE, dictionary=(16, 24))
    assert sizing.nodes(own)["Concept"] == 40
    assert sizing.disk(own)["vectors"] > sizing.disk(SIZE)["vectors"]


def test_every_setting_that_prunes_makes_the_database_smaller() -> None:
    large = replace(SIZE, channels=(256, 512), classes=100, images=5000, lists=2500)
    for pruned in (
        replace(large, cla=ClaParameters(sources=8)),
        replace(large, gig=GigParameters(keep=16)),
        replace(large, gig=GigParameters(express=5)),
        replace(large, queries=2),
    ):
        assert sizing.total(sizing.disk(pruned)) < sizing.total(sizing.disk(large))
        assert sizing.load_seconds(pruned) < sizing.load_seconds(large)


def test_bytes_follow_neo4js_records() -> None:
    # value, x, y: two blocks each; rank: one; the run's id: two. Nine blocks are three property records.
    assert sizing.relationship_bytes("ACTIVATED_BY") == 34 + 3 * 41
