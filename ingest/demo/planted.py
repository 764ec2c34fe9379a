"""Planted networks: weights set by hand on tiny images, so that the answers are known before anything is run.

Both networks look at one world of 48 images in three classes a, b, c (16 each). An image is a 4×4 grid of cells;
one cell holds the ten symbols a1 a2 s d b1 b2 c1 c2 n0 n1, each as the brightness of one sub-pixel, the other
cells are black. A class's own symbols are bright (≥ 195 of 255; s in both a and b), the rest are a floor
(≤ 48). All weights are multiples of 1/16 and every rectifier that a query meets is open, so that
sensitivities are ratios of weights. What GCC must say is in `ingest.demo.planted_answers`.

Notation
--------
(l, c) : channel c of the l-th layer, l = 0 … 3 for block1 … block4.   S_NS, S_SF as in methods 1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ingest.demo.digits import png
from ingest.demo.network import SquareImage

SIDE = 8
IMAGES = 48
SYMBOLS = ("a1", "a2", "s", "d", "b1", "b2", "c1", "c2", "n0", "n1")
A1, A2, S, D, B1, B2, C1, C2, N0, N1 = range(len(SYMBOLS))
CLASSES = ("a", "b", "c")
GRANULAR_LAYERS = ("block1", "block2", "block3", "block4")
SENSES_LAYERS = ("block1", "block2")

# Bright values fall by 4 from image to image, in an order of its own for each symbol; class, stride of the order.
_BRIGHT = {A1: (0, 1), A2: (0, 3), D: (0, 5), B1: (1, 1), B2: (1, 3), C1: (2, 1), C2: (2, 3)}
_FLOOR_STRIDE = (5, 7, 11, 13, 17, 19, 23, 25, 29, 31)

Node = tuple[int, int]
Weights = Mapping[tuple[int, int], float]


def symbols() -> NDArray[np.int64]:
    """Brightness (48, 10), 0..255, of each symbol in each image; images 0-15 are a, 16-31 b, 32-47 c."""
    image = np.arange(IMAGES)
    group, rank = image // 16, image % 16
    value = np.stack([1 + image * stride % IMAGES for stride in _FLOOR_STRIDE], axis=1)
    for symbol, (owner, stride) in _BRIGHT.items():
        own = group == owner
        value[own, symbol] = 255 - 4 * (rank[own] * stride % 16)
    for owner, top in ((0, 255), (1, 251)):
        value[group == owner, S] = top - 8 * rank[group == owner]
    return value


def cell(image: int) -> tuple[int, int]:
    """Row and column, 0..3, of the cell that holds the symbols."""
    return divmod(image * 7 % 16, 4)


def pixels() -> NDArray[np.uint8]:
    """The images, (48, 8, 8, 3): symbol j is colour j mod 3 of sub-pixel j div 3 of the cell."""
    canvas = np.zeros((IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    for image, values in enumerate(symbols()):
        row, column = cell(image)
        for j, value in enumerate(values):
            y, x = divmod(j // 3, 2)
            canvas[image, 2 * row + y, 2 * column + x, j % 3] = value
    return canvas


def inputs() -> Tensor:
    """The images as the transform gives them, (48, 3, 8, 8) float32 in [0, 1]."""
    return torch.from_numpy(pixels().transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def image_name(image: int) -> str:
    """Path of an image below the folder that :func:`write_images` fills."""
    return f"{CLASSES[image // 16]}/{image:02d}.png"


def write_images(root: Path) -> None:
    """Write ``root/<class>/<number>.png``."""
    for image, canvas in enumerate(pixels()):
        path = root / image_name(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(canvas))


def point(channels_in: int, channels: int, weights: Weights) -> nn.Conv2d:
    """A 1×1 convolution without bias from {(target, source): weight}."""
    conv = nn.Conv2d(channels_in, channels, 1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        for (target, source), weight in weights.items():
            conv.weight[target, source] = weight
    return conv


def stem() -> nn.Conv2d:
    """Reads the ten symbols of each cell, (B, 3, 8, 8) → (B, 10, 4, 4)."""
    stem = nn.Conv2d(3, len(SYMBOLS), 2, 2, bias=False)
    with torch.no_grad():
        stem.weight.zero_()
        for j in range(len(SYMBOLS)):
            y, x = divmod(j // 3, 2)
            stem.weight[j, j % 3, y, x] = 1.0
    return stem


class _Step(nn.Module):
    """relu(W a + what comes from elsewhere)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, a: Tensor, beside: Tensor) -> Tensor:
        return torch.relu(self.conv(a) + beside)


