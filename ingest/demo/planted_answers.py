"""What GCC must say of the planted network `ingest.demo.planted.GranularNet`, edge by edge.

Sensitivities are ratios of its weights: of what a source sends to all targets that it raises, the share of one.
Overlaps are sixths, because lists hold six images. Notation as in `ingest.demo.planted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

Node = tuple[int, int]


@dataclass(frozen=True)
class PlantedSettings:
    """The parameters the answers are for; layers this narrow need a percentile that leaves a tail."""

    root_share: float = 0.125
    mask_share: float = 0.7
    pot_percentile: float = 50.0
    flow_floor: float = 0.1


@dataclass(frozen=True)
class PlantedEdge:
    """An edge of the answer: channel ``source`` of ``layer`` to channel ``target`` of the next."""

    layer: int
    source: int
    target: int
    sensitivity: Fraction
    overlap: Fraction
    identity: bool


@dataclass(frozen=True)
class PlantedAnswer:
    """What GCC must say of one query.

    query : index of the image.     roots : every root, in order of layers and channels.
    circuits : root → all nodes of its circuit; roots that keep an edge and that no earlier root reaches.
    merged : root with an edge → the earliest root that reaches it.
    refused : (layer, source, target) that pass τ_NS and fail τ_SF.
    """

    query: int
    roots: tuple[Node, ...]
    edges: tuple[PlantedEdge, ...]
    circuits: Mapping[Node, frozenset[Node]]
    merged: Mapping[Node, Node]
    refused: frozenset[tuple[int, int, int]]


def _edge(layer: int, source: int, target: int, sensitivity: str, sixths: int) -> PlantedEdge:
    identity = layer == 1 and source == target
    return PlantedEdge(layer, source, target, Fraction(sensitivity), Fraction(sixths, 6), identity)


_SHARED = (
    _edge(0, 2, 1, "8/9", 6),
    _edge(1, 1, 1, "16/33", 6),
    _edge(2, 1, 0, "14/33", 3),
    _edge(2, 1, 1, "16/33", 3),
)
"""The path of s, from (0, 2) to (3, 0) and (3, 1): the queries of a and of b have it in common."""

DECOYS: tuple[Node, ...] = ((0, 3), (1, 3), (2, 3))
"""Roots of the query in class a that no circuit holds: they fire, and move nothing."""

QUERY_A = PlantedAnswer(
    query=0,
    roots=(
        *((0, 0), (0, 1), (0, 2), (0, 3)),
        *((1, 0), (1, 1), (1, 3), (1, 7)),
        *((2, 0), (2, 1), (2, 3), (2, 6), (2, 7)),
    ),
    edges=(
        *_SHARED,
        _edge(0, 0, 0, "16/33", 4),
        _edge(0, 1, 0, "14/33", 4),
        _edge(0, 1, 7, "16/33", 6),
        _edge(1, 0, 0, "2/5", 6),
        _edge(1, 0, 7, "7/20", 6),
        _edge(1, 7, 7, "16/19", 4),
        _edge(2, 0, 0, "16/19", 6),
        _edge(2, 6, 3, "2/3", 6),
        _edge(2, 7, 0, "16/19", 6),
    ),
    circuits={
        (0, 0): frozenset({(0, 0), (1, 0), (2, 0), (2, 7), (3, 0)}),
        (0, 1): frozenset({(0, 1), (1, 0), (1, 7), (2, 0), (2, 7), (3, 0)}),
        (0, 2): frozenset({(0, 2), (1, 1), (2, 1), (3, 0), (3, 1)}),
        (2, 6): frozenset({(2, 6), (3, 3)}),
    },
    merged={(1, 0): (0, 0), (1, 1): (0, 2), (1, 7): (0, 1), (2, 0): (0, 0), (2, 1): (0, 2), (2, 7): (0, 0)},
    refused=frozenset({(0, 0, 2)}),
)

QUERY_B = PlantedAnswer(
    query=16,
    roots=((0, 2), (0, 4), (0, 5), (1, 1), (1, 2), (1, 4), (1, 6), (2, 1), (2, 2), (2, 4)),
    edges=(
        *_SHARED,
        _edge(0, 4, 2, "8/11", 6),
        _edge(0, 5, 4, "6/7", 4),
        _edge(1, 4, 4, "8/9", 6),
        _edge(2, 4, 1, "16/19", 5),
    ),
    circuits={
        (0, 2): frozenset({(0, 2), (1, 1), (2, 1), (3, 0), (3, 1)}),
        (0, 4): frozenset({(0, 4), (1, 2)}),
        (0, 5): frozenset({(0, 5), (1, 4), (2, 4), (3, 1)}),
    },
    merged={(1, 1): (0, 2), (1, 4): (0, 5), (2, 1): (0, 2), (2, 4): (0, 5)},
    refused=frozenset({(1, 1, 7)}),
)
