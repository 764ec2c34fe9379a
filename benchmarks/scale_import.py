"""An import watched from outside: seconds, disk, and the memory of Java while it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from atlas.store import local
from atlas.store.connection import Connection
from atlas.store.settings import Settings

SECOND = 0.5
IMPORTER = "org.neo4j.cli.AdminTool"
SERVER = "org.neo4j.server.CommunityEntryPoint"


class Watch(threading.Thread):
    """Samples the largest memory of the importer, the server and the command, and the disk that a folder takes."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(daemon=True)
        self._folder, self._pid, self._over = folder, pid, threading.Event()
        self.peak: dict[str, int] = {"command": 0, "importer": 0, "server": 0, "disk": 0}

    def run(self) -> None:
        """Sample until told to end."""
        home = str(self._folder)
        while not self._over.wait(SECOND):
            found = {"command": 0, "importer": 0, "server": 0, "disk": bytes_of(self._folder)}
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                words, memory = process.info["cmdline"] or [], process.info["memory_info"]
                mine = any(home in word for word in words)
                if process.pid == self._pid:
                    found["command"] += memory.rss
                elif mine and memory is not None and (IMPORTER in words or SERVER in words):
                    found["importer" if IMPORTER in words else "server"] += memory.rss
            self.peak = {name: max(value, found[name]) for name, value in self.peak.items()}

    def end(self) -> dict[str, int]:
        """The largest of each, in bytes."""
        self._over.set()
        self.join()
        return self.peak


def bytes_of(folder: Path) -> int:
    """Bytes on disk below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total


def run(folder: Path) -> dict[str, Any]:
    """Import every spool below the folder into its server; the figures are seconds, peaks and bytes."""
    home = folder / "home"
    command = [sys.executable, "-c", "from atlas.cli import main; main()", "load", str(folder / "spools")]
    begun = time.monotonic()
    started = subprocess.Popen(
        [*command, "--via", "import"],
        env={**os.environ, "ATLAS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = Watch(folder, started.pid)
    watch.start()
    said, _ = started.communicate()
    spent, peak = time.monotonic() - begun, watch.end()
    if started.returncode:
        raise SystemExit(said[-2000:])
    return {"seconds": round(spent, 1), "said": _told(said), "peak": peak, **held(folder)}


def _told(said: str) -> str:
    """The last line of the command, which tells its parts."""
    lines = [line for line in re.split(r"[\r\n]", said) if line.strip()]
    return lines[-1] if lines else ""


def held(folder: Path) -> dict[str, Any]:
    """What the database holds, and its bytes by part."""
    settings = Settings(atlas_home=folder / "home")
    with Connection(local.start(settings)) as connection:
        nodes = connection.read("MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n", timeout=0).rows
        types = connection.read("MATCH ()-[r]->() RETURN type(r) AS type, count(*) AS n", timeout=0).rows
    database = settings.atlas_home / "server" / "data" / "databases" / "neo4j"
    memory = local.memory_of(settings)
    return {
        "nodes": dict(nodes),
        "relationships": dict(types),
        "bytes": {
            "stores": sum(path.stat().st_size for path in database.glob("neostore*")),
            "indexes": bytes_of(database / "schema"),
            "all": bytes_of(settings.atlas_home / "server" / "data"),
        },
        "heap_mib": memory.heap,
        "page_cache_mib": memory.page_cache,
    }
