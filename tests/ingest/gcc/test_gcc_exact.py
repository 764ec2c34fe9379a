"""Exact circuits against the literal implementation: values within 1e-6, edge sets identical."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models import VisionTransformer

from ingest.methods.gcc import OverlapRows, query_circuits, sensitivities
from ingest.methods.gcc_job import GccParameters
from ingest.methods.pairs import clean_values, identity_path
from ingest.numerics.gcc import Thresholds
from ingest.numerics.sensitivity import normalised, without_self


def found(world, index, parameters):
    return query_circuits(
        world.trace, world.pairs(), OverlapRows(world.lists), world.query(index), parameters
    )


def compare(world, truth, index, parameters):
    """One query: circuits, roots, edges and scores equal; the number of edges."""
    ours = {c.root: c for c in found(world, index, parameters).circuits}
    theirs = truth.circuits()
    assert ours.keys() == theirs.keys()
    for root, (edges, merged) in theirs.items():
        circuit = ours[root]
        assert circuit.edges.pairs() == edges.keys()
        assert len(circuit.edges) == len(edges)
        assert (circuit.merged_into is not None) == merged
        assert circuit.members() == {root} | {(a + 1, t) for a, _, t in edges}
        columns = (circuit.edges.layer, circuit.edges.source, circuit.edges.target)
        scores = [edges[key] for key in zip(*(c.tolist() for c in columns), strict=True)]
        np.testing.assert_allclose(circuit.edges.sensitivity, [s for s, _ in scores], atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(circuit.edges.overlap, [f for _, f in scores], atol=1e-12)
    return sum(len(edges) for edges, _ in theirs.values())


@pytest.mark.parametrize("index", range(3))
def test_residual_network_equals_the_literal_method(residual, literal, index):
    parameters = GccParameters(chunk_bytes=60_000)
    compare(residual, literal(residual, index), index, parameters)


def test_residual_network_has_something_to_compare(residual, literal):
    parameters = GccParameters(thresholds=Thresholds(flow_floor=0.0, candidate_mask=False))
    edges = sum(
        compare(residual, literal(residual, i, floor=0.0, masked=False), i, parameters) for i in range(3)
    )
    assert edges > 30


@pytest.mark.parametrize("index", [0, 5])
def test_wide_layer_equals_the_literal_method(wide, literal, index):
    """1,024 targets: the fit runs on dozens of exceedances."""
    parameters = GccParameters()
    truth = literal(wide, index)
    result = found(wide, index, parameters)
    assert compare(wide, truth, index, parameters) > 50
    assert result.sources >= 4
    assert result.fallbacks == 0
    circuit = result.circuits[0]
    e = circuit.edges
    keys = zip(e.layer.tolist(), e.source.tolist(), strict=True)
    raw = [truth.raw[layer, c][t] for (layer, c), t in zip(keys, e.target.tolist(), strict=True)]
    np.testing.assert_allclose(e.raw, raw, atol=1e-6)


def test_vision_transformer_equals_the_literal_method(make_world, literal):
    torch.manual_seed(0)
    sizes = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 48}
    module = VisionTransformer(image_size=16, patch_size=8, num_classes=4, **sizes)
    module = module.double().eval().requires_grad_(False)
    torch.nn.init.normal_(module.heads.head.weight)
    images = torch.randn(40, 3, 16, 16, dtype=torch.float64)
    world = make_world(module, images, None, (0.2, 0.7))
    assert [layer.channels for layer in world.layers] == [48, 48, 48]
    assert not any(pair.identity for pair in world.pairs())
    assert all(pair.segment.frozen for pair in world.pairs())
    parameters = GccParameters(thresholds=Thresholds(flow_floor=0.0))
    assert sum(compare(world, literal(world, i, floor=0.0), i, parameters) for i in range(3)) > 0


def test_all_sensitivities_of_a_pair_equal_the_literal_ones(residual, literal):
    truth = literal(residual, 3)
    clean = clean_values(residual.trace, residual.layers, residual.pairs(), residual.query(3).x)
    for layer, pair in enumerate(residual.pairs()):
        channels = np.arange(pair.source.channels)
        raw = sensitivities(pair, clean, np.zeros_like(channels), channels, 100_000)
        expected = np.array([truth.sensitivities(layer, c) for c in channels])
        np.testing.assert_allclose(normalised(raw), np.nan_to_num(expected), atol=1e-9)
        assert ((normalised(raw) == 0) == (np.nan_to_num(expected) == 0)).all()


def test_rows_of_several_images_equal_rows_of_one(residual):
    """The data-set pass mixes images in one batch."""
    pair = residual.pairs()[1]
    clean = clean_values(residual.trace, residual.layers, residual.pairs(), residual.images[:5])
    images = np.array([4, 0, 0, 2, 4, 1, 3])
    channels = np.array([1, 1, 7, 3, 20, 0, 5])
    together = sensitivities(pair, clean, images, channels, 200_000)
    for row, (i, c) in enumerate(zip(images, channels, strict=True)):
        one = clean_values(residual.trace, residual.layers, residual.pairs(), residual.images[i : i + 1])
        alone = sensitivities(pair, one, np.zeros(1, np.int64), np.array([c]), 10**9)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-12)


def test_identity_edges_are_the_shortcut_of_equal_blocks(residual):
    assert [pair.identity for pair in residual.pairs()] == [True, False, True]
    a, b = residual.layers[:2]
    assert not identity_path(residual.trace, a, replace(b, channels=7))


def test_identity_edges_are_flagged_and_left_out_of_alone(residual):
    parameters = GccParameters(thresholds=Thresholds(flow_floor=0.0, candidate_mask=False))
    edges = found(residual, 0, parameters).edges
    assert edges.identity.any()
    np.testing.assert_array_equal(
        edges.identity, (edges.source == edges.target) & np.isin(edges.layer, [0, 2])
    )
    np.testing.assert_array_equal(edges.alone[edges.identity], edges.sensitivity[edges.identity])
    np.testing.assert_array_equal(edges.alone[edges.layer == 1], edges.sensitivity[edges.layer == 1])


def test_alone_is_the_sensitivity_over_the_other_targets():
    raw = np.array([[3.0, 1.0, 0.0], [2.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    expected = [[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(without_self(raw, np.array([0, 1, 2])), expected)


def test_chunks_do_not_change_the_answer(residual):
    small, large = (found(residual, 1, GccParameters(chunk_bytes=b)) for b in (1, 10**9))
    assert small.edges.pairs() == large.edges.pairs()
    np.testing.assert_allclose(small.edges.sensitivity, large.edges.sensitivity, rtol=1e-12)
