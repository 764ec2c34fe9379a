"""Tests of `atlas.store.jars`: nothing reaches the library folder unverified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.errors import StoreError
from atlas.store import jars
from atlas.store.settings import Settings


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A release of two tiny jars instead of the real 217."""
    known = {
        "a.jar": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "b.jar": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
    }
    monkeypatch.setattr(jars, "known_sums", lambda: known)
    return known


def fetching(**texts: str) -> jars.Fetch:
    def fetch(downloads: Path) -> list[Path]:
        paths = [downloads / f"{name}.jar" for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            if not path.exists():
                path.write_text(text)
        return paths

    return fetch


def test_the_list_names_every_jar_once_with_a_sum() -> None:
    known = jars.known_sums()
    assert len(known) == 217
    assert all(len(digest) == 64 and name.endswith(".jar") for name, digest in known.items())
    assert {
        f"neo4j-server-{jars.NEO4J_VERSION}.jar",
        f"neo4j-browser-{jars.BROWSER_VERSION}.jar",
    } <= known.keys()


@pytest.mark.server
def test_the_fetched_jars_are_the_listed_ones(jars_folder: Path) -> None:
    found = {path.name: jars._sum(path) for path in jars_folder.iterdir()}
    assert found == jars.known_sums()


@pytest.fixture
def jars_folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue("jars")
    return folder


@pytest.mark.usefixtures("sums")
def test_installs_by_one_rename_and_leaves_nothing_beside(tmp_path: Path) -> None:
    jars.install(tmp_path / "lib", fetching(a="a", b="b"))
    assert sorted(p.name for p in (tmp_path / "lib").iterdir()) == ["a.jar", "b.jar"]
    assert [p.name for p in tmp_path.iterdir()] == ["lib"]


@pytest.mark.usefixtures("sums")
def test_an_altered_jar_is_refused_removed_and_fetched_anew(tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    with pytest.raises(StoreError, match=r"not the one.*b\.jar"):
        jars.install(folder, fetching(a="a", b="bad"))
    assert not folder.exists()
    jars.install(folder, fetching(a="a", b="b"))
    assert (folder / "b.jar").read_text() == "b"


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize("texts", [{"a": "a"}, {"a": "a", "b": "b", "c": "c"}])
def test_a_missing_or_extra_jar_is_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="set of Neo4j's jars"):
        jars.install(tmp_path / "lib", fetching(**texts))
    assert not (tmp_path / "lib").exists()


@pytest.mark.usefixtures("sums")
def test_a_complete_folder_needs_no_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(atlas_cache=tmp_path)
    monkeypatch.setattr(jars, "fetch_with_jgo", fetching(a="a", b="b"))
    said: list[str] = []
    folder = jars.ensure_jars(settings, said.append)
    assert len(said) == 1
    monkeypatch.setattr(jars, "fetch_with_jgo", None)
    assert jars.ensure_jars(settings, said.append) == folder
    assert len(said) == 1
    (folder / "b.jar").unlink()
    monkeypatch.setattr(jars, "fetch_with_jgo", fetching(a="a", b="b"))
    assert (jars.ensure_jars(settings) / "b.jar").exists()


def test_jars_at_hand_are_used_as_they_are(tmp_path: Path) -> None:
    settings = Settings(atlas_neo4j_lib=tmp_path)
    with pytest.raises(StoreError, match="ATLAS_NEO4J_LIB"):
        jars.ensure_jars(settings)
    (tmp_path / f"neo4j-server-{jars.NEO4J_VERSION}.jar").touch()
    assert jars.ensure_jars(settings) == tmp_path


def test_no_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be fetched") as caught:
        jars.fetch_with_jgo(tmp_path)
    assert "ATLAS_NEO4J_LIB" in str(caught.value)


FULL_DISK = """
import resource, sys, pathlib
from atlas.store import jars
from atlas.store.settings import Settings
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
def fetch(downloads):
    path = downloads / "a.jar"
    path.write_bytes(b"a" * 5000)
    return [path]
jars.fetch_with_jgo = fetch
try:
    jars.ensure_jars(Settings(atlas_cache=pathlib.Path(sys.argv[1])))
except jars.StoreError:
    raise
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_while_fetching_is_one_clear_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("DiskError the disk is full")
    assert not list(tmp_path.glob("neo4j-*[0-9]"))


@pytest.mark.slow
def test_everything_comes_from_maven_without_java_or_maven(tmp_path: Path) -> None:
    """Cold, in an empty home and with an empty PATH: about 80 s."""
    code = "from atlas.store import jars, settings; print(jars.ensure_jars(settings.Settings()))"
    keep = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"HOME": str(tmp_path), "PATH": "", "ATLAS_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert {
        p.name for p in (tmp_path / "cache" / f"neo4j-{jars.NEO4J_VERSION}").iterdir()
    } == jars.known_sums().keys()
    assert not (tmp_path / ".m2").exists()
    shutil.rmtree(tmp_path / "cache")
