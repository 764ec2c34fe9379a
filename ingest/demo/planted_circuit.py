"""A planted network with one circuit a class, for attribution between layers: what CLA must find of it.

It looks at the 48 images of `ingest.demo.planted`. Each of its three layers has eight channels: two a class, which
feed the same class's two in the next layer; a decoy, which fires for class a as brightly as a's own channels, is fed
past the layers and feeds nothing; and a common channel, which fires for all classes and feeds the next one, louder
than any class's circuit where the network is *crowded*. All weights are multiples of 1/16 and every rectifier is open,
and one cell holds all symbols, so a score is the source's mean brightness times the weight.

Notation: (l, c) channel c of the l-th layer, l = 0 … 2 for block1 … block3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ingest.demo.network import SquareImage
from ingest.demo.planted import A1, A2, B1, B2, C1, C2, CLASSES, SIDE, D, Node, Weights, point, stem

LAYERS = ("block1", "block2", "block3")
WIDTH = 8
DECOY, COMMON = 6, 7
MEMBERS: Mapping[str, tuple[int, int]] = {"a": (0, 1), "b": (2, 3), "c": (4, 5)}
"""The channels of each class, the same in every layer."""

STEP: Weights = {
    (target, source): weight
    for one, two in MEMBERS.values()
    for (target, source), weight in {
        **{(one, one): 0.75, (one, two): 0.25},
        **{(two, one): 0.25, (two, two): 0.5},
    }.items()
}
"""(target, source) → weight, from each layer to the next; the planted edges and their strengths."""


def planted_nodes(label: str) -> frozenset[Node]:
    """All nodes of a class's circuit."""
    return frozenset((layer, channel) for layer in range(len(LAYERS)) for channel in MEMBERS[label])


class CircuitNet(nn.Module):
    """Three layers, a circuit of two channels a layer for each class; ``common`` is the gain of the common channel."""

    def __init__(self, common: float = 0.0) -> None:
        super().__init__()
        self.stem = stem()
        own = {(0, A1): 1, (1, A2): 1, (2, B1): 1, (3, B2): 1, (4, C1): 1, (5, C2): 1, (DECOY, D): 1}
        shared = {(COMMON, symbol): common for symbol in (A1, B1, C1)}
        self.read = point(10, WIDTH, {**own, **shared})
        self.block1 = nn.ReLU()
        self.past = point(10, WIDTH, {(DECOY, D): 1})
        self.step1 = point(WIDTH, WIDTH, {**STEP, (COMMON, COMMON): 1})
        self.block2 = nn.ReLU()
        self.step2 = point(WIDTH, WIDTH, {**STEP, (COMMON, COMMON): 1})
        self.block3 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        weights = {(k, channel): 1.0 for k, label in enumerate(CLASSES) for channel in MEMBERS[label]}
        self.fc = nn.Linear(WIDTH, len(CLASSES), bias=False)
        with torch.no_grad():
            self.fc.weight.zero_()
            for (label, channel), weight in weights.items():
                self.fc.weight[label, channel] = weight

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 8, 8) → logits (B, 3)."""
        read = self.stem(x)
        a = self.block1(self.read(read))
        a = self.block2(self.step1(a) + self.past(read))
        a = self.block3(self.step2(a) + self.past(read))
        logits: Tensor = self.fc(self.avgpool(a).flatten(1))
        return logits


def circuits() -> tuple[nn.Module, Callable[..., Tensor]]:
    """``--model ingest.demo.planted_circuit:circuits --layers block1,block2,block3``."""
    return CircuitNet(), SquareImage(SIDE)


def crowded() -> tuple[nn.Module, Callable[..., Tensor]]:
    """The same with a common channel that outshines every circuit."""
    return CircuitNet(common=4.0), SquareImage(SIDE)
