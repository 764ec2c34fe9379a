"""Ablation along a chain of segments is ablation in the whole model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from examples.own_model import small_resnet
from ingest.factories import seeded
from ingest.layers import LayerSpec, choose_layers
from ingest.methods.ablation import ablated_logits
from ingest.methods.chain import ROWS, chained_logits, make_chain
from ingest.methods.pairs import make_pairs
from ingest.models import ModelSpec, load_model
from ingest.segments import Trace


def test_chained_is_whole() -> None:
    model = load_model(ModelSpec("examples.own_model:small_resnet", seed=1))
    layers = choose_layers(model, None)
    chain = make_chain(model.trace, layers, make_pairs(model.trace, layers))
    assert chain is not None
    rng = np.random.default_rng(0)
    x = torch.rand(1, 3, 32, 32)
    cuts: list[set[tuple[int, int]]] = [set()]
    for _ in range(ROWS + 8):
        first = int(rng.integers(len(layers)))
        cuts.append(
            {(n, int(rng.integers(layers[n].channels))) for n in range(first, len(layers)) for _ in range(4)}
        )
    clean = model.trace.values(x, [layer.node for layer in layers])
    before = {node: value.clone() for node, value in clean.items()}
    expected = ablated_logits(model.trace, layers, x, [0] * len(cuts), cuts)
    np.testing.assert_allclose(chained_logits(chain, clean, cuts), expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[node], clean[node]) for node in clean)
    assert len({tuple(row) for row in expected.round(6).tolist()}) > 10


def test_layers_that_need_more_than_the_one_before_are_no_chain() -> None:
    torch.manual_seed(0)
    module = VisionTransformer(
        32, 8, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=12, num_classes=4
    ).eval()
    trace = Trace(module, (3, 32, 32))
    layers = _hidden(trace, module)
    assert make_chain(trace, layers, make_pairs(trace, layers)) is None


def _hidden(trace: Trace, module: nn.Module) -> tuple[LayerSpec, ...]:
    """The MLP's hidden units, whose residual stream goes past them."""
    names = [f"encoder.layers.encoder_layer_{n}.mlp.1" for n in range(2)]
    return tuple(
        LayerSpec(name, trace.names[name], n, "tokens", "hidden", 12, 17, None, 1, 2)
        for n, name in enumerate(names)
    )


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_cut_that_begins_late_leaves_the_early_layers_alone(first: int) -> None:
    module, _ = seeded(small_resnet, 3)
    trace = Trace(module.eval(), (3, 32, 32))
    model = load_model(ModelSpec("examples.own_model:small_resnet", seed=3))
    layers = choose_layers(model, None)
    chain = make_chain(trace, layers, make_pairs(trace, layers))
    assert chain is not None
    x = torch.rand(1, 3, 32, 32)
    clean = trace.values(x, [layer.node for layer in layers])
    # Values before the cut's first layer are never read.
    for layer in layers[:first]:
        clean[layer.node] = torch.full_like(clean[layer.node], torch.nan)
    assert np.isfinite(chained_logits(chain, clean, [{(first, 0)}])).all()
