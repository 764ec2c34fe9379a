"""Circuits from scores: against brute force, and every corner that has a definition."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest

from atlas.errors import DataError
from ingest.numerics.cla_circuit import (
    contrasted,
    find_circuit,
    jaccard,
    layer_sizes,
    random_circuit,
    settle,
    total,
)

RNG = np.random.default_rng


def chain(widths, seed=0):
    rng = RNG(seed)
    return [rng.random((a, b)) for a, b in pairwise(widths)]


def literal(scores, k, cap=20):
    """Init and sweeps with Python loops."""

    def best(values):
        order = sorted(range(len(values)), key=lambda c: (-values[c], c))
        return sorted(c for c in order[:k] if values[c] > 0)

    last = scores[-1]
    members = [best([sum(last[m, n] for m in range(len(last))) for n in range(last.shape[1])])]
    for a in reversed(scores):
        members.insert(0, best([sum(a[m, n] for n in members[0]) for m in range(len(a))]))
    for _ in range(cap):
        before = [list(m) for m in members]
        for i in range(len(members)):
            width = len(scores[i]) if i < len(scores) else scores[-1].shape[1]
            sums = [0.0] * width
            for c in range(width):
                if i < len(scores):
                    sums[c] += sum(scores[i][c, n] for n in members[i + 1])
                if i > 0:
                    sums[c] += sum(scores[i - 1][p, c] for p in members[i - 1])
            members[i] = best(sums)
        if members == before:
            break
    return tuple(map(tuple, members))


@pytest.mark.parametrize("seed", range(4))
def test_circuits_equal_the_loops(seed):
    scores = chain((7, 5, 9, 6), seed)
    assert find_circuit(scores, (3, 3, 3, 3)).members == literal(scores, 3)


@pytest.mark.parametrize("seed", range(10))
def test_a_stable_circuit_cannot_be_bettered_in_one_layer(seed):
    """Best response of every layer, by brute force over all its subsets; the total is the members' sum."""
    scores = chain((6, 5, 6), seed)
    found = find_circuit(scores, (2, 2, 2))
    assert found.stable
    for layer, width in enumerate((6, 5, 6)):
        for others in combinations(range(width), 2):
            changed = [*found.members]
            changed[layer] = others
            assert total(scores, tuple(changed)) <= found.total + 1e-12
    pairs = sum(
        a[m, n] for a, (x, y) in zip(scores, pairwise(found.members), strict=True) for m, n in product(x, y)
    )
    assert found.total == pytest.approx(pairs)
    assert found.scores[1].sum() == pytest.approx(found.total)
    assert (found.size, found.edges()) == (6, 8)


def test_permuting_channels_permutes_the_circuit():
    scores = chain((8, 7, 6), 3)
    order = [RNG(i).permutation(w) for i, w in enumerate((8, 7, 6))]
    moved = [a[np.ix_(order[i], order[i + 1])] for i, a in enumerate(scores)]
    found, other = find_circuit(scores, (3, 2, 3)), find_circuit(moved, (3, 2, 3))
    assert tuple(
        tuple(sorted(int(o[c]) for c in own)) for o, own in zip(order, other.members, strict=True)
    ) == (found.members)


def test_ties_go_to_the_lower_index():
    found = find_circuit([np.ones((4, 4)), np.ones((4, 3))], (2, 2, 2))
    assert found.members == ((0, 1), (0, 1), (0, 1))
    assert found.stable


def test_sweeps_leave_a_first_choice_that_the_neighbours_do_not_bear_out():
    """The last layer's best by total is fed by many; two-sided sums prefer the pair that holds together."""
    first = np.array([[5.0, 0], [5, 0], [0, 1]])
    second = np.array([[3.0, 0], [0, 9]])
    found = find_circuit([first, second], (1, 1, 1), last=np.array([1.0, 0.5]))
    assert found.members == ((0,), (0,), (0,))
    found = find_circuit([first, second], (1, 1, 1))
    assert found.members == ((2,), (1,), (1,))


def test_k_beyond_a_layer_takes_the_whole_layer():
    scores = chain((3, 8, 2))
    found = find_circuit(scores, layer_sizes((3, 8, 2), 5))
    assert [len(m) for m in found.members] == [3, 5, 2]
    assert layer_sizes((3, 8, 2), 5) == (3, 5, 2)
    assert layer_sizes((3, 8, 200), 1, 0.25) == (1, 2, 50)


@pytest.mark.parametrize(("k", "share"), [(0, 0.0), (4, 1.5), (4, -0.1)])
def test_sizes_that_are_none_are_refused(k, share):
    with pytest.raises(DataError, match="no such size of a circuit"):
        layer_sizes((3,), k, share)


def test_a_dead_layer_has_no_members_and_the_others_stay():
    scores = chain((5, 4, 6, 5, 4), 1)
    scores[1][:] = 0
    scores[2][:] = 0
    found = find_circuit(scores, (2,) * 5)
    assert found.members[2] == ()
    assert [len(m) for m in found.members] == [2, 2, 0, 2, 2]
    assert found.stable
    nothing = find_circuit([np.zeros((3, 3))], (2, 2))
    assert nothing.members == ((), ())
    assert nothing.total == 0


def test_a_cycle_ends_at_its_best_state_and_the_cap_holds():
    a, b, c = ((0,), (0,)), ((1,), (0,)), ((2,), (0,))
    after = {a: b, b: c, c: b}
    values = {a: 1.0, b: 2.0, c: 2.0}
    found = settle(a, after.__getitem__, values.__getitem__)
    assert (found.members, found.stable) == (b, False)
    endless = settle(((0,),), lambda s: ((s[0][0] + 1,),), lambda s: -abs(s[0][0] - 3), cap=6)
    assert (endless.members, endless.sweeps, endless.stable) == (((3,),), 6, False)


def test_a_contrast_is_what_exceeds_the_mean_of_the_others():
    scores = RNG(0).random((4, 3, 5))
    for i, own in enumerate(scores):
        others = np.delete(scores, i, axis=0)
        np.testing.assert_allclose(
            contrasted(own, scores.sum(0), 4), np.clip(own - others.mean(0), 0, None), atol=1e-12
        )
    with pytest.raises(DataError, match="second scope"):
        contrasted(scores[0], scores[0], 1)


def test_jaccard_overall_and_per_layer():
    value, layers = jaccard(((1, 2), (3,), ()), ((2, 4), (3,), ()))
    assert value == pytest.approx(2 / 4)
    assert layers == [pytest.approx(1 / 3), 1.0, 0.0]
    assert jaccard(((),), ((),)) == (0.0, [0.0])


def test_random_circuits_have_the_sizes_and_follow_the_seed():
    found = random_circuit((9, 3), (4, 4), RNG(1))
    assert [len(m) for m in found] == [4, 3]
    assert found == random_circuit((9, 3), (4, 4), RNG(1))
    assert all(tuple(sorted(set(m))) == m for m in found)
