"""Quotes, angle brackets, other scripts and control characters in names; files that are gone; nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from atlas.store import prepare
from atlas.store.connection import Connection
from atlas.views.markup import columns
from tests.atlas.test_view_blocks import Terminal, plain
from tests.cli_runner import Cli
from tests.view_examples import AWKWARD, AWKWARD_GRAPH

pytestmark = pytest.mark.server
SHOWN = AWKWARD.replace("\x07", "\ufffd")


@pytest.fixture
def awkward(connection: Connection) -> Connection:
    prepare.introduce(connection)
    connection.write("MATCH (n) DETACH DELETE n")
    connection.write(AWKWARD_GRAPH, {"name": AWKWARD})
    connection.write(
        "MATCH (n:Neuron {channel: 0}), (l:Layer) CREATE (l)-[:HAS_NEURON]->(b:Neuron {id: l.id + '/1', "
        "layer: 'a', model: n.model, channel: 1}) "
        "CREATE (n)-[:DRIVES {circuit: 'c00000000001', sensitivity: 1.0, run: 'r1', hops: 1}]->(b)"
    )
    return connection


def test_names_are_shown_found_and_drawn_as_they_are(cli: Cli, awkward: Connection, tmp_path: Path) -> None:
    classes = cli.good("classes")
    assert SHOWN.split()[0] in classes.out
    assert "\x07" not in classes.out
    assert max(map(columns, classes.out.splitlines())) <= 80
    assert cli.good("classes", "--json").document["rows"][0]["name"] == AWKWARD
    assert SHOWN.split()[0] in cli.good("image", AWKWARD).out
    assert SHOWN.split()[0] in cli.good("class", AWKWARD).out
    assert cli.good("class", AWKWARD, "--browser").out.startswith("http")
    for form in ("svg", "html"):
        out = tmp_path / f"x.{form}"
        cli.good("view", "c00000000001", "-o", out)
        assert "<b>" not in out.read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "x.svg")
    cli.good("browser", tmp_path / "files")
    assert "<b>" not in (tmp_path / "files" / "guide.html").read_text(encoding="utf-8")


def test_a_missing_picture_is_a_box(cli: Cli, awkward: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli.good("neuron", "a/0", "--pictures")
    assert "no picture" in terminal.getvalue()
    assert "\x07" not in terminal.getvalue()
    assert max(map(columns, plain(terminal.getvalue()).splitlines())) <= 80


def test_an_empty_atlas_is_answered_and_never_a_defect(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    prepare.introduce(connection)
    for command in (("models",), ("classes",), ("layers",), ("runs",)):
        assert cli.good(*command).out == "no rows\n"
        assert json.loads(cli.good(*command, "--json").out)["rows"] == []
    cli.good("browser", tmp_path / "files")
    cli.good("report", tmp_path / "report", "-q")
    for refused in (
        ("view", "cat", "-o", tmp_path / "x.svg"),
        ("neuron", "a/0", "--pictures"),
        ("image", "x.png", "--picture"),
        ("splits", "--pictures"),
        ("concept", "a/c0", "--picture"),
        ("circuit", "x.png", "--pictures"),
    ):
        cli.refused(*refused)
