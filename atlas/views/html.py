"""A drawing as one HTML page that needs no network: pan, zoom, score slider, hover, pin, search, keyboard."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from atlas.views.drawing import Arc, Drawing, Vertex, shown
from atlas.views.markup import script_json, text
from atlas.views.svg import asset, describe, legend, scene

# Beyond so many edges the slider starts where only the strongest are shown.
SHOWN_AT_FIRST = 600


def document(drawing: Drawing, *, linked: str = "Open in Neo4j Browser") -> str:
    """The drawing as a page; ``linked`` is what the links of its vertices say."""
    inner = scene(drawing, interactive=True)
    caption = drawing.caption
    script = asset("viewer.js")
    data = script_json(
        {
            "width": inner.width,
            "height": inner.height,
            "columns": drawing.columns,
            "linked": linked,
            "vertices": [_vertex(v, drawing) for v in drawing.vertices],
            "arcs": _arcs(drawing),
        }
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(caption.title)}</title>
<style>{asset("drawing.css")}{asset("viewer.css")}</style>
</head>
<body>
<header><h1>{text(caption.title)}</h1><p>{text(describe(drawing))}</p></header>
<div class="tools" role="group" aria-label="View">
<label>Search <input id="search" type="search" autocomplete="off"></label><output id="hits" aria-live="polite"></output>
<label>Weakest edge <input id="strength" type="range" min="0" max="100" value="{_start(drawing)}"></label>
<output id="shown" for="strength"></output>
<span><button id="farther" aria-label="Zoom out">−</button> <button id="closer" aria-label="Zoom in">+</button>
<button id="whole">Whole</button></span>
</div>
<main>
<svg id="canvas" role="group" aria-label="{text(caption.title)}"><g id="stage">
{inner.body}</g></svg>
<aside aria-label="Details" tabindex="0">
<h2>Pinned</h2>
<p id="hint">Click a node to pin it.</p>
<ul id="pinned" aria-live="polite"></ul>
<button id="unpin" hidden>Unpin all</button>
<h2>Legend</h2>
<ul class="legend">{_legend(drawing)}</ul>
<h2>Keys</h2>
<p><kbd>Tab</kbd> to a node, arrows between nodes, <kbd>Enter</kbd> pins, <kbd>Esc</kbd> unpins,
<kbd>/</kbd> searches, <kbd>+</kbd> <kbd>−</kbd> <kbd>0</kbd> zoom.</p>
{_statement(drawing)}</aside>
</main>
<div id="tip" role="status" hidden></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def policy(*scripts: str) -> str:
    """The content security policy of a page with these scripts: nothing is fetched from anywhere."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}"


def _start(drawing: Drawing) -> int:
    """Where the slider stands at first, in percent."""
    if len(drawing.arcs) <= SHOWN_AT_FIRST:
        return 0
    strengths = sorted((arc.strength for arc in drawing.arcs), reverse=True)
    return min(int(strengths[SHOWN_AT_FIRST] * 100) + 1, 100)


def _vertex(vertex: Vertex, drawing: Drawing) -> dict[str, Any]:
    return {
        "id": vertex.id,
        "name": vertex.name,
        "column": vertex.column,
        "score": None if vertex.score is None else shown(vertex.score),
        "part": _part(vertex.part, drawing),
        "detail": vertex.detail,
        "link": vertex.link,
    }


def _arcs(drawing: Drawing) -> list[dict[str, Any]]:
    number = {vertex.id: i for i, vertex in enumerate(drawing.vertices)}
    return [_arc(arc, number, drawing) for arc in drawing.arcs]


def _arc(arc: Arc, number: dict[str, int], drawing: Drawing) -> dict[str, Any]:
    return {
        "source": number[arc.source],
        "target": number[arc.target],
        "type": arc.type,
        "score": shown(arc.score),
        "strength": round(arc.strength, 4),
        "part": _part(arc.part, drawing),
        "detail": arc.detail,
    }


def _part(part: str, drawing: Drawing) -> str:
    if not part or drawing.caption.parts is None:
        return ""
    first, second = drawing.caption.parts
    return {"first": first, "second": second, "both": f"{first} and {second}"}[part]


def _legend(drawing: Drawing) -> str:
    def sample(kind: str) -> str:
        if not kind:
            return ""
        line = f'<path class="arc {kind}" stroke-width="3" d="M0 5h28"/>'
        return f'<svg viewBox="0 0 28 10" aria-hidden="true">{line}</svg>'

    return "".join(f"<li>{sample(kind)}{text(words)}</li>" for kind, words in legend(drawing))


def _statement(drawing: Drawing) -> str:
    caption = drawing.caption
    if not caption.statement:
        return ""
    link = f' <a href="{text(caption.browser)}">Open in Neo4j Browser</a>' if caption.browser else ""
    return (
        '<h2>The query behind it</h2>\n<pre id="cypher" tabindex="0" aria-label="Cypher">'
        f'{text(caption.statement)}</pre>\n<p><button id="copy">Copy</button>{link}</p>\n'
    )
