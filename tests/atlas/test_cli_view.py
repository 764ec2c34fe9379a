"""`atlas view` on the golden graph: what it draws, in which form, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli_runner import Cli

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("server_environment", "golden")]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def data(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">')[1].split("</script>")[0])
    return found


def test_a_circuit_is_drawn_with_its_members_scores_and_links(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "new" / "c.html"
    assert cli.good("view", "c0000000001a", "-o", out).out == f"{out}\n"
    found = data(out)
    assert found["columns"] == ["stem", "block1", "block2", "head"]
    assert {v["name"] for v in found["vertices"]} == {"stem/0", "block1/0", "block2/0", "head/0"}
    assert all(v["link"].startswith("http://127.0.0.1") for v in found["vertices"])
    assert [a["type"] for a in found["arcs"]] == ["DRIVES"] * 3


@pytest.mark.parametrize(
    ("what", "nodes"),
    [
        (("cat/1.png",), 5),
        (("cat",), 5),
        (("block1/1", "--limit", "3"), None),
        (("block2/c1",), None),
        (("cat", "--method", "gig"), None),
        (("circuit_of_class", "class=cat"), None),
        (("shared_concepts", "classes=cat,car"), None),
        (("layers",), None),
    ],
)
def test_whatever_has_a_drawing_is_drawn(
    cli: Cli, tmp_path: Path, what: tuple[str, ...], nodes: int | None
) -> None:
    out = tmp_path / "x.svg"
    cli.good("view", *what, "-o", out)
    tree = ElementTree.parse(out).getroot()
    boxes = [g for g in tree.iter() if (g.get("class") or "").startswith("vertex ")]
    assert len(boxes) == nodes if nodes else len(boxes) > 1


@pytest.mark.parametrize(
    ("what", "method"), [("block1/1", "GCC"), ("block2/c1", "GIG"), ("block2/0:0", "PURE"), ("cat", "GCC")]
)
def test_a_drawing_says_whose_answer_it_is(cli: Cli, tmp_path: Path, what: str, method: str) -> None:
    out = tmp_path / "x.svg"
    cli.good("view", what, "-o", out)
    about = next(e for e in ElementTree.parse(out).getroot() if e.get("id") == "about")
    assert (about.text or "").startswith(f"{method}, ")


def test_two_are_compared(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "ab.html"
    cli.good("view", "c0000000001a", "cat/1.png", "-o", out)
    parts = {v["name"]: v["part"] for v in data(out)["vertices"]}
    assert parts["stem/0"] == "c0000000001a and cat/1.png"
    assert parts["block1/1"] == "cat/1.png"


def test_the_same_atlas_gives_the_same_file(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cli.good("view", "cat", "-o", tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_cannot_be_drawn_is_refused(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "x.svg"
    assert "expected .svg or .html" in cli.refused("view", "cat", "-o", tmp_path / "x.png")
    assert "is not in the atlas" in cli.refused("view", "dragon", "-o", out)
    assert "no drawing" in cli.refused("view", "evaluations", "-o", out)
    assert "expected one thing or two" in cli.refused("view", "cat", "car", "cat", "-o", out)
    assert "nothing to draw" in cli.refused("view", "c0000000005e", "-o", out)
    assert "expected name=value" in cli.refused("view", "layers", "tiny", "-o", out)
    assert not out.exists()
