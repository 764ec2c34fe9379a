"""A site being written: where pages stand, what links to what, pictures copied as they are used, queries asked."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlas import catalogue, lookup
from atlas.figures import Studio
from atlas.lookup import Table
from atlas.store.files import disk_errors
from atlas.views import browser, pages
from atlas.views.markup import text

FOLDERS = {"Class": "classes", "Layer": "layers", "Neuron": "units", "Concept": "units", "Sense": "units"}
HEAD = {
    "Overview": "index.html",
    "Neurons, concepts, senses": "units.html",
    "Evaluations": "evaluations.html",
    "Runs": "runs.html",
}
STYLE = "style.css"


@dataclass(frozen=True)
class Question:
    """A query's complete arguments, and how it is asked in Browser."""

    values: Mapping[str, Any]
    statement: str
    link: str | None


@dataclass(frozen=True)
class Answer:
    """What a query returned, and how it was asked."""

    table: Table
    statement: str
    link: str | None


@dataclass
class Site:
    """``folder`` is where pages are written. Paths of pages are relative to it, with ``/``."""

    studio: Studio
    folder: Path
    known: dict[str, str] = field(default_factory=dict)
    root: str = ""
    """Address root that is left out of what is shown; empty where the atlas holds several models."""
    runs: dict[tuple[str, str], str] = field(default_factory=dict)
    """Run by model and method."""
    thumbs: dict[str, str | None] = field(default_factory=dict)
    pictured: dict[str, str | None] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    ready: dict[str, Table] = field(default_factory=dict)
    """Answers asked for ahead of the pages that show them, by :func:`key`; each is taken once."""

    def ask(self, name: str, **params: Any) -> Answer:
        """A query of the catalogue with complete ids; parameters that are not given have their defaults."""
        question = self.question(name, **params)
        table = self.ready.pop(key(name, question.values), None)
        if table is None:
            table = lookup.ask(self.studio.connection, catalogue.get(name), question.values)
        return Answer(table, question.statement, question.link)

    def question(self, name: str, **params: Any) -> Question:
        """A query that is to be asked, with all its arguments."""
        query = catalogue.get(name)
        values = {p.name: p.default for p in query.parameters} | params
        statement = browser.statement(catalogue.get(query.drawing or name), values)
        return Question(values, statement, self.studio.link(statement))

    def ask_ahead(self, name: str, parameter: str, each: Sequence[str], **params: Any) -> dict[str, Table]:
        """Answers of a query for many values of a parameter, in one go, as ``ready`` takes them."""
        query = catalogue.get(name)
        values = {p.name: p.default for p in query.parameters if p.name != parameter} | params
        found = lookup.ask_each(self.studio.connection, query, parameter, each, values)
        return {key(name, {**values, parameter: value}): table for value, table in found.items()}

    def add(self, kind: str, identity: str) -> str:
        """Give a thing its page; the path is made from its id alone."""
        path = f"{FOLDERS[kind]}/{slug(identity)}.html"
        self.known[identity] = path
        return path

    def write(self, path: str, title: str, body: str) -> None:
        """Write one page. Raises DiskError."""
        above = "../" * path.count("/")
        links = {words: above + to for words, to in HEAD.items()}
        self.save(path, pages.page(title, body, pages.Frame(links, above + STYLE)))
        self.written.append(path)

    def save(self, path: str, content: str) -> None:
        """Write one file. Raises DiskError."""
        target = self.folder / path
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")

    def links(self, page: str) -> Callable[[str], str | None]:
        """From a page: id → link to the page of that thing, None if it has none."""
        above = "../" * page.count("/")

        def to(identity: str) -> str | None:
            path = self.known.get(identity)
            return None if path is None or path == page else above + path

        return to

    def short(self, identity: str) -> str:
        """An id without the root that all share."""
        return identity.removeprefix(f"{self.root}/") if self.root else identity

    def table(self, page: str, answer: Answer, caption: str = "") -> str:
        """The rows of an answer with the query behind them."""
        shown = pages.table(answer.table, self.links(page), self.short, caption)
        return shown + pages.query(answer.statement, answer.link)

    def pictures(self, page: str, images: Sequence[tuple[str, str]]) -> str:
        """Thumbnails of (image id, words below it); a plain box where there is none."""
        if not images:
            return '<p class="soft">None.</p>\n'
        self._find(image for image, _ in images)
        above = "../" * page.count("/")
        items = []
        for image, words in images:
            path = self.copied(self.thumbs.get(image))
            picture = (
                f'<img src="{text(above + path)}" alt="" width="96" height="96" loading="lazy">'
                if path
                else '<span class="blank"></span>'
            )
            items.append(f"<li>{picture}{text(words)}</li>")
        return f'<ul class="pictures">{"".join(items)}</ul>\n'

    def copied(self, name: str | None) -> str | None:
        """A picture of the media folder, copied into the site once; its path in it, None if it is not there."""
        if not name:
            return None
        if name not in self.pictured:
            self.pictured[name] = f"media/{name}" if self._copy(name) else None
        return self.pictured[name]

    def _copy(self, name: str) -> bool:
        media = self.studio.places.media
        source, target = (media / name).resolve(), self.folder / "media" / name
        if not source.is_relative_to(media.resolve()) or not source.is_file():
            return False
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return True

    def _find(self, images: Iterable[str]) -> None:
        new = [image for image in dict.fromkeys(images) if image not in self.thumbs]
        if not new:
            return
        found = self.ask("top_images", units=new, limit=len(new)).table.rows
        self.thumbs |= dict.fromkeys(new) | {row["image"]: row["thumb"] for row in found}


def key(name: str, values: Mapping[str, Any]) -> str:
    """One text for a question: the query's name and its arguments."""
    return f"{name} {sorted(values.items())}"


def slug(identity: str) -> str:
    """A file name for an id: its letters and digits, and a digest that tells alike ones apart."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "_", identity).strip("_.")[:60]
    return f"{plain}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def facts(row: Mapping[str, Any], skip: Sequence[str] = ()) -> str:
    """One row as a list of names and values."""
    from atlas.views.drawing import shown

    pairs = [(k, v) for k, v in row.items() if v is not None and k not in skip]
    return "<dl>" + "".join(f"<dt>{text(k)}</dt><dd>{text(shown(v))}</dd>" for k, v in pairs) + "</dl>\n"
