"""The built wheel in an environment of its own: the command, the queries and the data files work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment holding the wheel; the dependencies come from this one, by path."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    # A path in a .pth file adds the dependencies, but not this checkout, whose own .pth is not read again.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (venv / "lib" / version / "site-packages" / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return venv


def run(environment: Path, *command: str) -> str:
    """Standard output of a command of that environment, run outside the checkout."""
    done = subprocess.run(
        [str(environment / "bin" / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=environment,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_the_installed_one(environment: Path) -> None:
    code = "import atlas, ingest; print(atlas.__file__, ingest.__file__)"
    assert str(ROOT) not in run(environment, "python", "-c", code)


def test_the_command_lists_the_queries_of_the_checkout(environment: Path) -> None:
    listed = json.loads(run(environment, "atlas", "query", "list", "--json"))
    assert {row["name"] for row in listed["rows"]} == {p.stem for p in (ROOT / "queries").glob("*.cypher")}


def test_data_files_are_in_the_wheel(environment: Path) -> None:
    code = (
        "from importlib.resources import files; "
        "print((files('ingest.demo') / 'weights' / 'digit_pairs.safetensors').is_file(), "
        "(files('atlas.store') / 'jars.sha256').is_file())"
    )
    assert run(environment, "python", "-c", code).split() == ["True", "True"]


def test_pages_have_their_style_and_script_in_the_wheel(environment: Path) -> None:
    code = (
        "from atlas.views.svg import asset; from atlas.views.pages import page; "
        "names = ('drawing.css', 'viewer.css', 'viewer.js', 'page.css', 'page.js'); "
        "print(all(asset(name).strip() for name in names), '<style>' in page('a title', ''))"
    )
    assert run(environment, "python", "-c", code).split() == ["True", "True"]


def test_help_names_every_command(environment: Path) -> None:
    text = run(environment, "atlas", "--help")
    for command in ("demo", "server", "ingest", "load", "circuit", "query", "cypher", "doctor"):
        assert command in text
