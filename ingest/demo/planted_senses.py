"""What PURE must say of the planted network `ingest.demo.planted.SensesNet`.

Neuron (1, 0) adds two detectors, a1 and c1; (1, 1) is one detector, of b1 and b2 together. Notation as in
`ingest.demo.planted`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.demo.planted import CLASSES, SENSES, symbols


@dataclass(frozen=True)
class PlantedSenses:
    """The parameters the answers are for: as many references as images that one of the detectors fires on."""

    references: int = 32
    least: int = 10


def true_senses(images: list[int]) -> list[int]:
    """Which of the two detectors of (1, 0) speaks on each image: the channel of block1 that is brighter."""
    values = symbols()
    first, second = sorted(SENSES)
    return [first if values[image, first] >= values[image, second] else second for image in images]


def served_class(channel: int) -> str:
    """Name of the class that the sense fed by this channel of block1 serves."""
    name = SENSES[channel]
    if name not in CLASSES:
        raise KeyError(name)
    return name
