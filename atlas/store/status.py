"""Whether a server runs, where, and how to open it; looks, and starts nothing."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import StoreError
from atlas.store import state
from atlas.store.connection import Connection, foreign_target
from atlas.store.jars import NEO4J_VERSION
from atlas.store.local import USER
from atlas.store.settings import Settings
from atlas.store.state import Places


@dataclass(frozen=True)
class ServerStatus:
    """What `atlas server status --json` prints, field by field; what a foreign server keeps to itself is None."""

    running: bool
    managed: bool
    uri: str | None
    user: str
    password_file: str | None
    browser: str | None
    pid: int | None
    home: str | None
    log: str | None
    version: str | None


def server_status(settings: Settings) -> ServerStatus:
    """The server of `settings` as it is now: files and process table for the managed one, a greeting for another."""
    target = foreign_target(settings)
    if target is not None:
        try:
            with Connection(target) as connection:
                version = connection.version
        except StoreError:
            return ServerStatus(False, False, target.uri, target.user, None, None, None, None, None, None)
        return ServerStatus(True, False, target.uri, target.user, None, None, None, None, None, version)
    places = Places(settings.atlas_home)
    running = state.running(places)
    known = running or state.read(places)
    return ServerStatus(
        running=running is not None,
        managed=True,
        uri=known.get("uri"),
        user=USER,
        password_file=str(places.password),
        browser=known.get("browser"),
        pid=None if running is None else running["pid"],
        home=str(places.home),
        log=str(places.log),
        version=known.get("version", NEO4J_VERSION),
    )


def log_tail(settings: Settings, lines: int) -> list[str]:
    """The last lines of the managed server's log; empty when it never ran."""
    path = Places(settings.atlas_home).log
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:] if path.is_file() else []
