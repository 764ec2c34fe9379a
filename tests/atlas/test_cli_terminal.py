"""What every command writes to a terminal of 80 columns: nothing wider, no colour where there is none to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from atlas import catalogue, examples
from atlas.store.connection import Connection
from atlas.views.markup import columns
from tests.atlas.test_view_blocks import Terminal, plain
from tests.cli_runner import Cli

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("server_environment", "golden")]
OF = ("--of", "tiny@0123abcd")
COMMANDS = (
    *(("models",), ("layers",), ("classes",), ("runs",), ("parameters",), ("query", "list")),
    *(("neuron", "block1/1"), ("class", "cat"), ("image", "cat/1.png"), ("circuit", "cat/1.png")),
    *(("circuit", "c0000000001a"), ("circuit", "cat"), ("circuit", "block1/1"), ("concept", "block2/c1")),
    *(("circuit", "cat", "--method", "cla"), ("circuit", "cat", "--method", "gig")),
    *(("circuit", "c0000000001a", "--senses"), ("circuit", "cat/1.png", "--traversal", *OF)),
    *(("shared", "cat", "car"), ("shared", "--matrix"), ("splits", *OF), ("search", "cat")),
    *(
        ("search", "--like", "block2/c1"),
        ("query", "show", "hubs"),
        ("cypher", "MATCH (n:Neuron) RETURN n.id AS id"),
    ),
)
# A link, and the text of a query, are one line whatever the terminal.
WHOLE = ("query show",)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(monkeypatch, capsys)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_lines_of_a_command_fit(cli: Cli, command: tuple[str, ...]) -> None:
    done = cli.good(*command)
    assert "\x1b" not in done.out + done.err
    if not " ".join(command).startswith(WHOLE):
        assert max(map(columns, done.out.splitlines())) <= 80


def test_lines_of_every_query_fit(cli: Cli, golden: Connection) -> None:
    found = examples.find(golden)
    for name, query in catalogue.load().items():
        if query.draws is None and not examples.missing(query, found):
            given = [
                f"{key}={_text(value)}"
                for key, value in examples.values(query, found).items()
                if value is not None
            ]
            done = cli("query", "run", name, *given)
            assert done.code == 0, (name, done.err)
            assert max(map(columns, done.out.splitlines())) <= 80, name


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | tuple) else str(value)


def test_pictures_are_refused_in_a_line_where_there_is_no_colour(cli: Cli) -> None:
    done = cli.good("neuron", "block1/1", "--pictures")
    assert "24-bit colour" in done.err
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    "command",
    [
        *(("neuron", "block1/1"), ("image", "cat/1.png"), ("class", "cat"), ("concept", "block2/c1")),
        *(("splits", *OF), ("splits", "block2/0"), ("circuit", "cat/1.png"), ("circuit", "c0000000001a")),
    ],
    ids=" ".join,
)
def test_pictures_stand_below_the_tables(
    cli: Cli,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    server_environment: dict[str, str],
) -> None:
    media = Path(server_environment["ATLAS_HOME"]) / "media" / "thumbs"
    media.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (200, 40, 90)).save(media / "5.png")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    cli.good(*command, "--pictures")
    said = terminal.getvalue()
    assert "▀" in said or "no picture" in said
    assert max(map(columns, plain(said).splitlines())) <= 80
    assert "\x1b" not in said[: said.index("▀")].rpartition("\n\n")[0] if "▀" in said else True
