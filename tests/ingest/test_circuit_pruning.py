"""Prunings against forward hooks on the module itself, in double precision; residual, concatenating, attention."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from atlas.errors import DataError
from ingest.layers import choose_layers
from ingest.methods.circuit_pruning import CIRCUIT, EDGES, ZERO, Pruner, shares
from ingest.segments import OUTPUT, Trace


class Block(nn.Module):
    """relu(conv(x) + x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out: Tensor = self.relu(self.conv(x) + x)
        return out


class Residual(nn.Module):
    """A stem and four residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        for name in "abcd":
            setattr(self, name, Block(6))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.d(self.c(self.b(self.a(self.stem(x)))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Concat(nn.Module):
    """Dense connections: every layer reads all layers before it, and the head reads all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(5, 6, 1), nn.ReLU())
        self.c = nn.Sequential(nn.Conv2d(11, 4, 1), nn.ReLU())
        self.d = nn.Sequential(nn.Conv2d(15, 5, 1), nn.ReLU())
        self.head = nn.Linear(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        a = self.a(x)
        b = self.b(a)
        c = self.c(torch.cat([a, b], 1))
        d = self.d(torch.cat([a, b, c], 1))
        out: Tensor = self.head(torch.cat([a, b, c, d], 1).mean((2, 3)))
        return out


def transformer() -> nn.Module:
    module = VisionTransformer(
        image_size=16, patch_size=8, num_classes=4, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=24
    )
    torch.nn.init.normal_(module.heads.head.weight)
    return module


WORLDS = {
    "residual": (Residual, "a,b,c,d"),
    "concat": (Concat, "a,b,c,d"),
    "transformer": (transformer, "encoder.layers.*.mlp.1"),
}


@pytest.fixture(scope="module", params=list(WORLDS))
def world(request):
    build, globs = WORLDS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = build().double().eval().requires_grad_(False)
        images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    trace = Trace(module, (3, 16, 16))
    layers = choose_layers(SimpleNamespace(trace=trace, name="m"), globs)
    return SimpleNamespace(module=module, trace=trace, layers=layers, images=images)


def run(world, edits, read=()):
    """Values of layers, then logits, of the module itself; edits layer -> function of its value."""
    modules, seen, handles = dict(world.module.named_modules()), {}, []
    for ordinal, layer in enumerate(world.layers):

        def hook(_module, _inputs, out, ordinal=ordinal):
            seen[ordinal] = edits[ordinal](out.clone()) if ordinal in edits else out.clone()
            return seen[ordinal]

        handles.append(modules[layer.name].register_forward_hook(hook))
    try:
        logits = world.module(world.images)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[i] for i in read] + [logits]


def put(axis, channels, values):
    def edit(value):
        value.movedim(axis, 1)[:, channels] = values
        return value

    return edit


def literal(world, cut, used):
    """ã of each layer after the first, each from a run with the layer before at zero; then a run on from the last.

    What is read past the last layer is clean because nothing else is edited in that run.
    """
    new = {}
    for before, at in pairwise(used):
        own = [sorted(c for layer, c in cut if layer == i) for i in (before, at)]
        axes = [world.layers[i].channel_axis for i in (before, at)]
        value, _ = run(world, {before: put(axes[0], own[0], 0)}, [at])
        clean, _ = run(world, {}, [at])
        new[at] = put(axes[1], own[1], value.movedim(axes[1], 1)[:, own[1]])(clean)
    last = used[-1]
    return new, run(world, {last: lambda _v: new[last]} if new else {})[0]


CUT = {(0, 1), (0, 3), (1, 0), (1, 2), (1, 4), (2, 3), (3, 0), (3, 1)}
GAPS = {(0, 0), (0, 2), (3, 1), (3, 2)}


