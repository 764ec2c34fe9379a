"""The generated references say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.cli.reference import commands, pages

ROOT = Path(__file__).parents[2]
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_generates(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name], "run `make docs`"


def test_every_command_of_the_help_is_there() -> None:
    named = {" ".join(words) for words in commands()}
    expected = {
        *("demo", "doctor", "ingest", "load", "models", "layers", "classes", "neuron", "class", "image"),
        *("circuit", "ablate", "evaluate", "cypher", "runs", "runs rm"),
        *("server start", "server stop", "server status", "server logs"),
        *("query list", "query show", "query run", "view", "report", "browser"),
    }
    assert expected <= named
    text = PAGES["cli.md"]
    assert all(f"## `atlas {words}`" in text for words in named)


def test_the_readme_names_each_query_page_and_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"docs/{page}" in readme
    for command in ("make demo", "make test", "atlas circuit", "atlas server stop", "5.4 GB"):
        assert command in readme


def test_every_room_of_the_map_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [
        line.split("`")[1]
        for line in readme.splitlines()
        if line.startswith("| `") and "/" in line.split("`")[1]
    ]
    assert len(rows) > 10
    for row in rows:
        assert (ROOT / row).exists(), row
