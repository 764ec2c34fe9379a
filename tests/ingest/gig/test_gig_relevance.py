"""Feature spaces, relevance by SRD against its definition, positions drawn by it, and receptive fields."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlas.errors import DataError
from ingest.demo.network import DigitPairNet
from ingest.layers import choose_layers, to_units
from ingest.methods.feature_space import FeatureSpace, feature_space, pre_activation
from ingest.methods.relevance import RelevanceChain, uniforms
from ingest.numerics.srd import draw_positions
from ingest.segments import OUTPUT, Trace


class Plain(nn.Module):
    """Two 3×3 convolutions with rectifiers and a head, no biases."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x)).mean((2, 3)))


class Branchless(nn.Module):
    """A layer that ends in no activation."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x).mean((2, 3)))


def seeded(module: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    module = module.to(dtype).eval().requires_grad_(False)
    for name, p in [*module.named_parameters(), *module.named_buffers()]:
        if p.is_floating_point():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.copy_(noise.abs() + 0.5 if "var" in name else noise / max(1, p[0].numel()) ** 0.5)
    return module


def chain_of(module: nn.Module, size: int, globs: str) -> tuple[Trace, tuple, RelevanceChain]:
    trace = Trace(module, (3, size, size))
    layers = choose_layers(SimpleNamespace(trace=trace, name="net"), globs)
    spaces = tuple(feature_space(trace, layer) for layer in layers)
    spaces = tuple(FeatureSpace(s.layer, s.node, s.centre.double()) for s in spaces)
    return trace, spaces, RelevanceChain(trace, spaces)


@pytest.fixture(scope="module")
def demo():
    return chain_of(seeded(DigitPairNet()), 64, "layer*.*")


@pytest.fixture(scope="module")
def plain():
    return chain_of(seeded(Plain()), 6, "one,two")


def images(count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)


def test_the_value_before_the_last_rectifier(demo):
    _, spaces, chain = demo
    clean = chain.clean(images(2, 64))
    for space in spaces:
        assert space.node != space.layer.node
        assert torch.equal(clean[space.node].relu(), clean[space.layer.node])
        assert bool((clean[space.node] < 0).any())


def test_centre_is_the_shift_of_all_norms_at_the_sum(demo):
    trace, spaces, _ = demo
    module = trace.graph.module
    for space in spaces:
        block = module.get_submodule(space.layer.name)
        norms = [block.bn3] + ([] if block.downsample is None else [block.downsample[1]])
        literal = sum(n.bias - n.weight * n.running_mean / (n.running_var + n.eps).sqrt() for n in norms)
        assert torch.allclose(space.centre, literal, atol=1e-5)


def test_centre_is_the_value_for_nothing(demo):
    """With the last convolutions at zero, the sum before the rectifier is the centre (first block of a stage)."""
    module = seeded(DigitPairNet())
    block = module.layer2[0]
    block.conv3.weight.zero_()
    block.downsample[0].weight.zero_()
    _, spaces, chain = chain_of(module, 64, "layer2.0")
    value = chain.clean(images(1, 64))[spaces[0].node]
    assert torch.allclose(value[0, :, 0, 0], spaces[0].centre, atol=1e-5)


def test_a_layer_without_an_activation_is_its_own_space():
    trace, spaces, _ = chain_of(seeded(Branchless()), 4, "block")
    assert pre_activation(trace, spaces[0].layer) == spaces[0].layer.node
    assert float(spaces[0].centre.abs().max()) == 0


def test_other_spaces(plain):
    trace, spaces, _ = plain
    post = feature_space(trace, spaces[0].layer, "post")
    assert post.node == spaces[0].layer.node
    with pytest.raises(DataError, match="feature space"):
        feature_space(trace, spaces[0].layer, "middle")


def test_relevance_is_equation_10_term_by_term(plain):
    """v̂_{i→j} of a convolution without bias: what its output at j is for an input that is zero but at i."""
    trace, spaces, chain = plain
    module, x = trace.graph.module, images(1, 6)
    clean = chain.clean(x)
    found = chain.relevances(clean)
    logits, last = clean[OUTPUT][0], to_units(clean[spaces[1].layer.node], spaces[1].layer)[0]
    positions = last.shape[1]
    upper = []
    for i in range(positions):
        part = module.head.weight @ last[:, i] / positions
        upper.append(float(part @ logits / (logits @ logits)))
    assert torch.allclose(found[1][0], torch.tensor(upper, dtype=torch.float64), atol=1e-10)
    a, v = clean[spaces[0].layer.node], to_units(clean[spaces[1].node], spaces[1].layer)[0]
    lower = []
    for i in range(positions):
        alone = torch.zeros_like(a).flatten(2)
        alone[..., i] = a.flatten(2)[..., i]
        part = module.two[0](alone.view_as(a)).flatten(2)[0]
        lower.append(
            sum(float(part[:, j] @ v[:, j] / (v[:, j] @ v[:, j])) * upper[j] for j in range(positions))
        )
    assert torch.allclose(found[0][0], torch.tensor(lower, dtype=torch.float64), atol=1e-10)


def test_relevance_is_conserved_without_biases(plain):
    _, _, chain = plain
    for r in chain.relevances(chain.clean(images(3, 6))):
        assert torch.allclose(r.sum(1), torch.ones(3, dtype=torch.float64), atol=1e-9)


def test_each_image_by_itself(demo):
    _, _, chain = demo
    x = images(3, 64)
    together = chain.relevances(chain.clean(x))
    alone = chain.relevances(chain.clean(x[1:2]))
    for both, one in zip(together, alone, strict=True):
        assert torch.allclose(both[1:2], one, atol=1e-9)


def test_positions_follow_the_weights():
    weights = torch.tensor([[1.0, -5.0, 3.0]]).repeat(4000, 1)
    uniform = uniforms(0, [f"i{n}" for n in range(4000)], "layer")
    positions, sound = draw_positions(weights, uniform)
    shares = np.bincount(positions.numpy(), minlength=3) / 4000
    assert shares == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
    assert bool(sound.all())


def test_draws_depend_on_seed_image_and_layer_alone():
    a = uniforms(0, ["x", "y"], "l")
    assert torch.equal(a[1:], uniforms(0, ["y"], "l"))
    assert not torch.equal(a, uniforms(1, ["x", "y"], "l"))
    assert not torch.equal(a, uniforms(0, ["x", "y"], "m"))


def test_without_relevance_gradient_times_activation_decides(plain):
    _, _, chain = plain
    clean = chain.clean(images(2, 6))
    nothing = -torch.ones(2, 36, dtype=torch.float64)
    drawn = chain.sampled(0, nothing, clean, torch.tensor([0.2, 0.7]))
    assert drawn.by_srd.tolist() == [False, False]
    a, logits = clean[chain.spaces[0].layer.node], clean[OUTPUT]
    x = a.clone().requires_grad_(True)
    best = chain._whole[0].bind(clean)(x)[[0, 1], logits.argmax(1)].sum()
    strength = (torch.autograd.grad(best, x)[0] * a).abs().sum(1).flatten(1)
    assert torch.equal(drawn.positions, draw_positions(strength, torch.tensor([0.2, 0.7]))[0])


def test_weights_that_are_no_numbers_draw_evenly():
    positions, sound = draw_positions(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0.6]))
    assert positions.tolist() == [1]
    assert sound.tolist() == [False]


def test_a_field_is_what_the_vector_sees(plain):
    _, _, chain = plain
    x = images(1, 6)
    clean = chain.clean(x)
    field = chain.fields(x, clean, 0, torch.tensor([14]))[0]
    seen = torch.nonzero(field).tolist()
    assert field.shape == (6, 6)
    assert all(abs(row - 2) <= 1 and abs(column - 2) <= 1 for row, column in seen)
    assert seen
