"""Default layers of every family, globs, and the two shapes of a layer's tensor."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from atlas.errors import ModelError
from ingest.layers import LayerSpec, choose_layers, from_units, to_units
from ingest.segments import OUTPUT, Trace


def layers_of(module: nn.Module, size: int, globs: str | None = None) -> tuple[LayerSpec, ...]:
    return choose_layers(traced(module, size), globs)  # type: ignore[arg-type]


def traced(module: nn.Module, size: int) -> SimpleNamespace:
    return SimpleNamespace(trace=Trace(module.eval(), (3, size, size)), name="m")


def build(name: str) -> nn.Module:
    # RegNet computes its widths with tensors that must hold numbers.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return torchvision.models.get_model(name, weights=None, **EXTRA.get(name, {}))


EXTRA = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}

# Name, input size, number of default layers, first and last of them.
FAMILIES = [
    ("resnet18", 64, 8, "layer1.0", "layer4.1"),
    ("resnet50", 64, 16, "layer1.0", "layer4.2"),
    ("vgg16_bn", 64, 13, "features.2", "features.42"),
    ("vgg11", 64, 8, "features.1", "features.19"),
    ("alexnet", 224, 5, "features.1", "features.11"),
    ("googlenet", 64, 9, "inception3a", "inception5b"),
    ("inception_v3", 128, 11, "Mixed_5b", "Mixed_7c"),
    ("convnext_tiny", 64, 18, "features.1.0", "features.7.2"),
    ("mobilenet_v2", 64, 17, "features.1", "features.17"),
    ("mobilenet_v3_small", 64, 11, "features.1", "features.11"),
    ("efficientnet_b0", 64, 16, "features.1.0", "features.7.0"),
    ("efficientnet_v2_s", 64, 40, "features.1.0", "features.6.14"),
    ("regnet_y_400mf", 64, 16, "trunk_output.block1.block1-0", "trunk_output.block4.block4-5"),
    ("densenet121", 64, 4, "features.denseblock1", "features.denseblock4"),
    ("shufflenet_v2_x0_5", 64, 16, "stage2.0", "stage4.3"),
    ("squeezenet1_1", 64, 8, "features.3", "features.12"),
    ("mnasnet0_5", 64, 16, "layers.8.0", "layers.13.0"),
    ("maxvit_t", 224, 11, "blocks.0.layers.0", "blocks.3.layers.1"),
    ("vit_b_16", 224, 12, "encoder.layers.encoder_layer_0.mlp.1", "encoder.layers.encoder_layer_11.mlp.1"),
    ("swin_t", 64, 12, "features.1.0.mlp.1", "features.7.1.mlp.1"),
    ("swin_v2_t", 64, 12, "features.1.0.mlp.1", "features.7.1.mlp.1"),
]


@pytest.mark.parametrize(("name", "size", "count", "first", "last"), FAMILIES, ids=str)
def test_default_layers_of_every_family(name: str, size: int, count: int, first: str, last: str) -> None:
    layers = layers_of(build(name), size)
    assert len(layers) == count
    assert (layers[0].name, layers[-1].name) == (first, last)
    assert [layer.ordinal for layer in layers] == list(range(count))
    tokens = name.startswith(("vit", "swin"))
    assert {layer.kind for layer in layers} == {"tokens" if tokens else "conv"}
    assert all(
        layer.grid and layer.positions - layer.tokens_before == layer.grid[0] * layer.grid[1]
        for layer in layers
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_torchvision_classifier_has_layers(name: str) -> None:
    size = {"inception_v3": 299, "vit_h_14": 224, "alexnet": 224}.get(name, 224)
    layers = layers_of(build(name), size)
    assert len(layers) >= 4
    assert all(layer.channels > 1 for layer in layers)


def test_numbers_of_resnet50_and_vit() -> None:
    """methods.md section 0: 15,104 neurons in 16 blocks; section 1.2: 3,072 hidden units, 197 tokens."""
    resnet = layers_of(build("resnet50"), 224)
    assert sum(layer.channels for layer in resnet) == 15_104
    assert resnet[0].grid == (56, 56)
    assert resnet[-1].positions == 49
    vit = layers_of(build("vit_b_16"), 224)[0]
    assert (vit.channels, vit.positions, vit.grid, vit.tokens_before, vit.channel_axis) == (
        3072,
        197,
        (14, 14),
        1,
        2,
    )
    swin = layers_of(build("swin_t"), 224)[0]
    assert (swin.channels, swin.positions, swin.grid, swin.channel_axis) == (384, 3136, (56, 56), 3)


def names(layers: tuple[LayerSpec, ...]) -> list[str]:
    return [layer.name for layer in layers]


def test_globs_narrow_first_and_reach_everything_else() -> None:
    model = traced(build("resnet18"), 64)
    for globs, expected in {
        "layer3.*": ["layer3.0", "layer3.1"],
        "layer3*": ["layer3.0", "layer3.1"],
        "layer4.1, layer1.*": ["layer1.0", "layer1.1", "layer4.1"],
        "layer[12].1": ["layer1.1", "layer2.1"],
        "layer2.0.conv?": ["layer2.0.conv1", "layer2.0.conv2"],
        "layer2.0.add": ["layer2.0.add"],
        "maxpool,fc": ["maxpool", "fc"],
        "*": [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)],
    }.items():
        assert names(choose_layers(model, globs)) == expected  # type: ignore[arg-type]
    fully = choose_layers(model, "fc")[0]  # type: ignore[arg-type]
    assert (fully.channels, fully.positions, fully.grid, fully.channel_axis) == (1000, 1, None, 1)


def small_vit() -> nn.Module:
    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=7
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


def test_globs_reach_residual_stream_heads_attention_and_class_token_of_a_vit() -> None:
    model = traced(small_vit(), 32)
    for globs, (channels, positions, grid) in {
        "encoder.layers.encoder_layer_*": (16, 17, (4, 4)),
        "*.heads": (16, 17, (4, 4)),
        "*.self_attention": (16, 17, (4, 4)),
        "*.cls": (16, 1, None),
    }.items():
        layers = choose_layers(model, globs)  # type: ignore[arg-type]
        assert len(layers) == 2, globs
        assert {(x.channels, x.positions, x.grid, x.kind) for x in layers} == {
            (channels, positions, grid, "tokens")
        }


def test_one_value_under_two_names_is_one_layer() -> None:
    model = traced(build("resnet18"), 64)
    assert names(choose_layers(model, "layer1.0,layer1.0.relu_1")) == ["layer1.0"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("globs", "message"),
    [("layer9.1", "no such layer: layer9.1 of m. Closest: layer4.1"), (" , ", "no layer named")],
)
def test_unknown_layers_name_the_closest(globs: str, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        layers_of(build("resnet18"), 64, globs)


class Plain(nn.Module):
    """Convolutions with functional activations, no blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = nn.functional.gelu(self.norm(self.b(x)))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class TokenBlock(nn.Module):
    """A transformer block of somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + self.attention(y, y, y)[0]
        out: Tensor = x + self.mlp(self.norm(x))
        return out


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.blocks = nn.ModuleList([TokenBlock(), TokenBlock()])
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x.mean(1))
        return out


@pytest.mark.parametrize(
    ("module", "expected", "shape"),
    [
        (Plain, ["relu", "gelu"], (5, 16, (4, 4))),
        (Tokens, ["blocks.0.mlp.1", "blocks.1.mlp.1"], (12, 4, (2, 2))),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 2)),
            ["2"],
            (7, 1, None),
        ),
    ],
)
def test_other_peoples_models_by_structure(
    module: Callable[[], nn.Module], expected: list[str], shape: tuple[int, int, tuple[int, int] | None]
) -> None:
    layers = layers_of(module(), 8)
    assert names(layers) == expected
    assert (layers[-1].channels, layers[-1].positions, layers[-1].grid) == shape


def test_nothing_to_take_as_layers() -> None:
    with pytest.raises(ModelError, match="no blocks or convolutions"):
        layers_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), 8)


@pytest.mark.parametrize("build_small", [small_vit, small_swin, Plain])
def test_units_are_channels_by_positions_and_back(build_small: Callable[[], nn.Module]) -> None:
    """Against indexing written out, for (B, C, H, W), (B, N, C) and (B, H, W, C)."""
    model = traced(build_small(), 32)
    x = torch.rand(2, 3, 32, 32)
    for layer in choose_layers(model, None):  # type: ignore[arg-type]
        raw = model.trace.values(x, [layer.node])[layer.node]
        units = to_units(raw, layer)
        assert units.shape == (2, layer.channels, layer.positions)
        height, width = layer.grid or (0, 0)
        for channel in (0, layer.channels - 1):
            for row, column in ((0, 0), (height - 1, 1), (1, width - 1)):
                place = layer.tokens_before + row * width + column
                literal = {
                    1: (slice(None), channel, row, column),
                    2: (slice(None), place, channel),
                    3: (slice(None), row, column, channel),
                }[layer.channel_axis]
                assert torch.equal(units[:, channel, place], raw[literal[: raw.dim()]])
        back = from_units(units, raw.shape, layer)
        assert torch.equal(back, raw)
        assert from_units(units[:1], raw.shape, layer).shape == (1, *raw.shape[1:])
    flat = torch.rand(2, 7)
    layer = choose_layers(model, "*head*")[-1]  # type: ignore[arg-type]
    assert to_units(flat, layer).shape == (2, 7, 1)
    assert torch.equal(from_units(to_units(flat, layer), flat.shape, layer), flat)


def test_the_last_layer_reaches_the_logits_in_every_family() -> None:
    for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1"):
        model = traced(build(name), 64)
        layers = choose_layers(model, None)  # type: ignore[arg-type]
        assert model.trace.segment(layers[-1].node, OUTPUT).frozen == ()
