"""Removing a run leaves the graph as if it had never been loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import AddressError, StoreError
from atlas.spool import Spool
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.runs import dependents, list_runs, remove

pytestmark = pytest.mark.server
Graph = Callable[[Connection], list[str]]


@pytest.fixture
def base(spools: Any, tmp_path: Path) -> Spool:
    run = spools.run_record()
    return spools.write(tmp_path / "base", run, spools.structure(run))


@pytest.fixture
def gcc(base: Spool, spools: Any, tmp_path: Path) -> Spool:
    run = spools.run_record("gcc", requires=(base.run.id,))
    return spools.write(tmp_path / "gcc", run, spools.circuits(run))


def beside(spools: Any, folder: Path) -> Spool:
    """The same layers and images, seen as another address root, with one image more."""
    run = spools.run_record(tag="other")
    return spools.write(folder, run, spools.structure(run, images=5))


def test_a_run_that_builds_on_another_goes_alone(
    connection: Connection, base: Spool, gcc: Spool, whole_graph: Graph
) -> None:
    load(base, connection)
    before = whole_graph(connection)
    load(gcc, connection)
    assert connection.read("MATCH (n:Neuron {polysemantic: true}) RETURN count(*)").rows == ((1,),)
    removal = remove(connection, gcc.run.id)
    assert whole_graph(connection) == before
    assert (removal.runs, removal.nodes, removal.relationships) == (
        (gcc.run.id,),
        4 + 1,
        4 + 4 + 4 + 4 + 3 + 2,
    )


def test_a_run_beside_another_root_and_data_set_leaves_what_they_share(
    connection: Connection, base: Spool, spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    load(base, connection)
    before = whole_graph(connection)
    run = spools.run_record(tag="other", dataset="other", data_digest="e" * 64)
    tables = spools.structure(run, images=5)
    # Equal bytes at other paths: the image keeps its first name.
    tables["Image"]["name"] = [f"elsewhere/{i}.png" for i in range(5)]
    other = spools.write(tmp_path / "o", run, tables)
    load(other, connection)
    shared = connection.read("MATCH (i:Image) RETURN size(i.runs) AS runs, count(*) ORDER BY runs").rows
    assert shared == ((1, 1), (2, 4))
    remove(connection, other.run.id)
    assert whole_graph(connection) == before


def test_the_first_of_two_runs_leaves_the_second_whole(
    connection: Connection, base: Spool, spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    other = beside(spools, tmp_path / "o")
    load(other, connection)
    alone = whole_graph(connection)
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    load(base, connection)
    load(other, connection)
    remove(connection, base.run.id)
    assert whole_graph(connection) == alone


def test_the_last_run_takes_everything_with_it(connection: Connection, base: Spool) -> None:
    load(base, connection)
    remove(connection, base.run.id)
    assert connection.read("MATCH (n) RETURN labels(n)").rows == ((["Atlas"],),)


def test_one_of_each_goes_without_a_trace(
    connection: Connection, base: Spool, spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    load(base, connection)
    before = whole_graph(connection)
    run = spools.run_record("everything", tag="x")
    load(spools.write(tmp_path / "x", run, spools.one_of_each(run)), connection)
    remove(connection, run.id)
    assert whole_graph(connection) == before


def test_a_run_that_others_build_on_is_kept_unless_told(
    connection: Connection, base: Spool, gcc: Spool, whole_graph: Graph
) -> None:
    load(base, connection)
    load(gcc, connection)
    before = whole_graph(connection)
    with pytest.raises(StoreError, match=f"other runs build on this one: {base.run.id}.*got {gcc.run.id}"):
        remove(connection, base.run.id)
    assert whole_graph(connection) == before
    assert remove(connection, base.run.id, with_dependents=True).runs == (gcc.run.id, base.run.id)
    assert list_runs(connection) == []


def test_an_unknown_run_is_refused(connection: Connection) -> None:
    with pytest.raises(AddressError, match="no such run: rabsent"):
        remove(connection, "rabsent")


def test_dependents_come_before_what_they_build_on(spools: Any, connection: Connection, base: Spool) -> None:
    load(base, connection)
    (info,) = list_runs(connection)
    a, b, c, d = (
        replace(info, id=i, requires=r) for i, r in zip("abcd", [(), ("a",), ("a", "b"), ()], strict=True)
    )
    assert dependents([a, b, c, d], ["a"]) == ["c", "b", "a"]
    assert dependents([a, b, c, d], ["d", "b"]) == ["c", "d", "b"]


class CutError(Exception):
    """Stands for a process that ends at a checkpoint."""


def test_a_removal_cut_anywhere_goes_on(
    connection: Connection, base: Spool, gcc: Spool, whole_graph: Graph
) -> None:
    load(base, connection)
    before = whole_graph(connection)
    load(gcc, connection)
    seen: list[str] = []

    def cut_once(name: str) -> None:
        if name not in seen and not name.startswith("removed"):
            seen.append(name)
            raise CutError

    for _ in range(200):
        try:
            remove(connection, gcc.run.id, checkpoint=cut_once)
        except CutError:
            assert [run.status for run in list_runs(connection) if run.id == gcc.run.id] == ["deleting"]
            continue
        break
    assert len(seen) > 30
    assert whole_graph(connection) == before
