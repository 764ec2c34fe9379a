"""Tables of circuits and flow: accepted by the spool's own checks, and saying what the circuits say."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.address import Root
from atlas.schema import table
from atlas.spool import Coded
from atlas.spool.columns import check
from ingest.methods.gcc import OverlapRows, query_circuits
from ingest.methods.gcc_flow import flows, groups
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gcc_tables import Naming, circuit_tables, exemplars, flow_table, member_scores
from ingest.methods.survey import Subject
from ingest.numerics.gcc import Thresholds

PARAMETERS = GccParameters(flow_images=3, exemplars=4, thresholds=Thresholds(flow_floor=0.0))


def plain(values):
    return [values.names[i] for i in values.codes] if isinstance(values, Coded) else list(values)


@pytest.fixture(scope="module")
def naming(residual):
    count = len(residual.images)
    subject = Subject(Root("tiny", "0" * 8), "d", "0" * 64, (), (), (None,) * count, np.zeros(count, bool))
    return Naming(subject, residual.layers, "r0123456789", [f"i{k:05d}" for k in range(count)])


@pytest.fixture(scope="module")
def result(residual):
    overlaps = OverlapRows(residual.lists)
    return query_circuits(residual.trace, residual.pairs(), overlaps, residual.query(2), PARAMETERS)


@pytest.fixture(scope="module")
def tables(naming, result, residual):
    drops = {c.root: 0.5 for c in result.circuits if c.merged_into is None}
    found = {}
    for name, columns in circuit_tables(naming, result, residual.lists, PARAMETERS, drops):
        for prop in table(name).columns:
            if prop.name in columns:
                check(name, prop, columns[prop.name])
        for column, values in columns.items():
            found.setdefault(name, {}).setdefault(column, []).extend(plain(values))
    return found


def test_every_circuit_has_its_row_and_its_image(tables, result):
    circuit = tables["Circuit"]
    assert len(circuit["id"]) == len(set(circuit["id"])) == len(result.circuits) > 2
    assert circuit["edges"] == [len(c.edges) for c in result.circuits]
    assert circuit["size"] == [len(c.nodes) for c in result.circuits]
    assert set(tables["Circuit-EXPLAINS-Image"]["end"]) == {"i00002"}
    assert tables["Run-WROTE-Circuit"]["end"] == circuit["id"]
    assert all(len(c) == 12 for c in circuit["id"])


def test_edges_are_those_of_circuits_of_their_own(tables, result, naming):
    drives = tables["Neuron-DRIVES-Neuron"]
    rows = set(zip(drives["circuit"], drives["start"], drives["end"], strict=True))
    expected = {
        (naming.circuit("i00002", c.root), naming.neuron((a, s)), naming.neuron((a + 1, t)))
        for c in result.circuits
        if c.merged_into is None
        for a, s, t in c.edges.pairs()
    }
    assert rows == expected
    assert len(rows) == len(drives["start"])


def test_merged_circuits_keep_root_and_holder(tables, result, naming):
    merged = [c for c in result.circuits if c.merged_into is not None]
    assert merged
    links = tables["Circuit-MERGED_INTO-Circuit"]
    assert list(zip(links["start"], links["end"], strict=True)) == [
        (naming.circuit("i00002", c.root), naming.circuit("i00002", c.merged_into)) for c in merged
    ]
    includes = tables["Circuit-INCLUDES-Neuron"]
    for circuit in merged:
        own = [
            (end, role)
            for start, end, role in zip(includes["start"], includes["end"], includes["role"], strict=True)
            if start == naming.circuit("i00002", circuit.root)
        ]
        assert own == [(naming.neuron(circuit.root), "root")]


def test_members_are_ranked_by_what_they_carry_of_the_root(result):
    circuit = max(result.circuits, key=lambda c: len(c.edges))
    scores = member_scores(circuit)
    e = circuit.edges
    carried = {circuit.root: 1.0}
    for layer in range(4):
        for s, t, a, value in zip(e.source, e.target, e.layer, e.sensitivity, strict=True):
            if a == layer:
                key = (layer + 1, int(t))
                carried[key] = carried.get(key, 0.0) + carried[layer, int(s)] * value
    np.testing.assert_allclose(scores, [carried[a, c] for a, c in circuit.nodes.tolist()])


def test_exemplars_are_held_by_most_neurons_and_never_the_query(result, residual, naming):
    circuit = max(result.circuits, key=lambda c: len(c.nodes))
    rows, shares = exemplars(circuit, residual.lists, naming.images, 4)
    held = dict.fromkeys(range(len(naming.images)), 0)
    for layer, channel in circuit.nodes.tolist():
        for row in residual.lists.roots[layer].indices[channel].tolist():
            held[row] += 1
    del held[2]
    best = sorted((row for row in held if held[row] > 1), key=lambda row: (-held[row], row))[:4]
    assert rows.tolist() == best
    np.testing.assert_allclose(shares, [held[row] / len(circuit.nodes) for row in best])


def test_flow_table_fits_the_schema(residual, naming):
    load = lambda rows: iter([(list(rows), residual.images[list(rows)])])  # noqa: E731
    (group,) = groups(residual.pairs())
    for flow in flows(residual.trace, group, residual.lists, load, PARAMETERS):
        name, columns = flow_table(naming, flow)
        declared = {prop.name: prop for prop in table(name).columns}
        assert set(declared) == set(columns)
        for column, values in columns.items():
            check(name, declared[column], values)


def test_parameters_are_flat_and_hold_no_memory_settings():
    parameters = GccParameters().to_dict()
    assert parameters["pot_percentile"] == 90.0
    assert parameters["flow_floor"] == 0.1
    assert (parameters["root_share"], parameters["mask_share"]) == (0.01, 0.10)
    assert "chunk_bytes" not in parameters