@pytest.mark.parametrize("cut", [CUT, GAPS, {(1, 2), (2, 0)}])
def test_circuit_pruning_is_its_definition(world, cut) -> None:
    pruner = Pruner(world.trace, world.layers)
    wanted = [*(layer.node for layer in world.layers), OUTPUT]
    got = pruner.values(pruner.clean(world.images, [(cut, CIRCUIT)], wanted), cut, CIRCUIT, wanted)
    used = sorted({layer for layer, _ in cut})
    new, logits = literal(world, cut, used)
    torch.testing.assert_close(got[OUTPUT], logits, rtol=1e-10, atol=1e-12)
    *clean, clean_logits = run(world, {}, range(len(world.layers)))
    for ordinal, layer in enumerate(world.layers):
        expected = new.get(ordinal, clean[ordinal])
        if ordinal <= used[-1]:
            torch.testing.assert_close(got[layer.node], expected, rtol=1e-10, atol=1e-12)
    assert (got[OUTPUT] - clean_logits).abs().max() > 1e-6, "pruning does something here"


def test_edge_pruning_cuts_the_first_two_layers_and_runs_on(world) -> None:
    pruner = Pruner(world.trace, world.layers)
    wanted = [world.layers[3].node, OUTPUT]
    got = pruner.values(pruner.clean(world.images, [(CUT, EDGES)], wanted), CUT, EDGES, wanted)
    new, logits = literal(world, CUT, [0, 1])
    torch.testing.assert_close(got[OUTPUT], logits, rtol=1e-10, atol=1e-12)
    behind = run(world, {1: lambda _v: new[1]}, [3])[0]
    torch.testing.assert_close(got[world.layers[3].node], behind, rtol=1e-10, atol=1e-12)


def test_zeroing_is_hooks_on_all_layers_at_once(world) -> None:
    pruner = Pruner(world.trace, world.layers)
    got = pruner.values(pruner.clean(world.images, [(CUT, ZERO)]), CUT, ZERO)
    edits = {i: put(world.layers[i].channel_axis, [c for layer, c in CUT if layer == i], 0) for i in range(4)}
    torch.testing.assert_close(got[OUTPUT], run(world, edits)[0], rtol=1e-10, atol=1e-12)


def test_one_layer_or_no_neuron_changes_nothing(world) -> None:
    pruner = Pruner(world.trace, world.layers)
    clean = run(world, {})[0]
    for cut in (set(), {(1, 0), (1, 2)}):
        for kind in (CIRCUIT, EDGES):
            got = pruner.values(pruner.clean(world.images, [(cut, kind)]), cut, kind)
            torch.testing.assert_close(got[OUTPUT], clean, rtol=1e-12, atol=1e-12)


def test_several_sets_share_clean_values_and_the_output_hangs_on_the_last_two_layers(world) -> None:
    pruner = Pruner(world.trace, world.layers)
    tail = {node for node in CUT if node[0] >= 2}
    clean = pruner.clean(world.images, [(CUT, CIRCUIT), (tail, CIRCUIT)])
    whole, last = (pruner.values(clean, cut, CIRCUIT)[OUTPUT] for cut in (CUT, tail))
    torch.testing.assert_close(whole, last, rtol=0, atol=0)


def test_refusals(world) -> None:
    pruner = Pruner(world.trace, world.layers)
    with pytest.raises(DataError, match="no such intervention"):
        pruner.clean(world.images, [(CUT, "half")])
    with pytest.raises(DataError, match="no such neuron"):
        pruner.clean(world.images, [({(0, 999)}, CIRCUIT)])


def test_shares_touched(world) -> None:
    widths = [layer.channels for layer in world.layers]
    edges, channels = shares(CUT, world.layers)
    every = widths[0] * widths[1] + widths[1] * widths[2] + widths[2] * widths[3]
    assert edges == pytest.approx((2 * 3 + 3 * 1 + 1 * 2) / every)
    assert channels == pytest.approx(max(n / w for n, w in zip((2, 3, 1, 2), widths, strict=True)))
    assert shares(set(), world.layers) == (0.0, 0.0)
