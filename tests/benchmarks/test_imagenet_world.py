"""The synthetic atlas of ImageNet size, a five-hundredth of it: planned counts, alike twice, every query answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas import catalogue, lookup
from atlas.spool import Spool
from atlas.store.connection import Connection
from atlas.store.loader import load
from benchmarks.scale import planned
from benchmarks.scale_arguments import Asker
from benchmarks.worlds.imagenet import World, best, ranked
from benchmarks.worlds.imagenet_gig import explained
from benchmarks.worlds.imagenet_spools import write
from ingest import sizing

SMALL = 1 / 500
SILENT = {"classes_joined_by_one_neuron"}
"""At this size no two classes may be so alike."""
EXPECTED = ("DRIVES", "INCLUDES", "EXEMPLIFIED_BY")
"""What a plan has an expectation of."""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("world")
    return [path for twin in (False, True) for path in write(folder, World(SMALL, twin=twin))]


def test_the_full_size_is_the_issues() -> None:
    world = World()
    assert (world.size.neurons, sum(world.size.concepts), world.images, world.classes) == (
        15_104,
        120_832,
        50_000,
        1000,
    )
    assert sizing.total(planned(world)) > 25_000_000


@pytest.mark.slow
def test_counts_are_those_of_the_plan(paths: list[Path]) -> None:
    world, rows = World(SMALL), dict[str, int]()
    # Images asked about by themselves come on demand, after what a plan knows of.
    asked = len(explained(world)) * planned(world)["CONTRIBUTES_TO"] // world.classes
    for spool in map(Spool.open, paths):
        for item in spool.tables():
            if item.relationship is not None and spool.run.model == world.root:
                kind = item.relationship.type
                rows[kind] = rows.get(kind, 0) + spool.rows(item.name)
    for name, count in planned(world).items():
        if name not in EXPECTED:
            most = count + (asked if name == "CONTRIBUTES_TO" else 0)
            assert 0.7 * count <= rows[name] <= most, name


@pytest.mark.slow
def test_the_same_seed_gives_the_same_spools(paths: list[Path], tmp_path: Path) -> None:
    again = write(tmp_path, World(SMALL))
    assert [Spool.open(p).digest for p in again] == [Spool.open(p).digest for p in paths[: len(again)]]


@pytest.fixture
def loaded(connection: Connection, paths: list[Path]) -> Connection:
    """Both models."""
    for path in paths:
        load(Spool.open(path), connection)
    return connection


@pytest.mark.slow
@pytest.mark.server
def test_every_query_answers(loaded: Connection) -> None:
    connection = loaded
    asker = Asker(connection, World(SMALL).root)
    silent = set()
    for name, query in catalogue.load().items():
        rows = [lookup.ask(connection, query, asker.arguments(query, turn)).rows for turn in range(4)]
        if not any(rows):
            silent.add(name)
    assert silent <= SILENT


def test_draws_without_repetition_and_prefers_the_likely() -> None:
    weights = np.log(np.tile(np.array([8.0, 4.0, 2.0, 1.0]), (4000, 1)))
    drawn = best(np.random.default_rng(0), weights, 2)
    assert all(len(set(row)) == 2 for row in drawn.tolist())
    first = np.bincount(drawn[:, 0], minlength=4) / len(drawn)
    assert np.allclose(first, np.array([8, 4, 2, 1]) / 15, atol=0.03)


def test_ranks_and_shares_of_a_target_add_up() -> None:
    target, score = np.array([1, 0, 1, 1]), np.array([0.2, 0.5, 0.6, 0.2])
    rank, share = ranked(target, score)
    assert rank.tolist() == [2, 1, 1, 3]
    assert np.allclose(share, [0.2, 1.0, 0.6, 0.2])


def test_a_twin_lies_beside_the_first(tmp_path: Path) -> None:
    from benchmarks.worlds import imagenet_gig

    one, two = (imagenet_gig.vectors(World(SMALL, twin=twin), 4, range(64)) for twin in (False, True))
    cosine: Any = (one * two).sum(1)
    assert np.allclose((one**2).sum(1), 1, atol=1e-4)
    assert np.median(cosine) > 0.5
    assert cosine.max() < 0.999
