"""LRP through a segment against zennit on the whole model, with zennit's own canonizer."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from zennit.composites import EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.rules import Epsilon
from zennit.torchvision import ResNetCanonizer
from zennit.types import Convolution

from atlas.errors import ModelError
from ingest.layers import LayerSpec
from ingest.methods.lrp import lrp_vectors
from ingest.methods.pure import Lens, pair_vectors, variant_function
from ingest.segments import Trace

PAIRS = (np.array([0, 1, 1, 2, 0]), np.array([3, 0, 5, 7, 1]))


def network(block: type[nn.Module]) -> ResNet:
    """A residual network of random weights, batch statistics included, in float64."""
    torch.manual_seed(4)
    model = ResNet(block, [1, 1, 1, 2]).double().eval()  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # zennit's folding leaves 1 / sqrt(1 + eps) behind; ours leaves nothing.
            module.eps = 1e-15
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.requires_grad_(False)


def by_zennit(model: ResNet, x: Tensor, composite: object) -> Tensor:
    """(n, C) relevance of layer3 for the pairs, each divided by its L1 norm."""
    kept: dict[str, Tensor] = {}
    for name in ("layer3", "layer4"):
        model.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: kept.update({name: out}))
    rows = []
    with composite.context(model) as modified:  # type: ignore[attr-defined]
        modified(x.requires_grad_(True))
        for image, channel in zip(*PAIRS, strict=True):
            start = torch.zeros_like(kept["layer4"])
            start[image, channel] = kept["layer4"][image, channel].detach().clamp(min=0)
            (r,) = torch.autograd.grad(kept["layer4"], kept["layer3"], start, retain_graph=True)
            rows.append(r[image].sum((1, 2)))
    found = torch.stack(rows)
    return found / (found.abs().sum(1, keepdim=True) + 1e-10)


def composite_of(variant: str) -> object:
    canonizers = [ResNetCanonizer()]
    if variant == "lrp-flat":
        return EpsilonPlusFlat(canonizers=canonizers)
    rules = [*layer_map_base(), (Convolution, Epsilon()), (nn.Linear, Epsilon())]
    return LayerMapComposite(rules, canonizers=canonizers)


@pytest.mark.parametrize(
    ("variant", "block"), [("lrp-epsilon", BasicBlock), ("lrp-flat", BasicBlock), ("lrp-flat", Bottleneck)]
)
def test_vectors_equal_zennits_on_the_whole_model(variant: str, block: type[nn.Module]) -> None:
    model = network(block)
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    expected = by_zennit(model, x.clone(), composite_of(variant))
    for module in model.modules():
        module._forward_hooks.clear()
    trace = Trace(model, (3, 32, 32))
    lens = _lens(trace, "layer3", "layer4")
    function = variant_function(lens, variant)
    (found,) = pair_vectors(lens, trace, lambda rows: [(rows, x[list(rows)])], PAIRS, [function], 1 << 30)
    assert expected.abs().sum() > 1
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def _lens(trace: Trace, lower: str, upper: str) -> Lens:
    a, b = trace.names[f"{lower}.0"], trace.names[f"{upper}.1"]
    return Lens(_spec(trace, a, 0), _spec(trace, b, 1), trace.segment(a, b))


def _spec(trace: Trace, node: str, ordinal: int) -> LayerSpec:
    channels, height, width = trace.shape(node)
    return LayerSpec(node, node, ordinal, "conv", "", channels, height * width, (height, width), 0, 1)


def test_operations_without_a_rule_are_refused() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)
            self.second = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = self.first(x)
            return (self.second(a) * a).mean((2, 3))

    trace = Trace(Gate(), (3, 4, 4))
    with pytest.raises(ModelError, match="no LRP rule"):
        lrp_vectors(trace.segment(trace.names["first"], trace.names["mul"]), "lrp-epsilon")


def test_without_zennit_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zennit.composites", None)
    trace = Trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)), (3, 4, 4))
    with pytest.raises(ModelError, match=r"pip install 'circuit-atlas\[lrp\]'"):
        lrp_vectors(trace.segment(trace.names["0"], trace.names["1"]), "lrp-flat")
