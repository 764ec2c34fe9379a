"""A planted network with known concepts, one of them shared by two classes: what GIG must find of it.

Each image holds three objects in cells of a 4×4 grid: two of its class, and a bystander that moves no logit. An
object is a *direction* of the first layer before its rectifier, with negative entries. How bright it is varies from
image to image, and so does a part across that direction, of a few per cent and without effect on any logit, so that
no two feature vectors of an object are alike.

Notation: objects p, q, r, t belong to one class, s to both a and b, n (the bystander) to none. Pixel values 2j and
2j + 1 of a cell (in the order of the planted networks' stem) are object j's.
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
from ingest.demo.planted import SIDE

OBJECTS = ("p", "q", "s", "r", "t", "n")
P, Q, S, R, T, N = range(len(OBJECTS))
CLASSES = ("a", "b", "c")
MEMBERS: Mapping[str, tuple[int, int]] = {"a": (P, S), "b": (Q, S), "c": (R, T)}
"""The objects of each class."""
SHARED = S
"""The object that a and b have in common; c has none in common with either."""
LAYERS = ("block1", "block2")
WIDTH = 12
IMAGES = 96
EFFECT = 2.0
"""What one unit of an object's detector, averaged over positions, adds to the logit of each of its classes."""
_MAJOR, _MINOR, _AGAINST = 0.75, 0.5, -0.25
_JITTER = 16


def directions() -> NDArray[np.float64]:
    """(6, 12) unit directions of the objects in the first layer before its rectifier."""
    v = np.zeros((len(OBJECTS), WIDTH))
    for j in range(len(OBJECTS)):
        v[j, 2 * j], v[j, 2 * j + 1] = _MAJOR, _MINOR
        v[j, (2 * j + 3) % WIDTH] = _AGAINST
    unit: NDArray[np.float64] = v / np.linalg.norm(v, axis=1, keepdims=True)
    return unit


def image_name(image: int) -> str:
    """Path of an image below the folder that :func:`write_images` fills."""
    return f"{CLASSES[image * len(CLASSES) // IMAGES]}/{image:02d}.png"


def pixels() -> NDArray[np.uint8]:
    """The images, (96, 8, 8, 3); 32 a class."""
    generator = np.random.default_rng(0)
    canvas = np.zeros((IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    for image in range(IMAGES):
        objects = (*MEMBERS[image_name(image)[0]], N)
        for cell, j in zip(generator.permutation(16)[:3].tolist(), objects, strict=True):
            row, column = divmod(cell, 4)
            bright, across = generator.integers((120, -_JITTER), (240, _JITTER + 1)).tolist()
            for value, part in ((2 * j, across), (2 * j + 1, -across)):
                y, x = divmod(value // 3, 2)
                canvas[image, 2 * row + y, 2 * column + x, value % 3] = bright + part
    return canvas


def write_images(root: Path) -> None:
    """Write ``root/<class>/<number>.png``."""
    for image, canvas in enumerate(pixels()):
        path = root / image_name(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(canvas))


class ConceptNet(nn.Module):
    """Objects → directions (block1) → detectors (block2) → logits of a, b, c; layers :data:`LAYERS`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 2, 2, bias=False)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.block1 = nn.ReLU()
        self.detect = nn.Conv2d(WIDTH, len(OBJECTS), 1, bias=False)
        self.block2 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(len(OBJECTS), len(CLASSES), bias=False)
        v = torch.from_numpy(directions()).float()
        across = torch.zeros_like(v)
        for j in range(len(OBJECTS)):
            # Orthogonal to what the detector reads.
            across[j, 2 * j], across[j, 2 * j + 1] = _MINOR, -_MAJOR
        with torch.no_grad():
            for weight in (self.stem.weight, self.detect.weight, self.fc.weight):
                weight.zero_()
            for value in range(WIDTH):
                y, x = divmod(value // 3, 2)
                self.stem.weight[value, value % 3, y, x] = 1
            # Half of the sum of an object's two pixel values goes along its direction, half of their difference across.
            self.mix.weight[:, 0::2, 0, 0] = 0.5 * (v + across).T
            self.mix.weight[:, 1::2, 0, 0] = 0.5 * (v - across).T
            for j in range(len(OBJECTS)):
                self.detect.weight[j, 2 * j], self.detect.weight[j, 2 * j + 1] = _MAJOR, _MINOR
            for label, members in enumerate(MEMBERS.values()):
                for j in members:
                    self.fc.weight[label, j] = EFFECT

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 8, 8) → logits (B, 3)."""
        a = self.block2(self.detect(self.block1(self.mix(self.stem(x)))))
        logits: Tensor = self.fc(self.avgpool(a).flatten(1))
        return logits


def concepts() -> tuple[nn.Module, Callable[..., Tensor]]:
    """``--model ingest.demo.planted_concepts:concepts --layers block1,block2``."""
    return ConceptNet(), SquareImage(SIDE)
