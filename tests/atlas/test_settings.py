"""Tests of `atlas.store.settings`: the environment, read once, with clear lines for what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.errors import StoreError
from atlas.store.connection import foreign_target
from atlas.store.settings import load_settings


def test_without_an_address_the_server_is_managed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "")
    settings = load_settings()
    assert settings.managed
    assert foreign_target(settings) is None


def test_a_foreign_server_comes_from_four_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"URI": "neo4j+s://db", "USER": "u", "PASSWORD": "secret", "DATABASE": "d"}.items():
        monkeypatch.setenv(f"NEO4J_{name}", value)
    target = foreign_target(settings := load_settings())
    assert target is not None
    assert (target.uri, target.user, target.password, target.database) == ("neo4j+s://db", "u", "secret", "d")
    assert "secret" not in repr(settings) + repr(target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NEO4J_URI", "http://127.0.0.1:7474"),
        ("NEO4J_URI", "localhost:7687"),
        ("ATLAS_HEAP", "lots"),
        ("ATLAS_PAGE_CACHE", "-1g"),
    ],
)
def test_an_unusable_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=f"a setting cannot be used: {name}"):
        load_settings()


def test_homes_are_absolute_and_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ATLAS_HOME", "~/atlas")
    monkeypatch.setenv("ATLAS_CACHE", "cache")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.atlas_home, settings.atlas_cache) == (tmp_path / "atlas", tmp_path / "cache")
