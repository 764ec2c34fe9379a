"""Parts of static pages: the frame, a table, a query with its copy button. Everything from the graph is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from atlas.lookup import Table
from atlas.views.drawing import shown
from atlas.views.html import policy
from atlas.views.markup import text
from atlas.views.svg import asset


@dataclass(frozen=True)
class Frame:
    """What stands around pages: links of the head by words; ``style`` links a style sheet, else it stands within."""

    links: Mapping[str, str] = field(default_factory=dict)
    style: str | None = None


def style() -> str:
    """The style sheet of all pages."""
    return asset("drawing.css") + asset("page.css")


def page(title: str, body: str, frame: Frame | None = None) -> str:
    """A whole page; it runs no script but its own and fetches nothing from a network."""
    frame = frame or Frame()
    script = asset("page.js")
    links = "".join(f'<a href="{text(to)}">{text(words)}</a>' for words, to in frame.links.items())
    head = (
        f'<link rel="stylesheet" href="{text(frame.style)}">' if frame.style else f"<style>{style()}</style>"
    )
    # Pages opened from the file system have no origin of their own, so pictures and styles need `file:`.
    allowed = policy(script).replace("img-src data:", "img-src data: file: 'self'")
    allowed = allowed.replace("style-src 'unsafe-inline'", "style-src 'unsafe-inline' file: 'self'")
    nav = f'<nav aria-label="Report">{links}</nav>\n' if links else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
{head}
</head>
<body>
{nav}<main>
<h1>{text(title)}</h1>
{body}</main>
<script>{script}</script>
</body>
</html>
"""


def query(statement: str, link: str | None, *, opened: bool = False) -> str:
    """A statement behind a fold, with a copy button and a link to Browser."""
    to = f' <a href="{text(link)}">Open in Neo4j Browser</a>' if link else ""
    return (
        f'<details class="query"{" open" if opened else ""}><summary>The query behind it</summary>\n'
        f'<pre tabindex="0" role="region" aria-label="Cypher">{text(statement)}</pre>\n'
        f'<button class="copy">Copy</button>{to}</details>\n'
    )


Link = Callable[[str], str | None]
Name = Callable[[str], str]


def table(answer: Table, links: Link | None = None, name: Name | None = None, caption: str = "") -> str:
    """A table. ``links`` gives what a text is a link to, ``name`` how it is written."""
    if not answer.rows:
        return '<p class="soft">None.</p>\n'
    number = {c: all(_is_number(row[c]) for row in answer.rows) for c in answer.columns}
    heads = "".join(f'<th scope="col"{_class(number[c])}>{text(c)}</th>' for c in answer.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(row[c], number[c], links, name) for c in answer.columns) + "</tr>\n"
        for row in answer.rows
    )
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or answer.name)}">'
        f"<table>{said}<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _cell(value: object, number: bool, links: Link | None, name: Name | None) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    return f"<td{_class(number)}>{', '.join(_item(item, links, name) for item in items)}</td>"


def _item(value: object, links: Link | None, name: Name | None) -> str:
    if not isinstance(value, str):
        return "–" if value is None else text(shown(value))
    words = text(name(value) if name else value)
    to = links(value) if links else None
    return f'<a href="{text(to)}">{words}</a>' if to else words
