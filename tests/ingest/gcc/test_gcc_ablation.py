"""Interventions against forward hooks on the module itself, and what the controls promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import VisionTransformer

from atlas.errors import DataError
from ingest.methods.ablation import ablated_logits, circuit_drops, controls, target_weights
from ingest.methods.edge_cuts import cut_logits
from ingest.numerics.resampling import draw_weights, interval


def hooked(world, x, edits):
    """Logits of x with edits layer -> function of (value), by hooks."""
    modules = dict(world.module.named_modules())
    handles = [
        modules[world.layers[layer].name].register_forward_hook(lambda _m, _i, out, f=f: f(out.clone()))
        for layer, f in edits.items()
    ]
    try:
        return world.module(x)
    finally:
        for handle in handles:
            handle.remove()


def zero(axis, channels):
    def edit(value):
        value.movedim(axis, 1)[:, channels] = 0
        return value

    return edit


@pytest.fixture(scope="module")
def transformer(make_world):
    torch.manual_seed(1)
    sizes = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24}
    module = VisionTransformer(image_size=16, patch_size=8, num_classes=4, **sizes)
    module = module.double().eval().requires_grad_(False)
    torch.nn.init.normal_(module.heads.head.weight)
    torch.nn.init.normal_(module.heads.head.bias)
    return make_world(module, torch.randn(12, 3, 16, 16, dtype=torch.float64), None, (0.3, 0.7))


@pytest.mark.parametrize("which", ["residual", "transformer"])
def test_ablation_of_several_layers_equals_hooks(which, request):
    world = request.getfixturevalue(which)
    cuts = [{(0, 3), (1, 5), (1, 0), (2, 7)}, set(), {(2, 1)}]
    rows = [4, 0, 4]
    ours = ablated_logits(world.trace, world.layers, world.images, rows, cuts, batch=2)
    for row, cut, logits in zip(rows, cuts, ours, strict=True):
        edits = {
            layer: zero(world.layers[layer].channel_axis, [c for at, c in cut if at == layer])
            for layer in {at for at, _ in cut}
        }
        expected = hooked(world, world.images[row : row + 1], edits)[0]
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(ours[0], ours[2])


def literal_edge_cut(world, x, edges):
    """Layer by layer: each target's value from a run with its cut sources (and all earlier cuts) in place."""
    done = {}
    for layer in range(len(world.layers) - 1):
        replaced = {}
        for target in sorted({t for at, _, t in edges if at == layer}):
            sources = [c for at, c, t in edges if (at, t) == (layer, target)]
            before = done.get(layer, lambda v: v)
            seen = []

            def watch(value, seen=seen):
                seen.append(value.clone())
                return value

            axis = world.layers[layer].channel_axis
            change = {layer: lambda v, b=before, s=sources, a=axis: zero(a, s)(b(v)), layer + 1: watch}
            hooked(world, x, {**{k: f for k, f in done.items() if k < layer}, **change})
            replaced[target] = seen[0].movedim(world.layers[layer + 1].channel_axis, 1)[0, target]

        def put(value, replaced=replaced, axis=world.layers[layer + 1].channel_axis):
            for target, own in replaced.items():
                value.movedim(axis, 1)[0, target] = own
            return value

        if replaced:
            done[layer + 1] = put
    return hooked(world, x, done)[0]


@pytest.mark.parametrize("which", ["residual", "transformer"])
def test_edge_cuts_equal_hooks(which, request):
    world = request.getfixturevalue(which)
    x = world.images[2:3]
    cuts = [{(0, 1, 1)}, {(0, 1, 1), (0, 2, 1), (1, 1, 3), (0, 5, 4)}, set(), {(1, 3, 2)}]
    ours = cut_logits(world.trace, world.pairs(), x, cuts, 100_000)
    for cut, logits in zip(cuts, ours, strict=True):
        np.testing.assert_allclose(logits, literal_edge_cut(world, x, cut), rtol=1e-5, atol=1e-6)
    small = cut_logits(world.trace, world.pairs(), x, cuts, 1)
    np.testing.assert_allclose(ours, small, rtol=1e-5)


