"""kill −9 at named points of a four-method ingestion and its load, drawn at random: what is resumed is the same graph.

The points are all that the job names; ATLAS_TEST_SEED=N draws again what a failure printed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from atlas.store import local
from atlas.store.bulk import import_spools
from atlas.store.connection import Connection
from atlas.store.settings import Settings
from tests.atlas.conftest import fingerprint
from tests.ingest.scale import four_methods
from tests.ingest.scale.four_methods import digests, spools

pytestmark = [pytest.mark.slow, pytest.mark.server]
ROOT = Path(__file__).parents[3]
POINTS = 10
# One process that has imported everything forks a child for each point; the child dies there.
KILLER = """
import json, os, signal, sys
from pathlib import Path
root, home, data, points, work = sys.argv[1:]
sys.path.insert(0, root)
from tests.ingest.scale import test_kills
todo = {"ingest": test_kills.ingest_and_load, "import": test_kills.offline}[work]

def at(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)

for point in json.loads(points):
    child = os.fork()
    if child == 0:
        try:
            todo(Path(data), Path(home), at)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{point}: not met, {status}"
"""


def ingest_and_load(data: Path, home: Path, at: Callable[[str], None]) -> None:
    """The whole job, then its spools over Bolt into the server that the environment names."""
    import torch

    from atlas.store import loader
    from atlas.store.connection import connect
    from ingest.job import prepare
    from ingest.plan import run

    torch.set_num_threads(1)
    loader.BATCH_ROWS, loader.LIST_ROWS = 40, 20
    result = run(prepare(four_methods.spec(data)), four_methods.folders(home), four_methods.quiet, at)
    assert len(result.spools) == 5
    with connect() as connection:
        for spool in spools(home):
            loader.load(spool, connection, checkpoint=lambda name, of=spool.run.method: at(f"{of} {name}"))


def offline(data: Path, home: Path, at: Callable[[str], None]) -> None:
    """The spools of a home through the offline importer into the server that the environment names.

    A server that a killed process started is killed with it.
    """
    from tests.conftest import DIE_WITH_PARENT, JAVA_OPTIONS

    wrapper = (sys.executable, "-S", "-E", "-c", DIE_WITH_PARENT, str(os.getpid()))
    launch = local.Launch(java=JAVA_OPTIONS, wrapper=wrapper)
    import_spools(spools(home), Settings(), checkpoint=at, launch=launch)


def draw(parts: Sequence[Sequence[str]], count: int) -> list[str]:
    """So many of the names, of each part equally many and in the order in which they come; prints the seed."""
    seed = int(os.environ.get("ATLAS_TEST_SEED") or random.SystemRandom().randrange(10**6))
    generator = random.Random(seed)
    places = [sorted(generator.sample(range(len(names)), count // len(parts))) for names in parts]
    points = [names[n] for names, own in zip(parts, places, strict=True) for n in own]
    print(f"ATLAS_TEST_SEED={seed}: {points}")  # noqa: T201
    return points


def killed_at(points: Sequence[str], work: str, home: Path, data: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", KILLER, str(ROOT), str(home), str(data), json.dumps(points), work]
    done = subprocess.run(
        command,
        env=os.environ | environment | {"OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_one_thread")
def test_ten_kills_between_the_first_image_and_the_last_row(
    connection: Connection, server_environment: dict[str, str], data: Path, tmp_path: Path
) -> None:
    names: list[str] = []
    ingest_and_load(data, tmp_path / "uncut", names.append)
    uncut = fingerprint(connection)
    connection.auto("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS")
    assert len(names) == len(set(names))
    load = next(n for n, name in enumerate(names) if name == "activations lease")
    assert len(names[:load]) > 3 * POINTS
    assert len(names[load:]) > 3 * POINTS

    killed_at(
        draw([names[:load], names[load:]], POINTS), "ingest", tmp_path / "killed", data, server_environment
    )
    ingest_and_load(data, tmp_path / "killed", lambda _: None)
    assert digests(tmp_path / "killed") == digests(tmp_path / "uncut")
    assert fingerprint(connection) == uncut


def test_an_import_that_is_killed_gives_the_graph_of_bolt(
    connection: Connection,
    server_environment: dict[str, str],
    empty: Settings,
    launch: local.Launch,
    whole: Path,
    data: Path,
) -> None:
    from atlas.store import loader

    for spool in spools(whole):
        loader.load(spool, connection)
    points = draw([["csv", "stopped", "imported", "indexed"]], 2)
    environment = {"ATLAS_HOME": str(empty.atlas_home), "ATLAS_NEO4J_LIB": str(empty.atlas_neo4j_lib)}
    killed_at(points, "import", whole, data, environment | {"ATLAS_HEAP": "512m", "ATLAS_PAGE_CACHE": "64m"})
    import_spools(spools(whole), empty, launch=launch)
    target = local.running_target(empty)
    assert target is not None
    with Connection(target, strict=True) as other:
        assert fingerprint(other) == fingerprint(connection)
