"""Senses that are fed alike, against the same words in plain Python."""

from __future__ import annotations

from collections import defaultdict
from math import sqrt

import numpy as np
import pytest
import torch

from atlas.spool import Coded
from ingest.methods.pure_alike import alike_table
from ingest.methods.stage import Table
from ingest.numerics.resemblance import DIGITS, Alike, Entries, alike, shared

MOST = 4
Rows = list[tuple[int, int, float, int]]


def entries(
    seed: int = 0, senses: int = 23, neurons: int = 9, feeds: int = 3
) -> tuple[Entries, torch.Tensor]:
    """Some feeders for every sense but the last; two or three senses a neuron."""
    draw = np.random.default_rng(seed)
    row = np.repeat(np.arange(senses - 1), feeds)
    column = np.concatenate([draw.choice(neurons, feeds, replace=False) for _ in range(senses - 1)])
    value = draw.normal(size=len(row))
    owner = np.arange(senses) * 2 // 5
    return Entries(*(torch.from_numpy(x) for x in (row, column, value))), torch.from_numpy(owner)


def literally(given: Entries, owner: torch.Tensor, most: int) -> Rows:
    """Every pair by itself."""
    x: dict[int, dict[int, float]] = defaultdict(dict)
    for row, column, value in zip(
        given.row.tolist(), given.column.tolist(), given.value.tolist(), strict=True
    ):
        x[row][column] = value
    found: Rows = []
    for a in range(len(owner)):
        others = []
        for b in range(len(owner)):
            common = x[a].keys() & x[b].keys()
            if owner[a] == owner[b] or not common:
                continue
            product = sum(x[a][n] * x[b][n] for n in common)
            lengths = [sqrt(sum(v * v for v in x[s].values())) for s in (a, b)]
            others.append((-round(product / (lengths[0] * lengths[1]), DIGITS), b))
        best = [(value, b) for value, b in sorted(others) if value < 0][:most]
        found += [(a, b, -value, rank) for rank, (value, b) in enumerate(best, start=1)]
    return found


def rows(found: Alike) -> Rows:
    parts = (found.sense, found.other, found.cosine, found.rank)
    return list(zip(*(part.tolist() for part in parts), strict=True))


@pytest.mark.parametrize("chunk_bytes", [1, 2000, 1 << 20])
def test_each_sense_keeps_its_best_of_other_neurons(chunk_bytes: int) -> None:
    given, owner = entries()
    found = rows(alike(given, owner, MOST, chunk_bytes))
    expected = literally(given, owner, MOST)
    assert [(a, b, rank) for a, b, _, rank in found] == [(a, b, rank) for a, b, _, rank in expected]
    assert np.allclose([row[2] for row in found], [row[2] for row in expected], atol=2 * 10.0**-DIGITS)
    assert all(owner[a] != owner[b] for a, b, *_ in found)


def test_all_that_is_alike_is_alike_both_ways() -> None:
    given, owner = entries(seed=1)
    found = {(a, b): cosine for a, b, cosine, _ in rows(alike(given, owner, len(owner), 1 << 20))}
    assert found == {(b, a): cosine for (a, b), cosine in found.items()}


def test_ties_go_to_the_lower_place_whatever_the_length() -> None:
    # Nine senses along one line, in lengths whose unit vectors differ in the last bit.
    row, scale = (
        torch.arange(9),
        torch.tensor([3.0, 0.1, 7.0, 0.3, 1.1, 0.7, 13.0, 0.9, 1e-3], dtype=torch.float64),
    )
    line = torch.tensor([0.3, 0.7, -0.1], dtype=torch.float64)
    given = Entries(row.repeat_interleave(3), torch.arange(3).repeat(9), (scale[:, None] * line).flatten())
    found = alike(given, row, 3, 1 << 20)
    assert found.other.view(9, 3).tolist()[4:] == [[0, 1, 2]] * 5
    assert found.other.view(9, 3).tolist()[1] == [0, 2, 3]
    assert found.cosine.tolist() == [1.0] * 27


def test_what_nothing_feeds_resembles_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    nothing = Entries(none, none, none.double())
    assert rows(alike(nothing, torch.arange(3), MOST, 1 << 20)) == []
    assert rows(alike(nothing, none, MOST, 1 << 20)) == []


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_what_two_senses_share_is_counted(chunk_bytes: int) -> None:
    draw = np.random.default_rng(2)
    sense, item = np.nonzero(draw.random((6, 20)) < [[0.4]] * 5 + [[0.0]])
    own = [set(item[sense == s].tolist()) for s in range(7)]
    first, second = (part.ravel() for part in np.meshgrid(np.arange(7), np.arange(7)))
    found = shared(*(torch.from_numpy(x) for x in (sense, item, first, second)), chunk_bytes)
    assert found.tolist() == [len(own[a] & own[b]) for a, b in zip(first, second, strict=True)]


def block(first: int, last: int) -> list[Table]:
    """The tables of the senses from ``first`` to ``last`` of a layer: those of one neuron stay together."""
    given, owner = entries()
    own = (given.row >= first) & (given.row < last)
    ids = [f"m@00000000/up/{owner[s]}:{s}" for s in range(first, last)]
    senses = given.row[own].numpy() - first
    images = [f"img:{n}" for n in range(9)]
    return [
        ("Neuron-HAS_SENSE-Sense", {"start": [i.split(":")[0] for i in ids], "end": ids}),
        (
            "Neuron-FEEDS_SENSE-Sense",
            {
                "start": Coded(given.column[own].numpy(), [f"m@00000000/low/{n}" for n in range(9)]),
                "end": Coded(senses, ids),
                "relevance": given.value[own].numpy(),
            },
        ),
        (
            "Sense-EXEMPLIFIED_BY-Image",
            {"start": Coded(senses, ids), "end": Coded(given.column[own].numpy(), images)},
        ),
    ]


def table_rows(shards: list[list[Table]]) -> list[tuple[str, str, float, int, int, int]]:
    found = alike_table(shards, MOST)
    assert found is not None
    columns = found[1]
    ends = [
        [c.names[code] for code in c.codes] for n in ("start", "end") if isinstance(c := columns[n], Coded)
    ]
    rest = [np.asarray(columns[name]).tolist() for name in ("cosine", "neurons", "images", "rank")]
    return list(zip(*ends, *rest, strict=True))


def test_the_table_is_the_same_whatever_the_blocks() -> None:
    whole = table_rows([block(0, 23)])
    assert table_rows([block(0, 5), [], block(5, 15), block(15, 23)]) == whole
    assert table_rows([block(15, 23), block(0, 15)]) == whole
    given, owner = entries()
    expected = {(a, b): value for a, b, value, _ in literally(given, owner, len(owner))}
    for start, end, cosine, neurons, images, _ in whole:
        a, b = (int(s.split(":")[1]) for s in (start, end))
        assert cosine == pytest.approx(expected[a, b], abs=1e-11)
        # Here the images of a sense are numbered like its feeders.
        assert neurons == images >= 1


def test_no_senses_no_table() -> None:
    assert alike_table([[], [("#facts", {"twins": [1]})]], MOST) is None
    assert alike_table([block(0, 2)], MOST) is None
