"""Senses that are fed alike, of a whole job: what the graph could say of itself, stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import pytest

from atlas.errors import DataError
from atlas.spool import Spool
from ingest.demo.planted import write_images
from ingest.methods.pure_job import PureParameters
from ingest.plan import run
from tests.ingest.pure.test_pure_planted import Rows, folders, job, spool_rows

TABLE = "Sense-RESEMBLES-Sense"
EVERY = {"level": 1.0, "least": 2, "variant": "map", "alike": 3}
"""With no test to pass, every planted neuron is split, and several share what feeds them."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alike") / "data"
    write_images(path)
    return path


def written(data: Path, into: Path, **changed: object) -> dict[str, Rows]:
    spool = Spool.open(run(job(data, **(EVERY | changed)), folders(into), lambda *_: None).spools[-1])
    return {item.name: spool_rows(spool, item.name) for item in spool.tables()}


def literally(tables: dict[str, Rows], most: int) -> Iterator[tuple[object, ...]]:
    """What the graph says, pair by pair: start, end, rank, neurons, images, cosine."""
    owner = {r["end"]: r["start"] for r in tables["Neuron-HAS_SENSE-Sense"]}
    fed: dict[object, dict[object, float]] = defaultdict(dict)
    for r in tables["Neuron-FEEDS_SENSE-Sense"]:
        fed[r["end"]][r["start"]] = float(str(r["relevance"]))
    seen: dict[object, set[object]] = defaultdict(set)
    for r in tables["Sense-EXEMPLIFIED_BY-Image"]:
        seen[r["start"]].add(r["end"])
    for a in owner:
        best = []
        for b in owner:
            common = fed[a].keys() & fed[b].keys()
            product = sum(fed[a][n] * fed[b][n] for n in common)
            if owner[a] != owner[b] and product > 0:
                lengths = [sqrt(sum(v * v for v in fed[s].values())) for s in (a, b)]
                cosine = product / (lengths[0] * lengths[1])
                best.append((-round(cosine, 9), str(b), len(common), len(seen[a] & seen[b])))
        for rank, (cosine, b, neurons, images) in enumerate(sorted(best)[:most], start=1):
            yield str(a), b, rank, neurons, images, -cosine


def rows(tables: dict[str, Rows]) -> list[tuple[object, ...]]:
    names = ("start", "end", "rank", "neurons", "images", "cosine")
    return sorted(tuple(r[name] for name in names) for r in tables[TABLE])


def test_each_sense_is_joined_to_its_best_whatever_the_blocks(data: Path, tmp_path: Path) -> None:
    whole = written(data, tmp_path / "whole")
    found, expected = rows(whole), sorted(literally(whole, 3))
    assert len(found) > 6
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    assert [row[5] for row in found] == pytest.approx([row[5] for row in expected], abs=1e-8)
    small = rows(written(data, tmp_path / "small", vector_bytes=1))
    assert [row[:5] for row in small] == [row[:5] for row in found]
    assert [row[5] for row in small] == pytest.approx([row[5] for row in found], rel=1e-6)


def test_none_are_stored_where_none_are_wished(data: Path, tmp_path: Path) -> None:
    assert TABLE not in {name for name, own in written(data, tmp_path, alike=0).items() if own}
    with pytest.raises(DataError, match=r"pure\.alike.*at least 0"):
        PureParameters(alike=-1).check()
