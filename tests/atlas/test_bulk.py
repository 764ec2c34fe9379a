"""The offline import gives the graph that Bolt gives, into an empty database only, and begins anew when cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import BusyError, SpoolError, StoreError
from atlas.spool import Spool
from atlas.store import local
from atlas.store.bulk import Heard, cut, fits, import_spools
from atlas.store.connection import Connection
from atlas.store.lease import writing
from atlas.store.loader import load
from atlas.store.settings import Settings

Graph = Callable[[Connection], list[str]]


class CutError(Exception):
    """What a checkpoint throws."""


def two(spools: Any, folder: Path) -> list[Spool]:
    """One run with a row of every table, and one that builds on it and shares its neurons."""
    first = spools.run_record(parameters={"text": 'a "quoted", long;\nname'})
    second = spools.run_record(method="pure", requires=(first.id,))
    return [
        spools.write(folder / "a", first, spools.one_of_each(first)),
        spools.write(
            folder / "b",
            second,
            {
                "Neuron": {"id": ["Neuron/0", "Neuron/9"], "model": ["m", "m"], "layer": ["l", "l"]}
                | {"channel": [0, 9], "polysemantic": [True, False]},
                "Image": {"id": ["img:ffff"], "name": ['<"ü";,\n>'], "thumb": [""]},
                "Neuron-ACTIVATED_BY-Image": {
                    "start": ["Neuron/9"],
                    "end": ["img:ffff"],
                    "value": [0.1 + 0.2],
                    "rank": [1],
                },
                "Layer-HAS_NEURON-Neuron": {
                    "start": ["Layer/0", "Layer/0"],
                    "end": ["Neuron/9", "Neuron/1"],
                },
            },
        ),
    ]


@pytest.mark.slow
@pytest.mark.server
def test_the_same_graph_as_bolt(
    connection: Connection,
    empty: Settings,
    launch: local.Launch,
    spools: Any,
    whole_graph: Graph,
    tmp_path: Path,
) -> None:
    both = two(spools, tmp_path)
    for spool in both:
        load(spool, connection)
    told: list[tuple[str, int, int]] = []
    report = import_spools(both, empty, launch=launch, progress=lambda *step: told.append(step))
    target = local.running_target(empty)
    assert target is not None
    with Connection(target, strict=True) as other:
        assert set(whole_graph(other)) ^ set(whole_graph(connection)) == set()
        assert len(whole_graph(other)) == len(whole_graph(connection))
        assert load(both[1], other).unchanged
        with pytest.raises(StoreError, match="empty database"):
            import_spools(both, empty, launch=launch)
    assert report.rows["Neuron"] == 3
    percents = [done for stage, done, total in told if "importer" in stage and total == 400]
    assert percents == sorted(percents)
    assert percents[-1] == 400
    assert len(percents) > 20


@pytest.mark.slow
@pytest.mark.parametrize("place", ["imported", "indexed"])
def test_a_cut_import_begins_anew(
    place: str, empty: Settings, launch: local.Launch, spools: Any, tmp_path: Path
) -> None:
    both = two(spools, tmp_path)

    def stop(name: str) -> None:
        if name == place:
            raise CutError

    with pytest.raises(CutError):
        import_spools(both, empty, checkpoint=stop, launch=launch)
    assert cut(empty)
    assert fits(both, empty)
    local.stop(empty)
    with pytest.raises(StoreError, match="--via import"):
        local.start(empty, launch=launch)
    import_spools(both, empty, launch=launch)
    assert not cut(empty)
    target = local.running_target(empty)
    assert target is not None
    with Connection(target) as found:
        assert found.read("MATCH (n:Neuron) RETURN count(n)").rows == ((3,),)
        assert load(both[0], found).unchanged


@pytest.mark.slow
def test_an_import_is_for_many_rows_an_empty_server_and_one_writer(
    empty: Settings, launch: local.Launch, spools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = two(spools, tmp_path)
    monkeypatch.setenv("ATLAS_HOME", str(empty.atlas_home))
    with Connection(local.start(empty, launch=launch)) as opened:
        assert fits(both, empty, least=1)
        assert not fits(both, empty)
        with writing(opened), pytest.raises(BusyError, match="another command"):
            import_spools(both, empty, launch=launch)
        load(both[0], opened)
        assert not fits(both, empty, least=1)


def test_no_import_into_another_server_or_without_what_a_run_needs(spools: Any, tmp_path: Path) -> None:
    both = two(spools, tmp_path)
    assert not fits(both, Settings(atlas_home=tmp_path / "home", neo4j_uri="bolt://127.0.0.1:1"), least=0)
    assert not fits(both[1:], Settings(atlas_home=tmp_path / "home"), least=0)
    assert not fits(both, Settings(atlas_home=tmp_path / "home"))


def test_what_cannot_be_imported(spools: Any, tmp_path: Path) -> None:
    both = two(spools, tmp_path)
    home = Settings(atlas_home=tmp_path / "home")
    with pytest.raises(SpoolError, match=both[0].run.id):
        import_spools(both[1:], home)
    again = spools.run_record(parameters={"other": 1})
    twin = spools.write(tmp_path / "c", again, spools.structure(again))
    with pytest.raises(SpoolError, match="two runs"):
        import_spools([both[0], twin], home)
    with pytest.raises(StoreError, match="managed server"):
        import_spools(both, Settings(atlas_home=tmp_path / "home", neo4j_uri="bolt://127.0.0.1:1"))


def test_what_the_importer_prints_is_progress() -> None:
    told: list[tuple[str, int, int]] = []
    heard = Heard(lambda *step: told.append(step))
    for line in (
        "  Estimated disk space usage: 12.95KiB\n",
        "(1/4) Node import 2026-11-21 05:25:07.449+0000\n",
        "-......... .......... .......... .......... ..........   5% ∆885ms [885ms]\n",
        "(2/4) Relationship import 2026-11-21 05:25:08.361+0000\n",
        ".......... .......... .......... .......... .......... 100% ∆0ms [2s 604ms]\n",
        "Peak memory usage: 1.035GiB 90% of it\n",
    ):
        heard(line)
    assert [(done, total) for _, done, total in told] == [(0, 400), (5, 400), (200, 400)]
