"""The HTML circuit in a real browser: slider, hover, pin, search, keyboard, dark mode, accessibility."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from atlas.views import html, pictures
from atlas.views.drawing import Caption, Context, of_subgraph, of_two
from tests.browser.conftest import ARTEFACTS
from tests.view_examples import AWKWARD, ROOT, layered, small

SHOWN = AWKWARD.replace("\x07", "\ufffd")


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small circuit with awkward names; one node has a picture."""
    folder = tmp_path_factory.mktemp("circuit")
    Image.new("RGB", (32, 32), (200, 40, 90)).save(folder / "a.png")
    caption = Caption(AWKWARD, "CLA", statement="MATCH (n)\nRETURN n LIMIT 1", browser="http://127.0.0.1:1/")
    found = of_subgraph(caption, small(), Context(["a", "b"]))
    found = pictures.with_pictures(found, folder, {f"{ROOT}/a/0": "a.png"})
    path = folder / "circuit.html"
    path.write_text(html.document(found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred nodes, compared."""
    path = tmp_path_factory.mktemp("wide") / "wide.html"
    context = Context([f"layer{i}" for i in range(8)])
    caption = Caption("cats and dogs", "GCC", parts=("cats", "dogs"))
    pair = layered(8, 25, 500, seed=1), layered(8, 25, 200, seed=2)
    path.write_text(html.document(of_two(caption, *pair, context)), encoding="utf-8")
    return path


def vertex(page: Page, name: str) -> str:
    """A selector of the vertex whose id ends so."""
    index = page.evaluate("name => data.vertices.findIndex(v => v.id.endsWith(name))", name)
    return f"[data-vertex='{index}']"


def test_names_are_shown_as_they_are(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    assert page.title() == page.inner_text("h1") == SHOWN
    expect(page.locator("[data-vertex]")).to_have_count(7)
    assert page.locator("use").count() == 1
    page.hover(vertex(page, "set/c"))
    expect(page.locator("#tip strong")).to_have_text(SHOWN)


def test_hovering_tells_and_lights_the_neighbours(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    page.hover(vertex(page, "/b/0"))
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(f"{ROOT}/b/0")
    assert page.locator(".vertex.near").count() == 3
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    assert page.locator("#canvas.busy").count() == 0


def test_the_slider_leaves_the_strong_edges(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    expect(page.locator("#shown")).to_have_text("6 of 6 edges")
    page.fill("#strength", "40")
    expect(page.locator("#shown")).to_have_text("5 of 6 edges")
    assert page.locator(".arc.weak").count() == 1
    expect(page.locator(vertex(page, "/a/1"))).to_have_class(re.compile(r"\balone\b"))
    page.focus("#strength")
    page.keyboard.press("Home")
    expect(page.locator("#shown")).to_have_text("6 of 6 edges")


def test_a_click_pins_and_the_key_unpins(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    page.click(vertex(page, "/b/0"))
    expect(page.locator(vertex(page, "/b/0"))).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#pinned li")).to_have_count(1)
    expect(page.locator("#pinned")).to_contain_text(f"{ROOT}/b/0")
    page.click(vertex(page, "/a/0"))
    expect(page.locator("#pinned li")).to_have_count(2)
    page.click(vertex(page, "/a/0"))
    expect(page.locator("#pinned li")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#pinned li")).to_have_count(0)


def test_dragging_pans_and_pins_nothing(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    before = page.locator("#stage").get_attribute("transform")
    box = page.locator(vertex(page, "/a/0")).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
    page.mouse.up()
    assert page.locator("#stage").get_attribute("transform") != before
    expect(page.locator("#pinned li")).to_have_count(0)
    page.click("text=Whole")
    assert page.locator("#stage").get_attribute("transform") == before
    page.mouse.move(400, 500)
    page.mouse.wheel(0, -300)
    expect(page.locator("#stage")).not_to_have_attribute("transform", before or "")


def test_search_marks_and_goes_there(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    page.keyboard.press("/")
    page.keyboard.type("b/1")
    expect(page.locator("#hits")).to_have_text("1 found")
    assert page.locator(".vertex.found").count() == 1
    page.keyboard.press("Enter")
    expect(page.locator(vertex(page, "/b/1"))).to_be_focused()
    page.fill("#search", "nothing like it")
    expect(page.locator("#hits")).to_have_text("0 found")


def test_everything_can_be_reached_by_keyboard(page: Page, circuit: Path) -> None:
    page.goto(circuit.as_uri())
    page.focus("#whole")
    page.keyboard.press("Tab")
    first = page.evaluate("data.vertices[document.activeElement.dataset.vertex].column")
    assert first == "Images"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("data.vertices[document.activeElement.dataset.vertex].column") == "a"
    expect(page.locator("#tip")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#pinned li")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(page: Page, circuit: Path, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(circuit.as_uri())
    page.click(vertex(page, "/b/0"))
    found = Axe().run(page).response["violations"]
    serious = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_two_hundred_nodes_fill_the_screen_and_do_not_overlap(page: Page, wide: Path) -> None:
    page.goto(wide.as_uri())
    assert len(page.locator("[data-vertex]").all()) == 200
    boxes = page.evaluate(
        "[...document.querySelectorAll('.vertex > rect:first-of-type')].map(e => e.getBoundingClientRect().toJSON())"
    )
    assert min(b["left"] for b in boxes) >= 0
    assert max(b["bottom"] for b in boxes) <= 900
    assert max(b["right"] for b in boxes) - min(b["left"] for b in boxes) > 600
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "circuit-200.png")
    assert wide.stat().st_size < 2_000_000