def test_cutting_all_edges_into_a_target_differs_from_cutting_none(residual):
    x = residual.images[:1]
    edges = {(0, c, 2) for c in range(residual.layers[0].channels)}
    none, cut = cut_logits(residual.trace, residual.pairs(), x, [set(), edges], 10**7)
    assert np.abs(none - cut).max() > 1e-4


def test_controls_take_the_same_number_per_layer():
    rng = np.random.default_rng(0)
    activations = [rng.random(20).astype(np.float32), rng.random(10).astype(np.float32)]
    nodes = {(0, 1), (0, 2), (0, 19), (1, 4)}
    found = controls(nodes, activations, draws=3, seed=(0, 7))
    assert [c.kind for c in found].count("random") == 3
    for control in found:
        assert sorted(layer for layer, _ in control.nodes) == [0, 0, 0, 1]
        if control.kind in ("matched", "complement"):
            assert not control.nodes & nodes
    again = controls(nodes, activations, draws=3, seed=(0, 7))
    assert [c.nodes for c in again] == [c.nodes for c in found]


def test_matched_are_the_nearest_activations_outside():
    activations = [np.array([1.0, 1.1, 5.0, 5.2, 9.0, 0.0], np.float32)]
    found = {c.kind: c.nodes for c in controls({(0, 0), (0, 2)}, activations, draws=0, seed=(0,))}
    assert found["matched"] == {(0, 1), (0, 3)}
    assert found["top"] == {(0, 4), (0, 3)}


def test_more_than_half_a_layer_leaves_a_smaller_complement():
    activations = [np.arange(3, dtype=np.float32)]
    found = controls({(0, 0), (0, 1)}, activations, draws=1, seed=(0,))
    assert {c.kind: len(c.nodes) for c in found} == {
        "circuit": 2,
        "matched": 1,
        "top": 2,
        "random": 2,
        "complement": 1,
    }


def test_targets():
    logits = np.array([0.0, 3.0, 1.0], np.float32)
    names = {"a": 0, "b-1": 1, "b": 2}
    assert target_weights("predicted", logits, None, names).tolist() == [0, 1, 0]
    assert target_weights("label", logits, 2, names).tolist() == [0, 0, 1]
    assert target_weights("b-1-a", logits, None, names).tolist() == [-1, 1, 0]
    with pytest.raises(DataError, match="no label"):
        target_weights("label", logits, None, names)
    with pytest.raises(DataError, match=r"not a target: c-a \(expected predicted, label, or A-B"):
        target_weights("c-a", logits, None, names)


def test_drop_is_the_measured_effect_on_the_target(residual):
    x = residual.images[:1]
    cuts = [{(0, 1), (3, 2)}, {(2, 0)}]
    weights = np.array([1.0, -1.0, 0, 0, 0])
    logits = ablated_logits(residual.trace, residual.layers, x, [0, 0, 0], [(), *cuts])
    expected = [(logits[0] - row)[0] - (logits[0] - row)[1] for row in logits[1:]]
    drops = circuit_drops(residual.trace, residual.layers, x, cuts, weights)
    np.testing.assert_allclose(drops, expected, rtol=1e-5)


def test_interval_resamples_sources():
    """Copies of one source move together: the interval of 3 sources, not of 300 images."""
    groups = [(str(i % 3),) for i in range(300)]
    values = np.array([float(i % 3) for i in range(300)])
    low, high = interval(values, draw_weights(groups, 500, seed=0))
    assert low < 0.4
    assert high > 1.6
    single = draw_weights([(str(i),) for i in range(300)], 500, seed=0)
    low, high = interval(values, single)
    assert 0.85 < low < 1.0 < high < 1.15


def test_interval_weights_are_products_and_leave_missing_values_out():
    weights = draw_weights([("a", "b"), ("a",), ("b",), ("b", "b")], 50, seed=1)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1] * weights[:, 2])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 2])
    assert interval(np.array([1.0, np.nan, 1.0, np.nan]), weights) == (1.0, 1.0)
    assert np.isnan(interval(np.full(4, np.nan), weights)).all()
