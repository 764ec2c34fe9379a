"""Effects of cuts: metrics written out, groups, probes, controls of the same size, and edge sets over many images."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor, nn

from ingest.layers import choose_layers
from ingest.methods.circuit_pruning import CIRCUIT, ZERO
from ingest.methods.edge_cuts import cut_logits
from ingest.methods.effects import (
    Cut,
    Surgeon,
    group_changes,
    image_metrics,
    mean_metrics,
    probe_changes,
    same_size,
)
from ingest.methods.measures import Resampling
from ingest.methods.pairs import make_pairs
from ingest.segments import Trace


class Small(nn.Module):
    """Three convolutions and a head."""

    def __init__(self) -> None:
        super().__init__()
        for name, width in zip("abc", (3, 6, 6), strict=True):
            setattr(self, name, nn.Sequential(nn.Conv2d(width, 6, 3), nn.ReLU()))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.head(self.c(self.b(self.a(x))).mean((2, 3)))
        return out


@pytest.fixture(scope="module")
def world():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Small().eval().requires_grad_(False)
        images = torch.randn(7, 3, 10, 10)
    trace = Trace(module, (3, 10, 10))
    layers = choose_layers(SimpleNamespace(trace=trace, name="m"), "a,b,c")
    return SimpleNamespace(trace=trace, layers=layers, images=images, surgeon=Surgeon(trace, layers))


def batches(world, size):
    for start in range(0, len(world.images), size):
        part = world.images[start : start + size]
        yield range(start, start + len(part)), part


CUTS = (
    Cut(frozenset({(1, 0), (1, 3), (2, 2), (2, 4)})),
    Cut(frozenset({(0, 1), (2, 0)}), ZERO),
    Cut(edges=frozenset({(0, 1, 2), (1, 3, 0), (1, 3, 1)})),
)


def test_outcomes_do_not_hang_on_the_batches_and_mixed_cuts_stand_side_by_side(world) -> None:
    whole = world.surgeon.outcome(batches(world, 7), CUTS, read=(1, 2))
    parts = world.surgeon.outcome(batches(world, 3), CUTS, read=(1, 2))
    assert whole.rows.tolist() == list(range(7)) == parts.rows.tolist()
    np.testing.assert_allclose(whole.clean, parts.clean, rtol=1e-5, atol=1e-6)
    for one, other in zip(whole.pruned, parts.pruned, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        assert np.abs(one - whole.clean).max() > 1e-5
    pairs = make_pairs(world.trace, world.layers)
    for row in range(7):
        alone = cut_logits(world.trace, pairs, world.images[row : row + 1], [CUTS[2].edges], 10**6)
        np.testing.assert_allclose(whole.pruned[2][row], alone[0], rtol=1e-4, atol=1e-6)
    clean = world.trace.values(world.images, [world.layers[1].node])[world.layers[1].node]
    np.testing.assert_allclose(whole.pooled[world.layers[1].node], clean.mean((2, 3)), rtol=1e-5)


def test_pooled_activations_are_those_of_the_first_cut(world) -> None:
    found = world.surgeon.outcome(batches(world, 7), CUTS[:1], read=(1, 2))
    node = world.layers[2].node
    moved = np.abs(found.pooled[node] - found.pooled_pruned[node]).max(axis=0) > 1e-7
    assert set(np.flatnonzero(moved)) <= {2, 4}
    assert moved.any()
    first = world.layers[1].node
    np.testing.assert_array_equal(found.pooled[first], found.pooled_pruned[first])


def test_no_image_gives_empty_outcomes(world) -> None:
    found = world.surgeon.outcome((), CUTS)
    assert found.clean.shape == (0, 4)
    assert [one.shape for one in found.pruned] == [(0, 4)] * 3


def test_metrics_are_their_formulas() -> None:
    rng = np.random.default_rng(0)
    clean, pruned = (rng.normal(size=(9, 5)).astype(np.float32) * 3 for _ in range(2))
    outputs = rng.integers(0, 5, 9)
    found = image_metrics(clean, pruned, outputs)
    p, q = (softmax(side.astype(float), axis=1) for side in (clean, pruned))
    at = (np.arange(9), outputs)
    np.testing.assert_allclose(found["logit"], (clean[at], pruned[at]))
    np.testing.assert_allclose(found["probability"], (p[at], q[at]))
    np.testing.assert_allclose(found["accuracy"][1], pruned.argmax(1) == outputs)
    np.testing.assert_allclose(found["kl"][1], rel_entr(p, q).sum(1))
    assert not found["kl"][0].any()
    averaged = mean_metrics(clean, [pruned, clean], outputs)
    np.testing.assert_allclose(averaged["kl"][1], rel_entr(p, q).sum(1) / 2, atol=1e-12)


def test_groups_have_means_and_intervals_of_the_change() -> None:
    before, after = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.5, 3.0, 2.0])
    groups = {"x": np.array([True, True, False, False]), "none": np.zeros(4, bool)}
    (change,) = group_changes(
        {"logit": (before, after)}, groups, Resampling([("a",), ("b",), ("c",), ("d",)])
    )
    assert (change.group, change.before, change.after, change.n) == ("x", 1.5, 0.75, 2)
    assert -1.0 <= change.low <= -0.75 <= change.high <= -0.5


def test_a_probe_loses_what_pruning_removes(world) -> None:
    rng = np.random.default_rng(0)
    has = rng.random((60, 2)) < 0.5
    clean = rng.normal(size=(60, 4)).astype(np.float32)
    clean[:, 0] += 4 * has[:, 0]
    clean[:, 1] += 4 * has[:, 1]
    gone = clean.copy()
    gone[:, 0] = 0
    outcome = SimpleNamespace(pooled={"n": clean[30:]}, pooled_pruned={"n": gone[30:]})
    learnt = ({"n": clean[:30]}, has[:30])
    lost, kept = probe_changes(learnt, outcome, has[30:], ("first", "second"), {"n": "layer"})
    assert (lost.group, lost.metric) == ("first", "probe layer")
    assert lost.before > 0.95
    assert lost.after < 0.7
    assert kept.after > 0.95


def test_controls_have_the_same_number_per_layer() -> None:
    activations = [np.arange(10.0), np.arange(20.0)[::-1], np.arange(5.0)]
    found = same_size({(0, 1), (0, 2), (1, 3)}, activations, 4, 0)
    assert found["top"] == [frozenset({(0, 9), (0, 8), (1, 0)})]
    assert len(found["random"]) == 4
    for nodes in found["random"]:
        assert sorted(layer for layer, _ in nodes) == [0, 0, 1]
    assert found == same_size({(0, 1), (0, 2), (1, 3)}, activations, 4, 0)
    assert found["random"] != same_size({(0, 1), (0, 2), (1, 3)}, activations, 4, 1)["random"]


def test_kinds_are_told_apart(world) -> None:
    one, other = (Cut(CUTS[0].nodes, kind) for kind in (CIRCUIT, ZERO))
    found = world.surgeon.outcome(batches(world, 7), (one, other))
    assert np.abs(found.pruned[0] - found.pruned[1]).max() > 1e-5
