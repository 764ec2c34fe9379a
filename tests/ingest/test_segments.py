"""F_ab equals a full-model intervention, and the module it came from stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from atlas.errors import ModelError
from ingest.layers import choose_layers
from ingest.segments import OUTPUT, Trace


def seeded(build: Callable[[], nn.Module], size: int) -> tuple[nn.Module, Tensor]:
    """A module with random weights, every parameter non-zero (ViT heads start at zero), and two images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build().eval().requires_grad_(False)
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        return module, torch.rand(2, 3, size, size)


def named(name: str) -> Callable[[], nn.Module]:
    extra = {"init_weights": False} if name == "googlenet" else {}
    return lambda: torchvision.models.get_model(name, weights=None, **extra)


def small_vit() -> nn.Module:
    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=7
    )


def small_swin() -> nn.Module:
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=12,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[3, 3],
        stochastic_depth_prob=0.0,
        num_classes=7,
    )


MODELS = [
    pytest.param(named("resnet18"), 64, id="resnet18"),
    pytest.param(named("googlenet"), 64, id="googlenet"),
    pytest.param(named("mobilenet_v3_small"), 64, id="mobilenet_v3_small"),
    pytest.param(small_vit, 32, id="vit"),
    pytest.param(small_swin, 48, id="swin"),
    *(
        pytest.param(named(name), size, id=name, marks=pytest.mark.slow)
        for name, size in [
            ("resnet50", 64),
            ("vgg16_bn", 32),
            ("convnext_tiny", 64),
            ("mobilenet_v3_large", 64),
            ("densenet121", 64),
            ("vit_b_16", 224),
            ("swin_t", 64),
        ]
    ),
]


def intervene(module: nn.Module, name: str, value: Tensor, x: Tensor, read: str | None) -> Tensor:
    """The literal way: a whole forward pass of the module itself, a hook returning another output at ``name``."""
    found: list[Tensor] = []
    handles = [module.get_submodule(name).register_forward_hook(lambda *_: value)]
    if read is not None:
        handles.append(
            module.get_submodule(read).register_forward_hook(lambda *a: found.append(a[2].clone()))
        )
    try:
        out: Tensor = module(x)
    finally:
        for handle in handles:
            handle.remove()
    return out if read is None else found[0]


