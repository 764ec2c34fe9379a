"""Tests of `atlas.store.configuration`: sizes from limits, and lines the server accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.store.configuration import Memory, Ports, memory_limit, plan_memory, server_configuration
from atlas.store.connection import Connection
from atlas.store.state import Places

GIB = 1024**3


@pytest.mark.parametrize(
    ("gib", "heap", "page_cache"),
    [(1, 512, 256), (4, 512, 512), (16, 1024, 2048), (32, 2048, 4096), (512, 2048, 4096)],
)
def test_memory_is_a_share_of_the_limit_within_bounds(gib: int, heap: int, page_cache: int) -> None:
    assert plan_memory(gib * GIB) == Memory(heap, page_cache)


def test_overrides_win() -> None:
    assert plan_memory(GIB, heap="3g", page_cache="64M") == Memory(3072, 64)


def cgroup(tmp_path: Path, own: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return memory_limit(100, root=tmp_path / "root", own=tmp_path / "own")


def test_the_least_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {"a/b/memory.max": "max\n", "a/memory.max": "40\n", "memory.max": "60\n"}
    assert cgroup(tmp_path, "0::/a/b\n", files) == 40


def test_version_1_groups_are_read_too(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": "30\n"}
    assert cgroup(tmp_path, "4:cpu,memory:/not/visible/here\n9:name=systemd:/\n", files) == 30


@pytest.mark.parametrize("own", ["", "0::/\n"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, own: str) -> None:
    assert cgroup(tmp_path, own, {"memory.max": "max\n"}) == 100
    assert memory_limit(100, root=tmp_path / "none", own=tmp_path / "none") == 100


def test_only_loopback_is_listened_to_and_advertised() -> None:
    text = server_configuration(Memory(512, 256), Ports(1111, 2222))
    lines = [line for line in text.splitlines() if "address" in line.split("=")[0]]
    assert len(lines) == 6
    assert all("127.0.0.1" in line for line in lines)


@pytest.mark.server
def test_the_server_accepts_every_line(connection: Connection, request: pytest.FixtureRequest) -> None:
    """It started under strict validation, which refuses a name it does not know; and each value is in force."""
    server = request.getfixturevalue("server")
    text = (Places(server.settings.atlas_home).home / "conf" / "neo4j.conf").read_text()
    written = dict(line.split("=", 1) for line in text.splitlines())
    assert written["server.config.strict_validation.enabled"] == "true"
    rows = connection.read(
        "SHOW SETTINGS YIELD name, value, isExplicitlySet RETURN name, value, isExplicitlySet"
    ).rows
    known = {name: (value, explicit) for name, value, explicit in rows}
    shown = {
        name: known[name]
        for name in written
        if not name.startswith(("internal.", "dbms.security.procedures"))
    }
    assert len(shown) >= 20
    assert all(explicit for _, explicit in shown.values())
    for name in ("server.bolt.listen_address", "db.transaction.timeout", "dbms.usage_report.enabled"):
        assert shown[name][0] == written[name]
