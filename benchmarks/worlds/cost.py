"""Models for measuring what a job costs: a family of set depth and width, ResNet-50, ViT-B/16; random weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


@dataclass(frozen=True)
class Shape:
    """What the factories of this module build."""

    layers: int
    channels: int
    size: int
    classes: int


SHAPE = Shape(4, 32, 32, 4)
"""Set by the process that measures, before it loads a model."""


class Residual(nn.Module):
    """Residual blocks of one width, at half of the image's resolution."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, shape.channels, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(BasicBlock(shape.channels, shape.channels) for _ in range(shape.layers))
        )
        self.head = nn.Linear(shape.channels, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def residual() -> nn.Module:
    """The family."""
    torch.manual_seed(0)
    return Residual(SHAPE)


def resnet50() -> nn.Module:
    """ResNet-50."""
    torch.manual_seed(0)
    return torchvision.models.resnet50(num_classes=SHAPE.classes)


def vit_b_16() -> nn.Module:
    """ViT-B/16."""
    torch.manual_seed(0)
    return torchvision.models.vit_b_16(num_classes=SHAPE.classes)
