"""Thumbnails in a terminal: the colours of the picture, in the columns given, and only where colour may be written."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from atlas.cli import console
from atlas.views import blocks
from atlas.views.markup import columns

COLOUR = re.compile("\x1b\\[[0-9;]*m")


def plain(text: str) -> str:
    return COLOUR.sub("", text)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """Red above, blue below."""
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 4, 8, 8))
    picture.save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


def test_each_character_is_two_pixels(halves: Path) -> None:
    above, below = blocks.picture(halves, tile=4)
    assert above == "\x1b[38;2;255;0;0;48;2;255;0;0m▀▀▀▀\x1b[0m"
    assert below == "\x1b[38;2;0;0;255;48;2;0;0;255m▀▀▀▀\x1b[0m"
    mixed = blocks.picture(halves, tile=2)
    assert mixed == ["\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[0m"]


def test_a_wide_picture_keeps_its_shape(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), (9, 9, 9)).save(tmp_path / "wide.png")
    lines = blocks.picture(tmp_path / "wide.png", tile=8)
    assert len(lines) == 4
    assert lines[0].startswith("\x1b[38;2;0;0;0;48;2;0;0;0m")
    assert "38;2;9;9;9;48;2;9;9;9" in lines[1]


def test_a_sheet_fits_its_width_with_whatever_names(halves: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    names = ("a", "数字" * 12, "<b>" * 20, "b", "gone")
    paths = (halves, halves, None, broken, tmp_path / "gone.png")
    shown = plain(
        blocks.sheet([blocks.Thumb(path, name) for path, name in zip(paths, names, strict=True)], 80)
    )
    lines = shown.splitlines()
    assert max(map(columns, lines)) <= 80
    assert shown.count("no picture") == 3
    assert len(lines) == 2 * (blocks.TILE // 2 + 1) + 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"COLORTERM": "truecolor"}, True),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm"}, False),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, False),
        ({"COLORTERM": "truecolor", "TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_that_have_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], shown: bool
) -> None:
    for name in ("COLORTERM", "TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not console.pictures()
    monkeypatch.setattr("sys.stdout", Terminal())
    assert console.pictures() is shown
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console.fail("no such thing")
    said = terminal.getvalue()
    assert plain(said) == "error: no such thing\n"
    assert ("\x1b" in said) is ("NO_COLOR" not in environment and environment.get("TERM") != "dumb")
