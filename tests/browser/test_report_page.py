"""The report in a real browser, from the file system: style, pictures, copy button, accessibility."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from atlas.figures import Places, Studio
from atlas.report.build import build
from atlas.store.connection import Connection
from tests.browser.conftest import ARTEFACTS

pytestmark = pytest.mark.server
SAMPLE = 50


@pytest.fixture(scope="module")
def report(golden: Connection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = tmp_path_factory.mktemp("media")
    (media / "thumbs").mkdir()
    Image.new("RGB", (48, 48), (200, 40, 90)).save(media / "thumbs" / "5.png")
    folder = tmp_path_factory.mktemp("report") / "a site"
    build(Studio(golden, Places(None, media)), folder, lambda stage, done, total: None)
    return folder


def test_pages_are_styled_and_lead_to_each_other(page: Page, report: Path) -> None:
    page.goto((report / "index.html").as_uri())
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "flex"
    page.click("td a >> text=tiny@0123abcd/stem")
    expect(page.locator("h1")).to_have_text("Layer tiny@0123abcd/stem")
    page.click("td a >> text=tiny@0123abcd/stem/0")
    expect(page.locator("h1")).to_have_text("Neuron tiny@0123abcd/stem/0")
    page.click("nav >> text=Evaluations")
    expect(page.locator("figure svg").first).to_be_visible()


def test_a_drawing_leads_to_the_pages_of_its_nodes(page: Page, report: Path) -> None:
    (path,) = (report / "classes").glob("toy_cat-????????.html")
    page.goto(path.as_uri())
    assert page.evaluate("document.querySelector('figure img').naturalWidth") > 100
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "report-class.png")
    page.click("figure a >> nth=0")
    page.click("[data-vertex] >> nth=0")
    page.click("#pinned a >> text=Its page")
    expect(page.locator("h1")).to_contain_text("Neuron")


def test_pictures_are_shown(page: Page, report: Path) -> None:
    found = [
        path
        for path in (report / "units").glob("*.html")
        if "thumbs/5.png" in path.read_text(encoding="utf-8")
    ]
    page.goto(found[0].as_uri())
    assert page.evaluate("document.querySelector('.pictures img').naturalWidth") == 48
    assert page.locator(".pictures .blank").count() >= 0


def test_the_button_copies_the_query_beside_it(page: Page, report: Path) -> None:
    page.goto((report / "runs.html").as_uri())
    page.click("summary")
    page.click("button.copy")
    assert page.evaluate("window.getSelection().toString()").startswith("MATCH (run:Run)")
    expect(page.locator("button.copy").first).not_to_have_text("Copy")


def barriers(page: Page, paths: list[Path]) -> list[tuple[str, str]]:
    axe, found = Axe(), []
    # Styles are read from the page itself: fetching them again is what its policy forbids.
    options = {"preload": False, "runOnly": ["wcag2a", "wcag2aa"]}
    for path in paths:
        page.goto(path.as_uri())
        violations = axe.run(page, options=options).response["violations"]
        found += [(path.name, v["id"]) for v in violations if v["impact"] in ("serious", "critical")]
    return found


def test_no_serious_barrier_on_one_page_of_each_kind(page: Page, report: Path) -> None:
    first = [
        sorted((report / folder).glob("*-????????.html"))[0] for folder in ("classes", "layers", "units")
    ]
    assert (
        barriers(page, [*first, *(report / f"{name}.html" for name in ("index", "evaluations", "runs"))])
        == []
    )


@pytest.mark.slow
def test_no_serious_barrier_on_a_sample_of_pages(page: Page, report: Path) -> None:
    pages = sorted(report.rglob("*.html"))
    assert barriers(page, pages[:: -(-len(pages) // SAMPLE)]) == []
