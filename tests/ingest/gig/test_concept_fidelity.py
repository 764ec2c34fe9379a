"""Insertion and deletion curves, and their areas, against their definitions spelled out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ingest.numerics.concept_fidelity import (
    area_over_active,
    area_over_all,
    mass_share,
    partial_sums,
    plan,
    relative_errors,
)


def literal_area_over_all(
    importance: list[float], concepts: int, curve: dict[frozenset[int], float]
) -> float:
    """Every one of the K concepts inserted in turn, the trapezoid rule on K + 1 points."""
    full = importance + [0.0] * (concepts - len(importance))
    order = sorted(range(concepts), key=lambda i: (-full[i], i))
    active = set(range(len(importance)))
    values = [curve[frozenset(set(order[:j]) & active)] for j in range(concepts + 1)]
    return sum((a + b) / 2 for a, b in itertools.pairwise(values)) / concepts


def test_areas_are_those_of_the_curve_of_all_concepts() -> None:
    importance = [0.5, -1.0, 2.0, 0.25, -0.5]
    own = plan(torch.tensor(importance, dtype=torch.float64), points=100)
    assert own.counts == (0, 1, 2, 3, 4, 5)
    assert own.order.tolist() == [2, 0, 3, 4, 1]
    rng = np.random.default_rng(0)
    values = rng.random(6)
    curve = {frozenset(own.order[:j].tolist()): values[j] for j in range(6)}
    for concepts in (5, 6, 40):
        expected = literal_area_over_all(importance, concepts, curve)
        assert area_over_all(own, values, concepts) == pytest.approx(expected)
    assert area_over_active(own, values) == pytest.approx(area_over_all(own, values, 5))


def test_fewer_points_keep_the_ends_and_the_turn() -> None:
    own = plan(torch.linspace(1, -3, 41), points=4)
    assert own.counts == (0, 10, 20, 30, 41) or {0, 41, own.positive} <= set(own.counts)
    straight = np.array(own.counts) / 41
    assert area_over_active(own, straight) == pytest.approx(0.5)


def test_no_active_concept_is_a_flat_curve() -> None:
    own = plan(torch.zeros(0), points=5)
    assert own.counts == (0,)
    assert area_over_active(own, np.array([0.75])) == 0.75
    assert area_over_all(own, np.array([0.75]), 8) == pytest.approx(0.75)


def test_insertion_and_deletion_are_complements_and_the_sums_are_literal() -> None:
    generator = torch.Generator().manual_seed(0)
    codes, concepts = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((3, 4), (4, 6)))
    own = plan(torch.tensor([0.1, 0.4, -0.2, 0.3]), points=4)
    put_in, left = own.kept(insertion=True), own.kept(insertion=False)
    assert (put_in ^ left).all()
    found = partial_sums(codes, concepts, put_in)
    for j, taken in enumerate(own.counts):
        expected = sum(
            (torch.outer(codes[:, i], concepts[i]) for i in own.order[:taken].tolist()), torch.zeros(3, 6)
        )
        torch.testing.assert_close(found[j], expected.double())
    torch.testing.assert_close(
        found + partial_sums(codes, concepts, left), (codes @ concepts).expand(5, 3, 6)
    )


def test_relative_errors_and_mass() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    errors = relative_errors(x, torch.tensor([[3.0, 0.0], [1.0, 0.0]]))
    assert errors[0] == pytest.approx(0.8)
    assert errors[1].isnan()
    field = torch.tensor([[1.0, 3.0], [4.0, 0.0]])
    left = torch.tensor([[True, False], [False, False]])
    top = torch.tensor([[True, True], [False, False]])
    assert mass_share(field, left, top) == 0.25
    assert np.isnan(mass_share(field, ~top & False, torch.zeros_like(top)))