_FIRST: Weights = {
    **{(0, A1): 1, (0, A2): 0.875, (1, S): 1, (7, A2): 1, (7, A1): 0.0625},
    **{(2, A1): 0.875, (2, A2): 0.0625, (2, B1): 3, (3, A1): -0.25, (3, S): -0.25},
    **{(4, B1): 1, (4, B2): 0.75, (5, C1): 1, (5, C2): 0.75, (6, N0): 0.1875, (6, N1): 0.25},
    **{(6, symbol): 0.125 for symbol in (A1, A2, S, B1, B2, C1, C2)},
}
_SECOND: Weights = {
    **{(2, 0): 0.5, (2, 7): 0.0625, (4, 1): 0.0625, (7, 0): 0.875, (7, 1): 0.875},
    **{(6, source): 0.125 for source in (0, 1, 4, 7)},
}
_THIRD: Weights = {
    **{(0, 0): 1, (0, 1): 0.875, (0, 7): 1, (1, 1): 1, (1, 4): 1, (2, 5): 1},
    **{(3, source): 0.125 for source in (0, 1, 2, 4, 5, 7)},
    **{(4, source): 0.0625 for source in (0, 1, 4, 7)},
    **{(3, 6): 1, (4, 5): 0.5, (4, 6): 0.5},
}


class GranularNet(nn.Module):
    """Four layers with a known circuit; layers ``GRANULAR_LAYERS``.

    What its neurons are for: (1, 0) part of a from a1 and a2, (1, 7) another from a2, (1, 1) the part s that a
    and b share, (2, 7) their join. Decoys: (0, 3), (1, 3), (2, 3) fire for a and move nothing; (1, 3) gets
    its drive past block1, from the stem, and is only held down by a1 and s. (1, 2) is moved by a1 and yet is
    about b1. block3 adds its input (edges c → c are identities).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem()
        self.block1 = nn.ReLU()
        self.skip = point(10, 8, {(3, D): 2})
        self.block2 = _Step(point(10, 8, _FIRST))
        self.block3 = _Step(point(8, 8, _SECOND))
        self.block4 = nn.Sequential(point(8, 5, _THIRD), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, len(CLASSES), bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.eye(len(CLASSES), 5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 8, 8) → logits (B, 3)."""
        read = self.stem(x)
        a = self.block2(self.block1(read), self.skip(read))
        a = self.block4(self.block3(a, a))
        logits: Tensor = self.fc(self.avgpool(a).flatten(1))
        return logits


class SensesNet(nn.Module):
    """Two layers with a polysemantic neuron and a shared concept; layers ``SENSES_LAYERS``.

    block2: 0 is a1 + c1, two unrelated things; 1 is b1 + b2, one thing; 2 is s, shared by a and b; 3, 4, 5 are
    a2, b2, c2. Linear wherever its inputs are ≥ 0, as all images are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem()
        self.block1 = nn.ReLU()
        first = {(0, A1): 1, (0, C1): 1, (1, B1): 0.5, (1, B2): 0.5, (2, S): 1}
        self.block2 = nn.Sequential(point(10, 6, {**first, (3, A2): 1, (4, B2): 1, (5, C2): 1}), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, len(CLASSES), bias=False)
        with torch.no_grad():
            self.fc.weight.zero_()
            for (label, channel), weight in SENSES_HEAD.items():
                self.fc.weight[label, channel] = weight

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 8, 8) → logits (B, 3)."""
        logits: Tensor = self.fc(self.avgpool(self.block2(self.block1(self.stem(x)))).flatten(1))
        return logits


SENSES_HEAD: Weights = {
    **{(0, 0): 0.5, (0, 2): 1, (0, 3): 1},
    **{(1, 1): 1, (1, 2): 1, (1, 4): 0.5},
    **{(2, 0): 0.5, (2, 5): 1},
}
POLYSEMANTIC: Node = (1, 0)
"""Its senses: block1 channel that feeds each → class that it serves."""
SENSES: Mapping[int, str] = {A1: "a", C1: "c"}
MONOSEMANTIC: Node = (1, 1)
SHARED_CONCEPT: Node = (0, S)
"""A direction of block1; classes that use it, with the effect of one unit of its spatial mean on their logit."""
SHARED_EFFECT: Mapping[str, float] = {"a": 1.0, "b": 1.0, "c": 0.0}


def granular() -> tuple[nn.Module, Callable[..., Tensor]]:
    """``--model ingest.demo.planted:granular --layers block1,block2,block3,block4``."""
    return GranularNet(), SquareImage(SIDE)


def senses() -> tuple[nn.Module, Callable[..., Tensor]]:
    """``--model ingest.demo.planted:senses --layers block1,block2``."""
    return SensesNet(), SquareImage(SIDE)
