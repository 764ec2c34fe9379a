"""Neo4j Browser's kit: a style for every label of the schema, favourites that run, a guide."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from atlas import catalogue, examples
from atlas.schema import NODE_TYPES, RELATIONSHIP_TYPES
from atlas.store.connection import Connection
from atlas.views import favourites, grass, guide
from tests.cli_runner import Cli


def parsed(text: str) -> dict[str, dict[str, str]]:
    """A `.grass` text as Browser 5.24 reads it: braces outside quotes open rules, `;` and `:` cut them."""
    rules: dict[str, dict[str, str]] = {}
    for selector, body in re.findall(r"([\w.]+) \{\n((?:[^'}]|'[^']*')*)\}", text):
        pairs = [line.split(":") for line in body.split(";") if line.strip()]
        assert all(len(pair) == 2 for pair in pairs), selector
        rules[selector] = {name.strip(): value.strip().strip("'") for name, value in pairs}
    return rules


def test_every_label_has_a_colour_of_its_own_and_a_caption_of_its_properties() -> None:
    rules = parsed(grass.document())
    assert (
        {s.removeprefix("node.") for s in rules if s.startswith("node.")}
        == set(NODE_TYPES)
        == set(grass.LOOKS)
    )
    colours = [rules[f"node.{label}"]["color"] for label in NODE_TYPES]
    assert len(set(colours)) == len(colours)
    for label, node in NODE_TYPES.items():
        named = re.findall(r"\{([^{}]*)\}", rules[f"node.{label}"]["caption"])
        assert named
        assert set(named) <= {p.name for p in node.properties}


def test_scored_relationships_are_captioned_with_their_score() -> None:
    rules = parsed(grass.document())
    for name, relationship in RELATIONSHIP_TYPES.items():
        caption = rules.get(f"relationship.{name}", {}).get("caption", "{type}").strip("{}")
        assert caption in {"type", *(p.name for p in relationship.properties)}
        assert caption != "type" or not relationship.scored


def test_the_command_says_the_same_and_fits_a_link() -> None:
    command = grass.command()
    assert not set("#&") & set(command)
    rules = json.loads(command.removeprefix(":style "))
    assert list(rules) == list(parsed(grass.document()))
    assert rules["node.Neuron"]["color"] == "rgb(0, 114, 178)"


def test_text_can_be_read_on_its_colour() -> None:
    def luminance(colour: str) -> float:
        return grass._luminance(colour)

    for rule in (r for s, r in grass.sheet().items() if s.startswith("node.")):
        light, dark = sorted((luminance(rule["color"]), luminance(rule["text-color-internal"])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


def unpacked(pack: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.server
def test_every_question_is_a_favourite_that_runs(golden: Connection) -> None:
    found = examples.find(golden)
    queries = catalogue.load()
    pack = favourites.pack(queries.values(), lambda query: examples.values(query, found))
    assert pack == favourites.pack(queries.values(), lambda query: examples.values(query, found))
    files = unpacked(pack)
    assert {Path(name).stem for name in files} == set(queries)
    assert {Path(name).parent.name for name in files} == {favourites.FOLDER, favourites.DRAWINGS}
    for name, content in files.items():
        assert content.startswith(f"// {Path(name).stem}: ")
        assert golden.explain(content, {}).kind == "r", name


def test_without_an_atlas_favourites_say_what_to_write() -> None:
    query = catalogue.get("circuit_edges")
    content = favourites.content(query, examples.values(query, {}))
    assert "// circuit = '(circuit)': circuit id\n" in content
    assert "{circuit: '(circuit)'}" in content
    assert examples.missing(query, {}) == ("circuit",)


def test_a_guide_escapes_what_it_says() -> None:
    step = guide.Step("<b>", "x & y", "MATCH (n {id: '</pre>'}) RETURN n", "http://127.0.0.1/?arg=<")
    page = guide.document("http://127.0.0.1:1/browser/", ":style {}", [step])
    assert "<b>" not in page
    assert page.count("</pre>") == 3
    assert "http://127.0.0.1/?arg=&lt;" in page
    assert "Nothing to see yet" in guide.document("http://x/", ":style {}", [])


@pytest.mark.server
@pytest.mark.usefixtures("server_environment", "golden")
def test_atlas_browser_writes_the_kit_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said: Any = Cli(monkeypatch, capsys).good("browser", tmp_path / "kit")
    assert re.search(r"browser +http://127\.0\.0\.1:\d+/browser/\n", said.out)
    assert {p.name for p in (tmp_path / "kit").iterdir()} == {"atlas.grass", "favourites.zip", "guide.html"}
    page = (tmp_path / "kit" / "guide.html").read_text(encoding="utf-8")
    assert "One circuit" in page
    assert page.count("cmd=edit") >= 6
    assert (tmp_path / "kit" / "atlas.grass").read_text(encoding="utf-8") == grass.document()
