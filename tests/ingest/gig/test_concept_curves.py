"""Curves of one image in a tiny network, against the same thing done concept by concept."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ingest.layers import LayerSpec
from ingest.methods.concept_curves import Coded, Effort, Space, class_areas, concept_areas, encode, importance
from ingest.methods.feature_space import FeatureSpace

CHANNELS, CONCEPTS, GRID = 4, 6, (2, 3)
EFFORT = Effort(points=50, steps=64, rows=3)


def layer(name: str, channels: int) -> LayerSpec:
    return LayerSpec(name, name, 0, "conv", "channel", channels, 6, GRID, 0, 1)


@pytest.fixture
def coded() -> Coded:
    generator = torch.Generator().manual_seed(0)
    v = normalize(torch.randn(CONCEPTS, CHANNELS, generator=generator, dtype=torch.float64), dim=1)
    features = FeatureSpace(
        layer("a", CHANNELS), "a", torch.tensor([0.5, 0.0, -0.25, 0.1], dtype=torch.float64)
    )
    raw = 2 * torch.randn(1, CHANNELS, *GRID, generator=generator, dtype=torch.float64)
    return encode(Space(features, v, 0.4), raw)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(CHANNELS, 5, 1), nn.ReLU()).double().requires_grad_(False)


def head(x: Tensor) -> Tensor:
    """Logits (R, 3) that bend."""
    return torch.stack([x[:, 0].relu().sum((1, 2)), x[:, 1].square().sum((1, 2)), x[:, 2].sum((1, 2))], dim=1)


def literal(coded: Coded, order: list[int], taken: int, *, insertion: bool) -> Tensor:
    """X̃ with the first concepts of an order, or without them."""
    kept = order[:taken] if insertion else order[taken:]
    x = coded.space.centre.expand(6, CHANNELS).clone()
    for q in kept:
        x += torch.outer(coded.codes[:, q], coded.concepts[q])
    return x.T.reshape(1, CHANNELS, *GRID)


def trapezoid(values: list[float]) -> float:
    return sum((a + b) / 2 for a, b in itertools.pairwise(values)) / (len(values) - 1)


def test_codes_are_of_the_centred_value(coded: Coded) -> None:
    rebuilt = coded.partly(torch.ones(1, len(coded.atoms), dtype=torch.bool))
    units = (coded.raw - rebuilt).flatten(2)[0].T
    centred = coded.raw.flatten(2)[0].T - coded.space.centre
    torch.testing.assert_close(coded.errors, units.norm(dim=1) / centred.norm(dim=1))
    assert 0 < float(coded.errors.mean()) < 0.6
    torch.testing.assert_close(coded.line.at(torch.ones(1, dtype=torch.float64))[0], rebuilt)


def test_importance_is_complete(coded: Coded) -> None:
    targets = torch.eye(3, dtype=torch.float64)
    scores = importance(coded, head, targets, Effort(steps=512))
    ends = [head(coded.line.at(torch.tensor([a], dtype=torch.float64))[0])[0] for a in (0.0, 1.0)]
    torch.testing.assert_close(scores.sum(1), ends[1] - ends[0], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("output", [0, 1, 2])
def test_areas_of_a_class_are_the_literal_ones(coded: Coded, output: int) -> None:
    found, scores = class_areas(coded, head, output, 3, EFFORT)
    order = torch.argsort(-scores, stable=True).tolist()
    for insertion, area in ((True, found.insertion_active), (False, found.deletion_active)):
        curve = [
            float(head(literal(coded, order, j, insertion=insertion)).argmax() == output)
            for j in range(len(order) + 1)
        ]
        assert area == pytest.approx(trapezoid(curve))


def test_areas_towards_a_later_concept(coded: Coded, network: nn.Module) -> None:
    targets = normalize(
        torch.randn(3, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64), dim=1
    )
    found = concept_areas(coded, network, (layer("b", 5), targets), EFFORT, (0, 1))
    everything = list(range(len(coded.atoms)))
    assert set(found) == {"gig", "u", "random"}
    sizes = coded.codes.abs().sum(0)
    order = torch.argsort(-sizes, stable=True).tolist()
    seen = 0
    for t, v in enumerate(targets):

        def value(x: Tensor, v: Tensor = v) -> float:
            return float((network(x).flatten(2)[0].T @ v).max())

        whole = value(literal(coded, everything, len(everything), insertion=True))
        if whole <= 0:
            assert all(areas[t] is None for areas in found.values())
            continue
        seen += 1
        curve = [value(literal(coded, order, j, insertion=False)) / whole for j in range(len(order) + 1)]
        own = found["u"][t]
        assert own is not None
        assert own.deletion_active == pytest.approx(trapezoid(curve))
    assert seen > 0


def test_nothing_active(coded: Coded) -> None:
    none = encode(Space(coded.space.features, coded.space.concepts, 1e6), coded.raw)
    found, scores = class_areas(none, head, 0, 3, EFFORT)
    assert len(scores) == 0
    assert found.insertion_active == found.deletion_active == found.insertion_all
    np.testing.assert_allclose(none.errors, 1)
