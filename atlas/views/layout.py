"""Order and places of a layered drawing: one column per layer, few crossings, the same for the same graph.

Barycentre heuristic (Sugiyama, Tagawa and Toda 1981): sweeps over the columns put each vertex at the weighted mean
place of its neighbours; the best order met, the first one included, is kept. Departure: an arc that skips columns
counts from end to end, without vertices in between.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

Columns = tuple[tuple[str, ...], ...]
Edge = tuple[str, str, float]
SWEEPS = 12


@dataclass(frozen=True)
class Spacing:
    """Sizes in pixels: a vertex's box, the gaps between columns and rows, and width / height of the whole aimed at.

    In a ``portrait`` the words stand below the picture, else beside it.
    """

    width: float = 168.0
    height: float = 46.0
    between: float = 110.0
    rows: float = 8.0
    aspect: float = 1.6
    portrait: bool = False


@dataclass(frozen=True)
class Places:
    """Upper left corner of each vertex, left edge and width of each column, and the size of the whole."""

    at: Mapping[str, tuple[float, float]]
    columns: tuple[tuple[float, float], ...]
    width: float
    height: float


def arrange(columns: Sequence[Iterable[str]], edges: Iterable[Edge], sweeps: int = SWEEPS) -> Columns:
    """The order of each column with the fewest crossings met; never more than in the sorted order.

    ``edges`` are (source, target, weight ≥ 0). Depends on neither the order of vertices nor that of edges.
    """
    current: Columns = tuple(tuple(sorted(column)) for column in columns)
    kept = sorted(edges)
    best, least = current, crossings(current, kept)
    for sweep in range(sweeps):
        if least == 0:
            break
        current = _swept(current, kept, rightwards=sweep % 2 == 0)
        found = crossings(current, kept)
        if found < least:
            best, least = current, found
    return best


def crossings(columns: Sequence[Sequence[str]], edges: Iterable[Edge]) -> int:
    """Pairs of arcs between the same two columns that cross."""
    where = _where(columns)
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for source, target, _ in edges:
        (a, i), (b, j) = where[source], where[target]
        if a != b:
            pairs[min(a, b), max(a, b)].append((i, j) if a < b else (j, i))
    return sum(_inversions(ends, len(columns[right])) for (_, right), ends in pairs.items())


def place(columns: Columns, spacing: Spacing) -> Places:
    """Columns from left to right, each centred from top to bottom.

    A tall column stands in several files beside each other, filled row by row, so that its order stays.
    """
    tallest = max((len(column) for column in columns), default=0)
    tried = [_placed(columns, spacing, most) for most in range(min(tallest, 8), tallest + 1)]
    return min(tried, key=lambda p: abs(math.log(max(p.width, 1.0) / max(p.height, 1.0) / spacing.aspect)))


def _placed(columns: Columns, spacing: Spacing, most: int) -> Places:
    """With at most ``most`` rows."""
    step, side = spacing.height + spacing.rows, spacing.width + spacing.rows
    files = [max(1, -(-len(column) // max(most, 1))) for column in columns]
    rows = [-(-len(column) // k) for column, k in zip(columns, files, strict=True)]
    whole = max(rows, default=0) * step - spacing.rows
    at: dict[str, tuple[float, float]] = {}
    spans: list[tuple[float, float]] = []
    left = 0.0
    for column, k, n in zip(columns, files, rows, strict=True):
        top = (whole - (n * step - spacing.rows)) / 2
        at |= {v: (left + i % k * side, top + i // k * step) for i, v in enumerate(column)}
        spans.append((left, k * side - spacing.rows))
        left += spans[-1][1] + spacing.between
    return Places(at, tuple(spans), max(left - spacing.between, 0.0), max(whole, 0.0))


def _where(columns: Sequence[Sequence[str]]) -> dict[str, tuple[int, int]]:
    return {vertex: (i, j) for i, column in enumerate(columns) for j, vertex in enumerate(column)}


def _swept(columns: Columns, edges: Sequence[Edge], *, rightwards: bool) -> Columns:
    """One sweep: each column in turn ordered by the mean place of the neighbours on the side it came from."""
    of = {vertex: i for i, column in enumerate(columns) for vertex in column}
    neighbours: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for source, target, weight in edges:
        for vertex, other in ((source, target), (target, source)):
            if of[other] != of[vertex] and (of[other] < of[vertex]) is rightwards:
                neighbours[vertex].append((other, weight + 1e-6))
    now = [list(column) for column in columns]
    height = {v: (i + 0.5) / len(column) for column in now for i, v in enumerate(column)}
    for i in range(len(now)) if rightwards else reversed(range(len(now))):
        mean = {vertex: _mean(vertex, neighbours[vertex], height) for vertex in now[i]}
        now[i].sort(key=lambda vertex, mean=mean: (mean[vertex], vertex))  # type: ignore[misc]
        height.update({v: (j + 0.5) / len(now[i]) for j, v in enumerate(now[i])})
    return tuple(tuple(column) for column in now)


def _mean(vertex: str, neighbours: Sequence[tuple[str, float]], height: Mapping[str, float]) -> float:
    if not neighbours:
        return height[vertex]
    return sum(height[o] * w for o, w in neighbours) / sum(w for _, w in neighbours)


def _inversions(ends: list[tuple[int, int]], size: int) -> int:
    """Pairs (i, j), (k, l) with i < k and j > l, counted with a Fenwick tree over the right side."""
    tree = [0] * (size + 1)
    total = seen = 0
    for _, same in groupby(sorted(ends), key=lambda pair: pair[0]):
        targets = [j for _, j in same]
        total += sum(seen - _prefix(tree, j + 1) for j in targets)
        for j in targets:
            _add(tree, j + 1)
        seen += len(targets)
    return total


def _prefix(tree: Sequence[int], i: int) -> int:
    found = 0
    while i > 0:
        found += tree[i]
        i -= i & -i
    return found


def _add(tree: list[int], i: int) -> None:
    while i < len(tree):
        tree[i] += 1
        i += i & -i
