"""Tiny random networks of every supported family, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from ingest.demo.network import Bottleneck
from ingest.layers import LayerSpec, choose_layers
from ingest.segments import Trace


class Residual(nn.Module):
    """A projection block, then two with identity shortcuts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        blocks = [Bottleneck(6, 8, 4, 2), Bottleneck(8, 8, 4, 1), Bottleneck(8, 8, 4, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


class Plain(nn.Module):
    """Convolutions, batch norm, in-place rectifiers and pooling, as in VGG."""

    def __init__(self) -> None:
        super().__init__()
        widths, layers = [3, 6, 7, 8], []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers, nn.MaxPool2d(2))
        self.classifier = nn.Linear(8 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class Joined(nn.Module):
    """Two concatenating blocks of GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.first = Inception(6, 2, 3, 4, 2, 3, 2)
        self.second = Inception(11, 3, 2, 3, 2, 2, 2)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(torch.relu(self.stem(x)))).mean((2, 3)))


def _convnext() -> nn.Module:
    return ConvNeXt([CNBlockConfig(6, 8, 2), CNBlockConfig(8, None, 1)], num_classes=5, layer_scale=1.0)


def _mobilenet() -> nn.Module:
    row = partial(InvertedResidualConfig, width_mult=0.5)
    rows = [row(16, 3, 16, 16, True, "RE", 2, 1), row(16, 3, 24, 16, True, "HS", 1, 1)]
    return MobileNetV3(rows, last_channel=16, num_classes=5)


def _vit() -> nn.Module:
    sizes = {"num_layers": 3, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 12}
    return VisionTransformer(image_size=8, patch_size=4, num_classes=5, **sizes)


def _swin() -> nn.Module:
    sizes = {"embed_dim": 6, "depths": [2, 1], "num_heads": [2, 2], "window_size": [2, 2]}
    return SwinTransformer([2, 2], stochastic_depth_prob=0.0, num_classes=5, **sizes)


FAMILIES: Mapping[str, tuple[Callable[[], nn.Module], int, str | None]] = {
    "residual": (Residual, 12, "blocks.*"),
    "vgg": (Plain, 8, "features.2,features.5,features.8"),
    "googlenet": (Joined, 8, "first,second"),
    "convnext": (_convnext, 16, None),
    "mobilenet": (_mobilenet, 16, None),
    "vit": (_vit, 8, "encoder.layers.encoder_layer_*"),
    "vit_hidden": (_vit, 8, "encoder.layers.*.mlp.1"),
    "swin": (_swin, 12, None),
}


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Random weights and batch statistics, evaluation mode, float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval().requires_grad_(False)
    for name, p in [*module.named_parameters(), *module.named_buffers()]:
        if p.is_floating_point():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            fan = math.sqrt(max(1, p[0].numel())) if p.dim() > 1 else 1.0
            positive = "var" in name or (p.dim() == 1 and name.endswith("weight"))
            p.copy_(noise.abs() + 0.5 if positive else 0.9 * noise / fan)
    return module


@dataclass(frozen=True)
class Net:
    """A network, its trace and layers, and three images."""

    module: nn.Module
    trace: Trace
    layers: tuple[LayerSpec, ...]
    images: Tensor


@pytest.fixture(scope="session")
def nets() -> Callable[[str], Net]:
    made: dict[str, Net] = {}

    def get(family: str) -> Net:
        if family not in made:
            build, size, globs = FAMILIES[family]
            module = randomised(build(), 1)
            trace = Trace(module, (3, size, size))
            layers = choose_layers(SimpleNamespace(trace=trace, name=family), globs)
            images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2)).double()
            made[family] = Net(module, trace, layers, images)
        return made[family]

    return get


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