@pytest.mark.parametrize(("build", "size"), MODELS)
def test_segments_equal_full_interventions(build: Callable[[], nn.Module], size: int) -> None:
    """Every adjacent pair of layers and the last layer to the logits; three interventions on one image."""
    module, images = seeded(build, size)
    trace = Trace(module, (3, size, size))
    layers = choose_layers(SimpleNamespace(trace=trace, name="m"), None)  # type: ignore[arg-type]
    x = images[:1]
    pairs = [*pairwise(layers), (layers[0], None), (layers[-1], None)]
    for a, b in pairs[:: max(1, len(pairs) // 4)] + pairs[-2:]:
        segment = trace.segment(a.node, b.node if b else OUTPUT)
        clean = trace.values(x, [a.node, *segment.frozen])
        noise = torch.randn(3, *clean[a.node].shape[1:], generator=torch.Generator().manual_seed(1))
        edited = clean[a.node] + noise
        got = segment.bind(clean)(edited)
        want = intervene(module, a.name, edited, x.expand(3, *x.shape[1:]), b.name if b else None)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * max(1.0, want.abs().max().item()))
        assert not torch.allclose(got, got[:1].expand_as(got)), "the intervention does nothing"
        with_batch = segment(edited, {n: clean[n].expand(3, *clean[n].shape[1:]) for n in segment.frozen})
        torch.testing.assert_close(with_batch, got)


@pytest.mark.parametrize(("build", "size"), [*MODELS[:1], *MODELS[3:5]])
def test_any_two_points_in_double_precision(build: Callable[[], nn.Module], size: int) -> None:
    """Pairs of arbitrary traced values, against an edit of the same value in a whole traced pass."""
    module, images = seeded(build, size)
    trace = Trace(module.double(), (3, size, size))
    x = images[:1].double()
    nodes = [node for node in dict.fromkeys(trace.names.values()) if node in trace.graph.shapes]
    chosen = sorted(nodes, key=trace.position)[:: max(1, len(nodes) // 6)]
    clean = trace.values(x, list(trace.graph.shapes))
    checked = 0
    for i, a in enumerate(chosen):
        moved = clean[a] + torch.tensor([0.5, -0.25]).reshape(2, *[1] * (clean[a].dim() - 1))
        ends = [b for b in [*chosen[i + 1 :], trace.graph.output] if b != a and trace.depends(b, a)]
        want = trace.values(x.expand(2, *x.shape[1:]), ends, {a: lambda _, moved=moved: moved})
        for b in ends:
            got = trace.segment(a, b).bind(clean)(moved)
            torch.testing.assert_close(got, want[b], rtol=1e-9, atol=1e-9)
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize(("build", "size"), MODELS)
def test_values_equal_hooks(build: Callable[[], nn.Module], size: int) -> None:
    module, x = seeded(build, size)
    trace = Trace(module, (3, size, size))
    layers = choose_layers(SimpleNamespace(trace=trace, name="m"), None)  # type: ignore[arg-type]
    hooked: dict[str, Tensor] = {}
    for layer in layers:
        hook = module.get_submodule(layer.name).register_forward_hook
        hook(lambda _m, _i, out, name=layer.name: hooked.update({name: out.clone()}))
    want = module(x)
    got = trace.values(x, [*(layer.node for layer in layers), OUTPUT])
    torch.testing.assert_close(got[OUTPUT], want, rtol=1e-5, atol=1e-5)
    for layer in layers:
        torch.testing.assert_close(got[layer.node], hooked[layer.name], rtol=1e-4, atol=1e-5)
        assert tuple(hooked[layer.name].shape[1:]) == trace.shape(layer.node)


def test_the_users_module_is_left_as_it_was() -> None:
    """Modes, hooks, in-place flags, gradients wanted and weights are the same after tracing and running."""
    module = named("resnet18")().train()
    module.layer2.eval()
    calls: list[str] = []
    handle = module.layer1.register_forward_hook(lambda *_: calls.append("layer1"))

    def state() -> object:
        return [
            (
                name,
                part.training,
                getattr(part, "inplace", None),
                list(part._forward_hooks),
                list(vars(part)),
                [(n, id(p), p.requires_grad) for n, p in part.named_parameters(recurse=False)],
            )
            for name, part in module.named_modules()
        ]

    weights = copy.deepcopy(module.state_dict())
    before = state()
    trace = Trace(module, (3, 32, 32))
    a, b = trace.names["layer1.1"], trace.names["layer2.0"]
    x = torch.rand(1, 3, 32, 32)
    clean = trace.values(x, [a, b])
    torch.testing.assert_close(trace.segment(a, b).bind(clean)(clean[a]), clean[b])
    assert state() == before
    assert calls == []
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)
    assert handle.id in module.layer1._forward_hooks


class InPlace(nn.Module):
    """Every in-place form there is, each read again under the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = self.relu(y)
        z = z + y
        z += y
        z.mul_(2)
        z = torch.nn.functional.hardtanh(z, -3.0, 3.0, inplace=True) + z
        z.sub_(0.25).clamp_(min=0.0)
        return self.relu(z.mean((2, 3)))


def test_in_place_forms_become_out_of_place_with_the_same_meaning() -> None:
    module = InPlace().eval()
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    trace = Trace(module, (3, 5, 5))
    nodes = list(dict.fromkeys(trace.names.values()))
    before = trace.values(x, nodes)
    torch.testing.assert_close(before[trace.names["relu_1"]], module(x), rtol=0, atol=0)
    conv = trace.names["conv"]
    torch.testing.assert_close(before[conv], module.conv(x), rtol=0, atol=0)
    assert (before[conv] < 0).any(), "the pre-activation was overwritten"


def test_a_write_into_a_view_is_refused() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            flat.mul_(2)
            return x.sum((2, 3)) + flat.sum(1, keepdim=True)

    with pytest.raises(ModelError, match="writes in place into memory that it reads again"):
        Trace(Views(), (3, 4, 4))


def test_the_segment_is_the_smallest_one() -> None:
    """A ResNet block needs nothing but its input; a ViT block from its MLP's hidden units, only the residual."""
    module, _ = seeded(named("resnet18"), 64)
    trace = Trace(module, (3, 64, 64))
    assert trace.segment(trace.names["layer1.0"], trace.names["layer1.1"]).frozen == ()
    inner = trace.segment(trace.names["layer1.1.conv1"], trace.names["layer1.1"])
    assert inner.frozen == (trace.names["layer1.0"],)
    vit, _ = seeded(small_vit, 32)
    trace = Trace(vit, (3, 32, 32))
    block = "encoder.layers.encoder_layer_{}.mlp.1"
    segment = trace.segment(trace.names[block.format(1)], trace.names[block.format(2)])
    assert len(segment.frozen) == 1
    assert trace.shape(segment.frozen[0]) == (17, 16)


def test_class_token_and_heads_are_points_of_their_own() -> None:
    """Moving the class token moves the logits as moving the block's output at token 0 does; so do the heads."""
    module, images = seeded(small_vit, 32)
    trace = Trace(module, (3, 32, 32))
    x = images[:1]
    block, token = (trace.names[f"encoder.layers.encoder_layer_1{end}"] for end in ("", ".cls"))
    segment = trace.segment(token, OUTPUT)
    clean = trace.values(x, [block, token, *segment.frozen])
    assert clean[token].shape == (1, 1, 16)
    moved = clean[block].clone()
    moved[:, :1] += 1
    want = intervene(module, "encoder.layers.encoder_layer_1", moved, x, None)
    torch.testing.assert_close(segment.bind(clean)(clean[token] + 1), want, rtol=1e-4, atol=1e-5)
    heads = trace.names["encoder.layers.encoder_layer_1.self_attention.heads"]
    mixed = trace.values(x, [heads, trace.names["encoder.layers.encoder_layer_1.self_attention"]])
    attention = module.get_submodule("encoder.layers.encoder_layer_1.self_attention")
    projected = attention.out_proj(mixed[heads])
    torch.testing.assert_close(mixed[trace.names["encoder.layers.encoder_layer_1.self_attention"]], projected)


def test_gradients_flow_through_a_segment() -> None:
    module, images = seeded(named("resnet18"), 64)
    trace = Trace(module, (3, 64, 64))
    a = trace.names["layer4.0"]
    start = trace.values(images[:1], [a])[a].requires_grad_()
    trace.segment(a, OUTPUT).bind({})(start)[0, 3].backward()
    assert start.grad is not None
    assert start.grad.abs().sum() > 0


def test_edits_change_what_follows() -> None:
    module, images = seeded(named("resnet18"), 64)
    trace = Trace(module, (3, 64, 64))
    names = [trace.names[n] for n in ("layer1.1", "layer3.0")]
    edits = {node: (lambda value: value * 0) for node in names}
    got = trace.values(images, [*names, OUTPUT], edits)
    assert all(not got[node].any() for node in names)
    zero = torch.zeros_like(got[names[1]])
    torch.testing.assert_close(
        got[OUTPUT], intervene(module, "layer3.0", zero, images, None), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda t: t.segment(t.names["layer2.0"], t.names["layer1.0"]), "no path between these nodes"),
        (lambda t: t.segment("layer1_0_relu_9", OUTPUT), "Closest: layer1_0_relu_1"),
        (lambda t: t.shape("flattened"), "no such node"),
        (
            lambda t: t.segment(t.names["layer1.1.conv1"], t.names["layer1.1"]).bind({})(ONE),
            "input is missing",
        ),
    ],
)
def test_clear_errors(act: Callable[[Trace], object], message: str) -> None:
    trace = Trace(named("resnet18")(), (3, 32, 32))
    with pytest.raises(ModelError, match=message):
        act(trace)


ONE = torch.zeros(1, 64, 8, 8)


def test_batches_that_do_not_fit_are_refused() -> None:
    trace = Trace(named("resnet18")(), (3, 32, 32))
    segment = trace.segment(trace.names["layer1.1.conv1"], trace.names["layer1.1"])
    with pytest.raises(ModelError, match="batch sizes differ"):
        segment(ONE.expand(3, 64, 8, 8), {segment.frozen[0]: ONE.expand(2, 64, 8, 8)})


def test_models_that_cannot_be_traced_say_so() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    class Maps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    with pytest.raises(ModelError, match="the model cannot be traced: Branch"):
        Trace(Branch(), (3, 8, 8))
    with pytest.raises(ModelError, match="does not return logits"):
        Trace(Maps(), (3, 8, 8))
    with pytest.raises(ModelError, match="forward pass fails"):
        Trace(nn.Sequential(nn.Conv2d(4, 2, 1), nn.Flatten()), (3, 8, 8))
