"""What comes later goes beside what is there: a second model, new images and a class, over Bolt, nothing rebuilt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlas.spool import RunRecord, Spool
from atlas.store import local
from atlas.store.bulk import import_spools
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.runs import remove
from atlas.store.settings import Settings

Graph = Callable[[Connection], list[str]]
PARTS = (
    "MATCH (n) WHERE $run IN n.runs OR n.run = $run RETURN labels(n) AS what, n.id AS a, '' AS b, "
    "properties(n {.*, runs: null}) AS p",
    "MATCH (a)-[n]->(b) WHERE $run IN n.runs OR n.run = $run RETURN type(n) AS what, a.id AS a, b.id AS b, "
    "properties(n) AS p",
)


def digest_of_run(connection: Connection, run: str) -> str:
    """SHA-256 of all nodes and relationships that a run wrote, but for which other runs share them."""
    lines = []
    for cypher in PARTS:
        for what, a, b, p in connection.read(cypher, {"run": run}, timeout=0).rows:
            kept = {name: value for name, value in p.items() if name != "runs" and value is not None}
            lines.append(repr((what, a, b, sorted(kept.items(), key=str))))
    assert lines
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def pass_of(spools: Any, folder: Path, images: int, classes: int = 1, **changes: Any) -> Spool:
    """The activation pass of a model over some images, every other of the later ones in a second class."""
    run: RunRecord = spools.run_record(**changes)
    tables = spools.structure(run, images=images)
    if classes > 1:
        pictures, name = tables["Image"]["id"], f"{run.dataset}/two"
        tables["Class"] = {"id": [*tables["Class"]["id"], name], "name": ["one", "two"], "ordinal": [0, 1]}
        tables["Dataset-HAS_CLASS-Class"] = {"start": [run.dataset] * 2, "end": tables["Class"]["id"]}
        owner = [tables["Class"]["id"][i >= 4 and i % 2] for i in range(len(pictures))]
        tables["Image-LABELLED-Class"] = {"start": pictures, "end": owner}
    return spools.write(folder / run.id, run, tables)  # type: ignore[no-any-return]


def additions(spools: Any, folder: Path) -> dict[str, Spool]:
    """What may come later: another model on the same images; the same model with more images and a class."""
    return {
        "second model": pass_of(
            spools, folder, 4, model="other@89abcdef", weights_digest="89abcdef" + "0" * 56
        ),
        "new images": pass_of(spools, folder, 8, tag="more", data_digest="e" * 64),
        "new class": pass_of(spools, folder, 8, classes=2, tag="class", data_digest="f" * 64),
    }


@pytest.mark.server
@pytest.mark.parametrize("what", ["second model", "new images", "new class"])
def test_the_first_run_is_not_touched(
    connection: Connection, spools: Any, whole_graph: Graph, tmp_path: Path, what: str
) -> None:
    first = pass_of(spools, tmp_path, 4)
    load(first, connection)
    alone, digest = whole_graph(connection), digest_of_run(connection, first.run.id)
    later = additions(spools, tmp_path)[what]
    assert load(later, connection).replaced == ()
    assert digest_of_run(connection, first.run.id) == digest
    assert len(whole_graph(connection)) > len(alone)
    assert load(first, connection).unchanged
    remove(connection, later.run.id)
    assert whole_graph(connection) == alone


@pytest.mark.server
def test_two_models_in_either_order_are_the_same_graph(
    connection: Connection, spools: Any, whole_graph: Graph, tmp_path: Path
) -> None:
    # Another data set of the same name would leave its digest to whoever comes first.
    every = [pass_of(spools, tmp_path, 4), additions(spools, tmp_path)["second model"]]
    found = []
    for order in (every, every[::-1]):
        for spool in order:
            load(spool, connection)
        found.append(whole_graph(connection))
        connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS")
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.server
def test_an_imported_atlas_grows_over_bolt_with_every_index(
    connection: Connection,
    empty: Settings,
    launch: local.Launch,
    spools: Any,
    whole_graph: Graph,
    tmp_path: Path,
) -> None:
    first, later = pass_of(spools, tmp_path, 4), additions(spools, tmp_path)
    import_spools([first], empty, launch=launch)
    for spool in (first, *later.values()):
        load(spool, connection)
    with Connection(local.start(empty, launch=launch), strict=True) as grown:
        digest = digest_of_run(grown, first.run.id)
        for spool in later.values():
            load(spool, grown)
        assert digest_of_run(grown, first.run.id) == digest
        assert whole_graph(grown) == whole_graph(connection)
        listed = "SHOW INDEXES YIELD name, state RETURN name, state ORDER BY name"
        assert grown.auto(listed).rows == connection.auto(listed).rows
