"""The demo's network: a small residual network whose block outputs are wide and whose inside is narrow.

Circuits of a few dozen neurons are a small share of a network only where the network has thousands of
neurons; a bottleneck block (He et al. 2015, arXiv 1512.03385, section 4.1) gives many output channels for few
weights.
Modules are named as in torchvision: blocks ``layer1.0`` … ``layer4.1``, classifier ``fc``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ingest.demo.digits import CANVAS, CLASSES

STEM = 32
STAGES: tuple[tuple[int, int, int, int], ...] = (
    # blocks, output channels, inner channels, stride of the first block
    (2, 128, 32, 2),
    (2, 256, 48, 2),
    (2, 384, 64, 1),
    (2, 512, 64, 2),
)
WEIGHTS = Path(__file__).parent / "weights" / "digit_pairs.safetensors"


class Bottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), F = 1×1, 3×3, 1×1 convolutions with batch norm; x (B, C, H, W)."""

    def __init__(self, channels_in: int, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) → (B, C, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inside = self.relu(self.bn1(self.conv1(x)))
        inside = self.relu(self.bn2(self.conv2(inside)))
        out: Tensor = self.relu(self.bn3(self.conv3(inside)) + shortcut)
        return out


class DigitPairNet(nn.Module):
    """(B, 3, 64, 64) in [0, 1] → (B, 20) logits; 2,560 neurons in eight blocks."""

    def __init__(self) -> None:
        super().__init__()
        # Every canvas at one contrast: else bright canvases fill the lists of all neurons.
        self.norm = nn.InstanceNorm2d(3)
        self.conv1 = nn.Conv2d(3, STEM, 5, 2, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        channels_in = STEM
        for number, (blocks, channels, inner, stride) in enumerate(STAGES, start=1):
            stage = []
            for index in range(blocks):
                stage.append(Bottleneck(channels_in, channels, inner, stride if index == 0 else 1))
                channels_in = channels
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels_in, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 64, 64) → logits (B, 20), classes in the order of :data:`ingest.demo.digits.CLASSES`."""
        x = self.relu(self.bn1(self.conv1(self.norm(x))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class SquareImage:
    """The transform of the demo's networks: an RGB image of one size as (3, size, size) float32 in [0, 1]."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Tensor:
        """An image of another size is brought to this one first."""
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def __repr__(self) -> str:
        return f"SquareImage({self.size})"


def digit_pairs() -> tuple[nn.Module, SquareImage]:
    """The untrained network and its transform: ``--model ingest.demo.network:digit_pairs --checkpoint …``."""
    return DigitPairNet(), SquareImage(CANVAS)
