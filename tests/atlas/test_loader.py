"""A load is exact: once, whole, resumable anywhere, by one writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import DataError, SpoolError, StoreError
from atlas.schema import NODE_TYPES, TABLES
from atlas.spool import Spool
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.runs import list_runs

pytestmark = pytest.mark.server
Graph = Callable[[Connection], list[str]]


def test_one_of_each_table_arrives_as_it_was_written(
    connection: Connection, spools: Any, tmp_path: Path
) -> None:
    run = spools.run_record()
    tables = spools.one_of_each(run)
    report = load(spools.write(tmp_path / "s", run, tables), connection)
    assert report.rows == {name: len(next(iter(c.values()))) for name, c in tables.items()}
    for name, columns in tables.items():
        item = TABLES[name]
        names = [p.name for p in item.columns]
        if item.relationship is None:
            returned = ", ".join(f"n.{n}" for n in names)
            found = connection.read(f"MATCH (n:{name}) WHERE NOT n:Run RETURN {returned}")
        else:
            returned = ", ".join(["a.id", "b.id", *(f"r.{n}" for n in names[2:])])
            kind = item.relationship.type
            found = connection.read(f"MATCH (a:{item.start})-[r:{kind}]->(b:{item.end}) RETURN {returned}")
        assert sorted(map(list, found.rows)) == sorted(spools.expected(item, columns)), name


def test_every_owned_thing_names_its_run(connection: Connection, spools: Any, tmp_path: Path) -> None:
    run = spools.run_record()
    load(spools.write(tmp_path / "s", run, spools.one_of_each(run)), connection)
    for node in NODE_TYPES.values():
        if node.run or node.shared:
            name, value = ("run", run.id) if node.run else ("runs", [run.id])
            rows = connection.read(f"MATCH (n:{node.label}) RETURN DISTINCT n.{name}").rows
            assert rows == ((value,),), node.label


def test_the_run_is_told_in_full(connection: Connection, spools: Any, tmp_path: Path) -> None:
    run = spools.run_record(facts={"covered": 0.5})
    spool = spools.write(tmp_path / "s", run, spools.structure(run))
    report = load(spool, connection)
    (info,) = list_runs(connection)
    assert (info.id, info.status, info.digest) == (run.id, "complete", spool.digest)
    assert info.parameters == run.parameters
    assert info.facts == {"covered": 0.5}
    assert info.cursor == {name: entry.rows for name, entry in spool.manifest.tables.items()} == report.rows
    assert info.wrote["Neuron"] == ["model", "layer", "channel", "mean"]
    assert info.finished == spool.run.finished
    of = connection.read("MATCH (d:Dataset)<-[:ON]-(r:Run)-[:OF]->(m:Model) RETURN r.id, m.id, d.id").rows
    assert of == ((run.id, run.model, run.dataset),)


def test_twice_is_once(connection: Connection, spools: Any, whole_graph: Graph, tmp_path: Path) -> None:
    run = spools.run_record()
    spool = spools.write(tmp_path / "s", run, spools.structure(run))
    load(spool, connection)
    first = whole_graph(connection)
    report = load(spool, connection)
    assert (report.unchanged, report.resumed, report.rows) == (True, False, {})
    assert whole_graph(connection) == first


def test_progress_counts_every_row(
    connection: Connection, spools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.store.loader.BATCH_ROWS", 7)
    run = spools.run_record()
    spool = spools.write(tmp_path / "s", run, spools.structure(run))
    seen: list[tuple[str, int, int]] = []
    load(spool, connection, progress=lambda *step: seen.append(step))
    lists = "Neuron-ACTIVATED_BY-Image"
    assert [step for step in seen if step[0] == lists] == [(lists, n, 24) for n in (7, 14, 21, 24)]
    assert {name: total for name, done, total in seen if done == total} == {
        item.name: spool.rows(item.name) for item in spool.tables()
    }


class CutError(Exception):
    """Stands for a process that ends at a checkpoint."""


def _cut_at(wanted: str) -> Callable[[str], None]:
    def checkpoint(name: str) -> None:
        if name == wanted:
            raise CutError

    return checkpoint


@pytest.fixture
def two_runs(spools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Spool]:
    monkeypatch.setattr("atlas.store.loader.BATCH_ROWS", 5)
    monkeypatch.setattr("atlas.store.loader.LIST_ROWS", 3)
    base = spools.run_record()
    top = spools.run_record("gcc", requires=(base.id,))
    return [
        spools.write(tmp_path / "a", base, spools.structure(base)),
        spools.write(tmp_path / "b", top, spools.circuits(top)),
    ]


def _load_cut_at_every_checkpoint(spool: Spool, connection: Connection) -> list[str]:
    seen: list[str] = []

    def cut_once(name: str) -> None:
        if name not in seen:
            seen.append(name)
            raise CutError

    while True:
        try:
            load(spool, connection, checkpoint=cut_once)
        except CutError:
            continue
        return seen


def test_cut_at_every_checkpoint_and_resumed_equals_uncut(
    connection: Connection, two_runs: list[Spool], whole_graph: Graph
) -> None:
    names: list[str] = []
    for spool in two_runs:
        load(spool, connection, checkpoint=names.append)
    uncut = whole_graph(connection)
    assert Counter(name.split()[0] for name in names)["inside"] > 20
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    for spool in two_runs:
        seen = _load_cut_at_every_checkpoint(spool, connection)
        assert {name.split()[0] for name in seen} == {"lease", "run", "inside", "after", "loaded", "complete"}
    assert whole_graph(connection) == uncut


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    connection: Connection, two_runs: list[Spool], whole_graph: Graph
) -> None:
    base, _ = two_runs
    load(base, connection)
    whole = whole_graph(connection)
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    monkey = pytest.MonkeyPatch()
    once = type(connection).transact

    def twice(self: Connection, work: Callable[..., Any], **options: Any) -> Any:
        once(self, work, **options)
        return once(self, work, **options)

    with monkey.context() as patch:
        patch.setattr(type(connection), "transact", twice)
        load(base, connection)
    assert whole_graph(connection) == whole


def test_a_row_without_its_node_is_named_and_nothing_of_its_batch_stays(
    connection: Connection, spools: Any, tmp_path: Path
) -> None:
    run = spools.run_record()
    tables = spools.structure(run)
    tables["Neuron-ACTIVATED_BY-Image"]["end"][9] = "img:absent"
    tables["Neuron-ACTIVATED_BY-Image"]["start"][17] = "neuron-absent"
    spool = spools.write(tmp_path / "s", run, tables)
    with pytest.raises(SpoolError) as error:
        load(spool, connection)
    assert "Neuron-ACTIVATED_BY-Image row 9 (expected a Image, got img:absent)" in str(error.value)
    assert connection.read("MATCH ()-[r:ACTIVATED_BY]->() RETURN count(*)").rows == ((0,),)
    assert list_runs(connection)[0].status == "loading"


def test_a_requirement_that_is_not_there_is_refused(
    connection: Connection, two_runs: list[Spool], whole_graph: Graph
) -> None:
    base, top = two_runs
    with pytest.raises(SpoolError, match=f"expected run {base.run.id}, got none"):
        load(top, connection)
    with pytest.raises(CutError):
        load(base, connection, checkpoint=_cut_at("loaded"))
    with pytest.raises(SpoolError, match="not in the atlas"):
        load(top, connection)
    assert [run.id for run in list_runs(connection)] == [base.run.id]


def test_new_parameters_replace_the_run_and_what_builds_on_it(
    connection: Connection, two_runs: list[Spool], spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    run = spools.run_record(parameters={"share": 0.25})
    new = spools.write(tmp_path / "new", run, spools.structure(run, images=3))
    load(new, connection)
    alone = whole_graph(connection)
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    for spool in two_runs:
        load(spool, connection)
    report = load(new, connection)
    assert report.replaced == (two_runs[1].run.id, two_runs[0].run.id)
    assert whole_graph(connection) == alone


def test_changed_content_of_the_same_run_replaces_it(
    connection: Connection, spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    run = spools.run_record()
    old = spools.write(tmp_path / "old", run, spools.structure(run, channels=4))
    new = spools.write(tmp_path / "new", run, spools.structure(run))
    load(new, connection)
    alone = whole_graph(connection)
    with pytest.raises(CutError):
        load(old, connection, checkpoint=_cut_at("after Neuron 8"))
    report = load(new, connection)
    assert report.replaced == (run.id,)
    assert whole_graph(connection) == alone


def test_a_run_cannot_replace_what_it_builds_on(connection: Connection, spools: Any, tmp_path: Path) -> None:
    base = spools.run_record()
    load(spools.write(tmp_path / "a", base, spools.structure(base)), connection)
    run = spools.run_record(parameters={"share": 0.1}, requires=(base.id,))
    with pytest.raises(SpoolError, match="one that this spool replaces"):
        load(spools.write(tmp_path / "b", run, spools.structure(run)), connection)
    assert [known.id for known in list_runs(connection)] == [base.id]


def test_another_data_set_needs_a_tag(connection: Connection, spools: Any, tmp_path: Path) -> None:
    run = spools.run_record()
    load(spools.write(tmp_path / "a", run, spools.structure(run)), connection)
    other = replace(spools.run_record("gcc"), dataset="other", data_digest="e" * 64)
    with pytest.raises(DataError) as error:
        load(spools.write(tmp_path / "b", other, spools.structure(other)), connection)
    assert "expected set (dddddddd), got other (eeeeeeee)" in str(error.value)
    assert "--as TAG" in str(error.value)
    beside = replace(other, model="net@0123abcd~other")
    load(spools.write(tmp_path / "c", beside, spools.structure(beside)), connection)
    assert {known.model for known in list_runs(connection)} == {run.model, beside.model}


def test_a_newer_graph_is_refused(connection: Connection, spools: Any, tmp_path: Path) -> None:
    connection.write("CREATE (:Atlas {id: 'atlas', schema: 2})")
    run = spools.run_record()
    with pytest.raises(StoreError, match=r"newer circuit-atlas.*expected schema 1, got 2.*Upgrade"):
        load(spools.write(tmp_path / "s", run, spools.structure(run)), connection)
    assert connection.read("MATCH (n) RETURN count(*)").rows == ((1,),)
