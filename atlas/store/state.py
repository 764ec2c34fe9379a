"""What the managed server's home remembers between processes: where it is, which process, which ports."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atlas.errors import StoreError
from atlas.store import process
from atlas.store.configuration import Ports
from atlas.store.files import write_atomic
from atlas.store.jars import NEO4J_VERSION

GRACE_SECONDS = 3.0


@dataclass(frozen=True)
class Places:
    """Paths under one ATLAS_HOME."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "server"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "neo4j.log"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def password(self) -> Path:
        return self.run / "password"

    @property
    def first_password(self) -> Path:
        return self.run / "password.first"

    @property
    def importing(self) -> Path:
        """Lies there while an offline import replaces the store."""
        return self.home / "importing"

    @property
    def state(self) -> Path:
        return self.run / "server.json"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"


def read(places: Places) -> dict[str, Any]:
    """The last state written, whether or not its process still lives; empty when there is none to read."""
    try:
        found = json.loads(places.state.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def running(places: Places) -> dict[str, Any] | None:
    """The state, if its process lives and is the one that was started: ids are reused."""
    found = read(places)
    pid, created = found.get("pid"), found.get("created")
    if not isinstance(pid, int) or not isinstance(created, float) or not process.alive(pid):
        return None
    return found if abs((process.created(pid) or 0.0) - created) < 1.0 else None


def write(places: Places, pid: int, ports: Ports, uri: str, version: str) -> None:
    """Remember a server that answers."""
    found = {
        "pid": pid,
        "created": process.created(pid),
        "uri": uri,
        "browser": f"http://127.0.0.1:{ports.http}/browser/",
        "version": version,
    }
    write_atomic(places.state, json.dumps(found, indent=1) + "\n")


def refuse_newer(places: Places) -> None:
    """Raise `StoreError` when the store was last opened by a newer Neo4j than ours."""
    wrote = str(read(places).get("version", NEO4J_VERSION))
    if _numbers(wrote) > _numbers(NEO4J_VERSION):
        raise StoreError(
            "the store was written by a newer Neo4j",
            where=places.home,
            expected=f"{NEO4J_VERSION} or older",
            got=wrote,
            next_step="use the newer version of this program, or another ATLAS_HOME",
        )


def kept_ports(places: Places, *, busy: bool = False) -> Ports:
    """The ports chosen before, if they are free (or `busy` with our own server); else new ones."""
    try:
        kept = Ports(**json.loads(places.ports.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return new_ports(places)
    return kept if busy or _freed(kept) else new_ports(places)


def _freed(kept: Ports) -> bool:
    """Whether the ports are free, or become so in a moment: a killed server's last threads hold them that long."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not process.free(kept.bolt, kept.http):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def new_ports(places: Places) -> Ports:
    """Choose free ports and keep them."""
    ports = Ports(*process.free_ports(2))
    write_atomic(places.ports, json.dumps(asdict(ports)) + "\n")
    return ports


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
