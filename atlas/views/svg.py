"""A drawing as one self-contained SVG file: pictures, style and legend within."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from atlas.views import layout
from atlas.views.drawing import Arc, Drawing, Vertex, shown
from atlas.views.layout import Places, Spacing
from atlas.views.markup import shorten, text

MARGIN = 24.0
HEAD = 28.0
LINE = 18.0
LETTERS = 6.3  # width of a letter of 12 px, on average
SMALL = Spacing()
LARGE = Spacing(width=196.0, height=74.0, between=120.0, rows=12.0)
# Many vertices: what stands in the heading is left out of their names.
TINY = Spacing(width=104.0, height=40.0, between=90.0, rows=6.0)
GROUPED = Spacing(width=140.0, height=46.0, between=64.0)
# Few rows and many columns: cards, words below the picture.
CARDS = Spacing(width=108.0, height=116.0, between=76.0, rows=12.0, portrait=True)
FEW_ROWS, MANY_COLUMNS = 10, 5
PICTURED = ("Neuron", "Concept", "Sense", "Image")
MANY = 80


@dataclass(frozen=True)
class Scene:
    """The inner part of an SVG and its size."""

    body: str
    width: float
    height: float


@lru_cache(maxsize=8)
def asset(name: str) -> str:
    """A text file that lies beside this module."""
    return (files("atlas.views") / name).read_text(encoding="utf-8")


def document(drawing: Drawing) -> str:
    """The drawing with title, legend and style as an SVG file."""
    inner = scene(drawing, interactive=False)
    lines = legend(drawing)
    width = max(inner.width, 640.0) + 2 * MARGIN
    about = textwrap.wrap(describe(drawing), int((width - 2 * MARGIN) / LETTERS))
    top = MARGIN + (len(about) + 2) * LINE
    height = top + inner.height + MARGIN + len(lines) * LINE + MARGIN
    below = "".join(
        _legend_line(kind, words, MARGIN, top + inner.height + MARGIN + i * LINE)
        for i, (kind, words) in enumerate(lines)
    )
    caption = drawing.caption
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="name about">\n'
        f'<title id="name">{text(caption.title)}</title>\n<desc id="about">{text(describe(drawing))}</desc>\n'
        f"<style>{asset('drawing.css')}</style>\n"
        f'<rect width="100%" height="100%" fill="var(--ground)"/>\n'
        f'<text class="title" x="{MARGIN:g}" y="{MARGIN + 12:g}">{text(caption.title)}</text>\n'
        f"{''.join(_line(words, MARGIN, MARGIN + 12 + (i + 1) * LINE) for i, words in enumerate(about))}"
        f'<g transform="translate({MARGIN:g} {top:g})">\n{inner.body}</g>\n{below}</svg>\n'
    )


def describe(drawing: Drawing) -> str:
    """One line: method, and how many nodes and edges are drawn."""
    parts = [drawing.caption.method, f"{len(drawing.vertices)} nodes, {len(drawing.arcs)} edges"]
    return " · ".join([part for part in (*parts, *drawing.caption.notes) if part])


def legend(drawing: Drawing) -> list[tuple[str, str]]:
    """(class of the sample, words) per line; a line without a sample has an empty class."""
    names = ", ".join(drawing.score_names) or "no score"
    lines = [("positive", f"positive {names}"), ("negative", f"negative {names} (dashed)")]
    if drawing.caption.parts:
        first, second = drawing.caption.parts
        lines = [("first", f"A: only {first}"), ("second", f"B: only {second}"), ("both", "A B: both")]
        lines.append(("negative plain", f"dashed: negative {names}"))
    lines.append(("", "width: |score| over the largest of its type that leaves the same column"))
    lines.append(
        (
            "",
            "number in a box: its score in the circuit, else the sum over the edges that leave (or enter) it",
        )
    )
    return lines


def _legend_line(kind: str, words: str, x: float, y: float) -> str:
    sample = f'<path class="arc {kind}" stroke-width="3" d="M{x:g} {y - 4:g}h28"/>' if kind else ""
    return sample + _line(words, x + (36 if kind else 0), y)


def _line(words: str, x: float, y: float) -> str:
    return f'<text class="soft" x="{x:g}" y="{y:g}">{text(words)}</text>\n'


def scene(drawing: Drawing, *, interactive: bool) -> Scene:
    """Headings, arcs and vertices. ``interactive``: vertices as buttons with labels, arcs and vertices numbered."""
    columns = [[v.id for v in drawing.vertices if v.column == name] for name in drawing.columns]
    order = layout.arrange(columns, [(a.source, a.target, a.strength) for a in drawing.arcs])
    spacing = _spacing(drawing)
    places = layout.place(order, spacing)
    pictures = _pictures(drawing)
    number = {vertex.id: i for i, vertex in enumerate(drawing.vertices)}
    painted = _Painter(drawing, places, spacing, pictures, interactive)
    heads = "".join(
        f'<text class="head" x="{left + width / 2:g}" y="14">{text(shorten(name, 26))}</text>\n'
        for name, (left, width) in zip(drawing.columns, places.columns, strict=True)
    )
    # The weakest first, so that strong arcs lie on top.
    by_strength = sorted(range(len(drawing.arcs)), key=lambda i: (drawing.arcs[i].strength, i))
    arcs = "".join(painted.arc(i, drawing.arcs[i]) for i in by_strength)
    vertices = "".join(
        painted.vertex(number[key], drawing.vertices[number[key]]) for column in order for key in column
    )
    body = (
        f"<defs>{painted.defs()}</defs>\n{heads}"
        f'<g class="arcs" transform="translate(0 {HEAD:g})">\n{arcs}</g>\n'
        f'<g class="vertices" transform="translate(0 {HEAD:g})">\n{vertices}</g>\n'
    )
    return Scene(body, places.width, places.height + HEAD)


def _spacing(drawing: Drawing) -> Spacing:
    if any(vertex.members > 1 for vertex in drawing.vertices):
        return GROUPED
    if len(drawing.vertices) > MANY:
        return TINY
    rows = Counter(vertex.column for vertex in drawing.vertices)
    if max(rows.values(), default=0) > FEW_ROWS:
        return SMALL
    return CARDS if len(rows) > MANY_COLUMNS else LARGE


def _pictures(drawing: Drawing) -> dict[str, str]:
    """Each different picture once, with the id it is used by."""
    found = dict.fromkeys(v.picture for v in drawing.vertices if v.picture)
    return {picture: f"picture{i}" for i, picture in enumerate(found)}


@dataclass(frozen=True)
class _Painter:
    drawing: Drawing
    places: Places
    spacing: Spacing
    pictures: Mapping[str, str]
    interactive: bool

    @property
    def side(self) -> float:
        return self.spacing.height - (40 if self.spacing.portrait else 6)

    def defs(self) -> str:
        return "".join(
            f'<image id="{name}" width="{self.side:g}" height="{self.side:g}" '
            f'preserveAspectRatio="xMidYMid slice" href="{text(picture)}"/>\n'
            for picture, name in self.pictures.items()
        )

    def vertex(self, number: int, vertex: Vertex) -> str:
        x, y = self.places.at[vertex.id]
        width, height, portrait = self.spacing.width, self.spacing.height, self.spacing.portrait
        left = 6 if portrait or vertex.kind not in PICTURED else self.side + 10
        base = height - 22 if portrait else height / 2 - 2
        letters = int((width - left - 4) / LETTERS)
        score = "" if vertex.score is None else shown(vertex.score, 3)
        badge = {"": "", "first": "A", "second": "B", "both": "A B"}[vertex.part]
        return (
            f'<g class="vertex {vertex.part}" transform="translate({x:g} {y:g})"{self._handle(number, vertex)}>'
            f"{self._title(f'{vertex.name} {score}')}"
            f'<rect width="{width:g}" height="{height:g}" rx="5"/>{self._picture(vertex)}'
            f'<text x="{left:g}" y="{base:g}">{text(shorten(self._name(vertex), letters))}</text>'
            f'<text class="soft" x="{left:g}" y="{base + 15:g}">{text(score)}</text>'
            f'<text class="badge" x="{width - 5:g}" y="{base + 15:g}">{badge}</text></g>\n'
        )

    def _picture(self, vertex: Vertex) -> str:
        x = (self.spacing.width - self.side) / 2 if self.spacing.portrait else 3
        name = self.pictures.get(vertex.picture or "")
        if name:
            return f'<use href="#{name}" x="{x:g}" y="3"/>'
        if vertex.kind not in PICTURED:
            return ""
        return f'<rect class="blank" x="{x:g}" y="3" width="{self.side:g}" height="{self.side:g}"/>'

    def _name(self, vertex: Vertex) -> str:
        short = vertex.name.removeprefix(f"{vertex.column}/") if self.spacing is TINY else vertex.name
        return short or vertex.name

    def _handle(self, number: int, vertex: Vertex) -> str:
        if not self.interactive:
            return ""
        score = "" if vertex.score is None else f", score {shown(vertex.score)}"
        label = text(f"{vertex.kind} {vertex.name}, {vertex.column}{score}")
        return (
            f' data-vertex="{number}" role="button" tabindex="-1" aria-pressed="false" aria-label="{label}"'
        )

    def _title(self, words: str) -> str:
        return "" if self.interactive else f"<title>{text(words.strip())}</title>"

    def arc(self, number: int, arc: Arc) -> str:
        if arc.source not in self.places.at or arc.target not in self.places.at:
            return ""
        (x, y), (u, v) = self.places.at[arc.source], self.places.at[arc.target]
        x, y, v = x + self.spacing.width, y + self.spacing.height / 2, v + self.spacing.height / 2
        bend = max(abs(u - x) / 2, 40.0)
        sign = "negative" if arc.score < 0 else "positive"
        numbered = f' data-arc="{number}"' if self.interactive else ""
        words = f"{arc.source} → {arc.target} {shown(arc.score)}"
        return (
            f'<path class="arc {sign} {arc.part}" stroke-width="{0.8 + 4.2 * arc.strength:.2f}" '
            f'stroke-opacity="{0.3 + 0.6 * arc.strength:.2f}" '
            f'd="M{x:g} {y:g}C{x + bend:g} {y:g} {u - bend:g} {v:g} {u:g} {v:g}"{numbered}>'
            f"{self._title(words)}</path>\n"
        )
