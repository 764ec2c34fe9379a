"""`atlas load --via import` in a process of its own, killed at each of its steps and run again: the graph of Bolt."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas.store import local
from atlas.store.bulk import cut
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.settings import Settings
from tests.atlas.conftest import fingerprint
from tests.atlas.test_bulk import two

pytestmark = [pytest.mark.slow, pytest.mark.server]
ROOT = Path(__file__).parents[2]
KILL = "ATLAS_TEST_KILL"
"""Environment: the step at which the command kills itself."""
STEPS = ("csv", "stopped", "imported", "indexed")
# The command line as it is, told of its steps; a server that it starts is small and outlives it, as it would a user's.
COMMAND = """
import json, os, signal, sys
from functools import partial
root, wrapper, *arguments = sys.argv[1:]
sys.path.insert(0, root)
from atlas.cli import main
from atlas.store import bulk, local
from tests.conftest import JAVA_OPTIONS

def at(step):
    sys.stderr.write(f"step {step}\\n")
    if step == os.environ.get("ATLAS_TEST_KILL"):
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)

launch = local.Launch(java=JAVA_OPTIONS, wrapper=tuple(json.loads(wrapper)))
bulk.import_spools = partial(bulk.import_spools, checkpoint=at, launch=launch)
sys.argv = ["atlas", *arguments]
main()
"""
# Run as `python -c WATCHED test-run command…`: the server outlives the command, not the test run.
WATCHED = """
import os, signal, sys, time
server = os.getpid()
if os.fork() == 0:
    while os.getppid() == server:
        try:
            os.kill(int(sys.argv[1]), 0)
        except ProcessLookupError:
            os.kill(server, signal.SIGKILL)
        time.sleep(1)
    os._exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""


def run(settings: Settings, *arguments: object, kill: str | None = None) -> subprocess.CompletedProcess[str]:
    """`atlas` with these arguments on a home of the test's own."""
    wrapper = [sys.executable, "-S", "-E", "-c", WATCHED, str(os.getpid())]
    environment = os.environ | {
        "ATLAS_HOME": str(settings.atlas_home),
        "ATLAS_NEO4J_LIB": str(settings.atlas_neo4j_lib),
        "ATLAS_HEAP": settings.atlas_heap or "",
        "ATLAS_PAGE_CACHE": settings.atlas_page_cache or "",
    }
    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(ROOT), json.dumps(wrapper), *map(str, arguments)],
        env=environment | ({} if kill is None else {KILL: kill}),
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )


def digest(connection: Connection) -> str:
    """Of all nodes and relationships with their properties."""
    return hashlib.sha256("\n".join(fingerprint(connection)).encode()).hexdigest()


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_run_again_is_the_graph_of_bolt(
    step: str, connection: Connection, empty: Settings, spools: Any, tmp_path: Path
) -> None:
    for spool in two(spools, tmp_path / "spools"):
        load(spool, connection)
    asked = ("load", tmp_path / "spools", "--via", "import", "--quiet")
    killed = run(empty, *asked, kill=step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == ""
    done = STEPS.index(step) + 1
    assert steps(killed.stderr) == STEPS[:done]
    # A server lives on where one was up, and the mark of a cut import lies where the store is not whole.
    assert (local.running_target(empty) is not None) is (step in ("csv", "indexed"))
    assert cut(empty) is (step != "csv")

    again = run(empty, *asked)
    assert again.returncode == 0, again.stderr
    assert steps(again.stderr) == STEPS
    assert not cut(empty)
    assert not (empty.atlas_home / "work" / "import").exists()
    target = local.running_target(empty)
    assert target is not None
    with Connection(target, strict=True) as other:
        assert digest(other) == digest(connection)
        assert fingerprint(other)


def steps(said: str) -> tuple[str, ...]:
    """The steps that a command told of."""
    return tuple(line.removeprefix("step ") for line in said.splitlines() if line.startswith("step "))
