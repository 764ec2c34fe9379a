"""Your own model for Circuit Atlas, in one file: a function that returns a module, or a module and its transform.

    atlas layers --model examples.own_model:small_resnet
    atlas ingest --model examples.own_model:small_resnet --checkpoint weights.safetensors --data images/

The layers are its three residual blocks, found by their structure.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import transforms


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.second(self.first(x)) + self.shortcut(x))


def small_resnet() -> tuple[nn.Module, transforms.Compose]:
    """Ten classes, images of any size scaled to 32x32."""
    module = nn.Sequential(
        Block(3, 16, 1),
        Block(16, 32, 2),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    return module, transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
