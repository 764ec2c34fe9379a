"""Order and places of layered drawings: crossings counted literally, never more than in the first order."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from atlas.views import layout
from atlas.views.layout import Spacing


def graph(
    seed: int, sizes: tuple[int, ...] = (5, 9, 7, 4), edges: int = 40
) -> tuple[list[list[str]], list[layout.Edge]]:
    """Random columns and arcs, also such that skip columns."""
    draw = random.Random(seed)
    columns = [[f"{i}/{j}" for j in range(size)] for i, size in enumerate(sizes)]
    made = {
        (draw.choice(columns[a]), draw.choice(columns[b]), draw.random())
        for a, b in (sorted(draw.sample(range(len(columns)), 2)) for _ in range(edges))
    }
    return columns, list(made)


def literal_crossings(columns: layout.Columns, edges: list[layout.Edge]) -> int:
    where = {v: (i, j) for i, column in enumerate(columns) for j, v in enumerate(column)}
    arcs = [(where[a], where[b]) for a, b, _ in edges]
    return sum(
        (a[0], b[0]) == (c[0], d[0]) and (a[1] - c[1]) * (b[1] - d[1]) < 0
        for (a, b), (c, d) in combinations(arcs, 2)
    )


@pytest.mark.parametrize("seed", range(5))
def test_crossings_are_those_counted_pair_by_pair(seed: int) -> None:
    columns, edges = graph(seed)
    order = tuple(tuple(column) for column in columns)
    assert layout.crossings(order, edges) == literal_crossings(order, edges)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_crosses_less_and_holds_the_same_vertices(seed: int) -> None:
    columns, edges = graph(seed)
    order = layout.arrange(columns, edges)
    assert [sorted(column) for column in order] == columns
    assert layout.crossings(order, edges) < layout.crossings(tuple(map(tuple, columns)), edges)


def test_a_drawing_without_need_has_no_crossing() -> None:
    columns = [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    edges = [("a0", "b2", 1.0), ("a1", "b1", 1.0), ("a2", "b0", 1.0)]
    assert layout.crossings(layout.arrange(columns, edges), edges) == 0


def test_the_order_does_not_hang_on_the_order_of_input() -> None:
    columns, edges = graph(7)
    shuffled = [list(reversed(column)) for column in columns]
    assert layout.arrange(columns, edges) == layout.arrange(shuffled, list(reversed(edges)))


def test_no_two_boxes_overlap_and_all_lie_within() -> None:
    spacing = Spacing()
    columns = tuple(tuple(f"{i}/{j}" for j in range(n)) for i, n in enumerate((1, 60, 13)))
    places = layout.place(columns, spacing)
    for (x, y), (u, v) in combinations(places.at.values(), 2):
        assert abs(x - u) >= spacing.width or abs(y - v) >= spacing.height
    assert all(0 <= x <= places.width - spacing.width for x, _ in places.at.values())
    assert all(0 <= y <= places.height - spacing.height for _, y in places.at.values())
    # Sixty in one file would be a strip; the whole is about as wide as a screen.
    assert 0.8 < places.width / places.height < 3.2


def test_nothing_has_no_size() -> None:
    places = layout.place(layout.arrange([], []), Spacing())
    assert (places.at, places.width, places.height) == ({}, 0.0, 0.0)
