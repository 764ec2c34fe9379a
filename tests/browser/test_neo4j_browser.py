"""The real Neo4j Browser on the managed server: log in from a ``--browser`` link, take style and favourites, draw."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ARTEFACTS
from tests.cli_runner import Cli
from tests.conftest import Server

# What the file chooser of an operating system would hand over on a drop.
DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
    document.querySelector(".filedrop").dispatchEvent(event);
  }
}"""

pytestmark = [pytest.mark.slow, pytest.mark.server]


def drop(page: Page, path: Path) -> None:
    page.evaluate(DROP, [base64.b64encode(path.read_bytes()).decode(), path.name])


@pytest.mark.usefixtures("server_environment", "golden")
def test_a_link_draws_nodes_with_our_captions_and_colours(
    browser: Browser,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    cli = Cli(monkeypatch, capsys)
    cli.good("browser", tmp_path)
    link = cli.good("query", "run", "neuron_edges", "neuron=block1/1", "--browser").out.strip()
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(link)
    password = (server.settings.atlas_home / "run" / "password").read_text(encoding="utf-8").strip()
    page.fill("input[type=password]", password, timeout=60_000)
    page.get_by_test_id("connect").click()
    # The setting that keeps Browser from joining every pair of nodes comes with the connection.
    expect(page.get_by_text(":config autoComplete: false").first).to_be_visible(timeout=60_000)
    drop(page, tmp_path / "atlas.grass")
    expect(page.get_by_text("node.Neuron").first).to_be_visible(timeout=30_000)
    drop(page, tmp_path / "favourites.zip")
    page.get_by_test_id("editor-Run").click()
    expect(page.locator("g.node").first).to_be_visible(timeout=60_000)
    said = [" ".join(text.split()) for text in page.locator("g.node").all_text_contents()]
    assert {"block1 1", "stem 0", "block2 0"} <= set(said)
    fills = page.evaluate(
        "[...document.querySelectorAll('g.node circle.b-outline')].map(e => e.getAttribute('fill'))"
    )
    assert set(fills) == {"#0072b2"}
    assert page.locator("g.relationship").count() == page.locator("g.node").count() - 1
    page.get_by_test_id("navigationFavorites").click()
    expect(page.get_by_text("Circuit Atlas, drawn")).to_be_visible()
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "neo4j-browser.png")
    page.close()
