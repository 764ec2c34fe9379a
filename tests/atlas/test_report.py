"""The report: a page for each thing, links that resolve, whatever names the graph holds, the folder as a whole."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from atlas import catalogue, lookup
from atlas.errors import DataError
from atlas.figures import Places, Studio
from atlas.report import units
from atlas.report.build import MARK, build
from atlas.report.site import Site, slug
from atlas.store import prepare
from atlas.store.connection import Connection
from tests.cli_runner import Cli
from tests.view_examples import AWKWARD, AWKWARD_GRAPH

pytestmark = pytest.mark.server


def silent(stage: str, done: int, total: int) -> None:
    pass


def made(connection: Connection, folder: Path, media: Path) -> Site:
    return build(Studio(connection, Places("http://127.0.0.1:7474/browser/", media)), folder, silent)


class Page(HTMLParser):
    """Links, ids and text of a page; tags that are opened and closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == [], path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(golden: Connection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "site"
    made(golden, folder, tmp_path_factory.mktemp("media"))
    return folder


def test_every_link_resolves_within_the_folder(report: Path) -> None:
    pages = sorted(report.rglob("*.html"))
    for path in pages:
        for link in Page(path).links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "data") or link.startswith("#"):
                continue
            assert parts.scheme == "", link
            target = (path.parent / unquote(parts.path)).resolve()
            assert target.is_relative_to(report.resolve()), link
            assert target.is_file(), f"{path.name}: {link}"


def test_there_is_a_page_for_each_thing(report: Path, golden: Connection) -> None:
    for query, key, folder in (("classes", "class", "classes"), ("layers", "layer", "layers")):
        for row in lookup.run(golden, query).rows:
            assert (report / folder / f"{slug(row[key])}.html").is_file()
    units = lookup.run(golden, "units_of_circuits").rows
    assert {row["kind"] for row in units} >= {"Neuron", "Concept"}
    for row in units:
        assert (report / "units" / f"{slug(row['unit'])}.html").is_file()


def test_pages_show_figures_with_their_queries(report: Path) -> None:
    (path,) = (report / "classes").glob("toy_cat-????????.html")
    page = Page(path)
    assert "The circuit of cat by GCC" in page.text
    assert "MATCH (:Class {id: 'toy/cat'})" in page.text
    assert any("cmd=edit" in link for link in page.links)
    assert (report / "classes" / f"{path.stem}-gcc.svg").is_file()
    interactive = (report / "classes" / f"{path.stem}-gcc.html").read_text(encoding="utf-8")
    assert f'"link": "../units/{slug("tiny@0123abcd/stem/0")}.html"' in interactive
    assert "Shared concepts" in Page(report / "index.html").text
    assert "r0000000002: gcc" in Page(report / "runs.html").text
    assert '<circle class="point"' in (report / "evaluations.html").read_text(encoding="utf-8")


def test_the_same_atlas_gives_the_same_report(report: Path, golden: Connection, tmp_path: Path) -> None:
    made(golden, tmp_path / "again", tmp_path / "media")
    files = {p.relative_to(report) for p in report.rglob("*") if p.is_file()}
    assert files == {
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    }
    for name in files:
        assert (report / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_what_is_asked_for_many_units_at_once_is_what_each_is_told(golden: Connection) -> None:
    for kind, asked in units.ASKED.items():
        members = [row["unit"] for row in lookup.run(golden, "units_of_circuits").rows if row["kind"] == kind]
        assert len(members) > 1 or kind == "Sense"
        for name, limit in (*asked, *((("senses_of_neuron", None),) if kind == "Neuron" else ())):
            query, parameter = catalogue.get(name), kind.lower()
            values = {p.name: p.default for p in query.parameters if p.name != parameter}
            values |= {} if limit is None else {"limit": min(limit, 2)}
            together = lookup.ask_each(golden, query, parameter, [*members, "nothing/like/it"], values)
            for unit in members:
                alone = lookup.ask(golden, query, {**values, parameter: unit})
                assert together[unit].rows == alone.rows, (name, unit)
                assert together[unit].full == alone.full
            assert together["nothing/like/it"].rows == ()


def test_an_earlier_report_is_replaced_and_nothing_else(golden: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    made(golden, folder, tmp_path)
    (folder / "stale.html").write_text("old", encoding="utf-8")
    made(golden, folder, tmp_path)
    assert not (folder / "stale.html").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(DataError, match="holds something else"):
        made(golden, other, tmp_path)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]
    assert (folder / MARK).is_file()


def test_names_stay_apart_and_are_stable() -> None:
    assert slug("set/a b") != slug("set/a_b")
    assert slug("../../etc") == slug("../../etc")
    assert "/" not in slug("../../etc")
    assert len(slug("x" * 500)) < 80
    assert slug("数字/é") != slug("数字/è")


def test_the_command_says_where(
    server_environment: dict[str, str],
    golden: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    cli = Cli(monkeypatch, capsys)
    assert cli.good("report", tmp_path / "r", "-q").out == f"{tmp_path / 'r' / 'index.html'}\n"
    assert "holds something else" in cli.refused("report", Path(__file__).parent, "-q")


class TestOtherAtlases:
    """Last, because they empty the database."""

    def test_an_empty_atlas_has_a_report(self, connection: Connection, tmp_path: Path) -> None:
        prepare.introduce(connection)
        connection.write("MATCH (n) DETACH DELETE n")
        site = made(connection, tmp_path / "r", tmp_path)
        assert "This atlas is empty" in Page(tmp_path / "r" / "index.html").text
        assert len(site.written) == 4

    def test_awkward_names_and_missing_pictures(self, connection: Connection, tmp_path: Path) -> None:
        prepare.introduce(connection)
        connection.write("MATCH (n) DETACH DELETE n")
        connection.write(
            AWKWARD_GRAPH,
            {"name": AWKWARD},
        )
        (tmp_path / "secret.png").write_bytes(b"secret")
        media = tmp_path / "a" / "media"
        media.mkdir(parents=True)
        made(connection, tmp_path / "r", media)
        shown = AWKWARD.replace("\x07", "\ufffd")
        index, unit = Page(tmp_path / "r" / "index.html"), next((tmp_path / "r" / "units").glob("*.html"))
        assert shown in index.text
        assert shown in Page(unit).text
        assert "<b>" not in unit.read_text(encoding="utf-8")
        assert '<span class="blank">' in unit.read_text(encoding="utf-8")
        assert not list((tmp_path / "r").rglob("*.png"))
