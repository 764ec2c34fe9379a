"""Tests of docker-compose.yml: the same server as the managed one, kept to this machine."""

from __future__ import annotations

import re
from pathlib import Path

from atlas.store.configuration import Memory, Ports, server_configuration
from atlas.store.jars import COORDINATES, NEO4J_VERSION

TEXT = (Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8")


def setting(variable: str) -> str:
    """The setting that the image makes of an environment variable: `__` is `_`, `_` is `.`."""
    return variable.removeprefix("NEO4J_").replace("__", "\0").replace("_", ".").replace("\0", "_")


def test_the_tag_is_the_version_of_the_jars() -> None:
    assert re.findall(r"image: neo4j:(\S+)-community", TEXT) == [NEO4J_VERSION]
    assert all(NEO4J_VERSION in c for c in COORDINATES if "browser" not in c)


def test_every_port_is_published_on_loopback_only() -> None:
    assert re.findall(r'- "([^"]*:\d+:\d+)"', TEXT) == ["127.0.0.1:7474:7474", "127.0.0.1:7687:7687"]


def test_settings_are_those_of_the_managed_server() -> None:
    managed = dict(
        line.split("=", 1) for line in server_configuration(Memory(1024, 512), Ports(1, 2)).splitlines()
    )
    here = {setting(k): v.strip('"') for k, v in re.findall(r"^      (NEO4J_[a-z]\w*): (.+)$", TEXT, re.M)}
    assert len(here) >= 10
    assert here == {name: managed[name] for name in here}


def test_the_password_comes_as_a_secret_file_and_data_is_kept() -> None:
    assert "NEO4J_AUTH_FILE: /run/secrets/neo4j_auth" in TEXT
    assert not re.search(r"NEO4J_AUTH:|auth_enabled", TEXT)
    assert {"data:/data", "logs:/logs"} <= set(re.findall(r"- (\w+:/\w+)", TEXT))
    assert "healthcheck:" in TEXT
    assert "cypher-shell" in TEXT
