"""`make screenshots`: the pictures of the README, taken of the demo's atlas, so that anyone can take them again.

Drawings, the viewer, a page of the report, the matrix of shared concepts, Neo4j Browser with our style, and a terminal.
The atlas is that of ``ATLAS_HOME``; where it is not the demo's, the command says so.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rich.console import Console
from rich.text import Text

from atlas.api import open_atlas
from atlas.cli import console, report
from atlas.errors import DataError
from atlas.store.settings import load_settings
from tests.browser.conftest import FLAGS
from tests.browser.test_neo4j_browser import DROP

ATLAS = str(Path(sys.executable).with_name("atlas"))
IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 400_000
CLASSES = ("4-5", "2-4")
IMAGE = "4-5/judging-0011.png"
TERMINAL = """<!DOCTYPE html><style>
body {{ margin: 0; background: #14161a; color: #e6e6e6; display: inline-block; padding: 14px 18px; }}
pre {{ font: 14px/17px "DejaVu Sans Mono", monospace; margin: 0; }}
</style><pre>{code}</pre>"""


def main() -> None:
    """Take all of them."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise DataError("no Chromium", next_step="`make chromium`, or set CHROMIUM to its path")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = Path(folder)
        _draw(made)
        opened = playwright.chromium.launch(executable_path=found, headless=True, args=list(FLAGS))
        _drawing(opened, made / "both.svg")
        _viewer(opened, made / "both.html")
        _report(opened, made / "report")
        _terminal(opened, "terminal", f"atlas circuit {IMAGE} --limit 6 --pictures")
        _terminal(opened, "senses", "atlas splits layer4.1/343 --pictures --limit 4")
        _evidence("evidence", "neuron", "layer3.1/124", "--picture")
        _evidence("evidence-layers", "image", IMAGE, "--picture")
        _neo4j(opened, made)
        opened.close()
    for path in sorted(IMAGES.glob("*.png")):
        console.answer(f"{path.name} {path.stat().st_size:,} bytes")


def _draw(folder: Path) -> None:
    if "4-5" not in _atlas("classes"):
        raise DataError("this is not the demo's atlas", next_step="`make demo` first")
    for name in ("both.svg", "both.html"):
        _atlas("view", *CLASSES, "--method", "cla", "-o", str(folder / name))
    with open_atlas() as atlas:
        report.write(atlas.connection, folder / "report", quiet=True)
    _atlas("browser", str(folder))


def _drawing(browser: Browser, path: Path) -> None:
    with _page(browser, 1400, 900) as page:
        page.goto(path.as_uri())
        _save("circuit-of-two-classes", page.locator("svg").first.screenshot())


def _viewer(browser: Browser, path: Path) -> None:
    with _page(browser, 1400, 820) as page:
        page.goto(path.as_uri())
        page.fill("#search", "layer3.1")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        page.click("text=Whole")
        _save("viewer", page.screenshot())


def _report(browser: Browser, folder: Path) -> None:
    (path,) = (folder / "classes").glob("digits_4_5-????????.html")
    with _page(browser, 1200, 1000) as page:
        page.goto(path.as_uri())
        _save("report-class", page.screenshot())
        page.goto((folder / "index.html").as_uri())
        _save("shared-concepts", page.locator("table.heat").screenshot())
        page.goto((folder / "evaluations.html").as_uri())
        _save("evaluations", page.screenshot())


def _terminal(browser: Browser, name: str, command: str) -> None:
    """A command as it looks in a terminal of 80 columns with 24-bit colour."""
    said = f"$ {command}\n{_in_terminal(command.split())}"
    recorded = Console(record=True, file=io.StringIO(), width=80, color_system="truecolor")
    recorded.print(Text.from_ansi(said), soft_wrap=True)
    code = recorded.export_html(inline_styles=True, code_format="{code}")
    with _page(browser, 720, 400) as page:
        page.set_content(TERMINAL.format(code=code))
        _save(name, page.locator("body").screenshot())


def _in_terminal(command: list[str]) -> str:
    """What a command writes to a pseudo-terminal."""
    import pty

    out = bytearray()

    def read(fd: int) -> bytes:
        out.extend(got := os.read(fd, 65_536))
        # The reader of the terminal itself is shown nothing.
        return b"\r" if got else b""

    kept = dict(os.environ)
    os.environ.update(COLUMNS="80", LINES="60", COLORTERM="truecolor", TERM="xterm-256color")
    try:
        pty.spawn([ATLAS, *command[1:]], read)
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return out.decode().replace("\r\n", "\n")


def _evidence(name: str, *command: str) -> None:
    with Image.open(_atlas(*command).strip()) as picture:
        held = io.BytesIO()
        picture.convert("RGB").save(held, "PNG")
    _save(name, held.getvalue())


def _neo4j(browser: Browser, folder: Path) -> None:
    """Concepts that two classes share, in Neo4j Browser, from the link that the command line prints."""
    asked = ("shared_concepts", f"classes={','.join(CLASSES)}", "limit=24")
    link = _atlas("query", "run", *asked, "--browser").strip()
    password = (load_settings().atlas_home / "run" / "password").read_text(encoding="utf-8").strip()
    with _page(browser, 1400, 900) as page:
        page.goto(link)
        page.fill("input[type=password]", password, timeout=60_000)
        page.get_by_test_id("connect").click()
        expect(page.get_by_text(":config autoComplete: false").first).to_be_visible(timeout=60_000)
        data = base64.b64encode((folder / "atlas.grass").read_bytes()).decode()
        page.evaluate(DROP, [data, "atlas.grass"])
        expect(page.get_by_text("node.Concept").first).to_be_visible(timeout=30_000)
        page.get_by_test_id("editor-Run").click()
        expect(page.locator("g.node").first).to_be_visible(timeout=60_000)
        page.locator("[data-testid=frame-Fullscreen], button[title=Fullscreen]").first.click()
        page.wait_for_timeout(8_000)
        page.get_by_test_id("zoom-to-fit").or_(page.locator("button[aria-label='zoom-to-fit']")).first.click()
        page.wait_for_timeout(1_000)
        _save("neo4j-browser", page.screenshot())


@contextmanager
def _page(browser: Browser, width: int, height: int) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": width, "height": height})
    yield opened
    opened.close()


def _atlas(*command: str) -> str:
    done = subprocess.run([ATLAS, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError("a command failed", where=" ".join(command), got=done.stderr.strip())
    return done.stdout


def _save(name: str, png: bytes) -> None:
    """A picture, of fewer colours where it would be larger than a page should carry."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    if held.tell() > LARGEST:
        held = io.BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(held, "PNG", optimize=True)
    if held.tell() > LARGEST:
        raise DataError("a picture is too large", where=name, expected=f"<= {LARGEST:,}", got=held.tell())
    (IMAGES / f"{name}.png").write_bytes(held.getvalue())


if __name__ == "__main__":
    main()
