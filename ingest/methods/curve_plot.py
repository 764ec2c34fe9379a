"""Insertion and deletion curves as one SVG: a panel a layer, a colour a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ingest.methods.concept_curves import SHARES

COLOURS = ("#0061a0", "#c4501b", "#3a7d34", "#8a5fa8", "#777777")
WIDTH, HEIGHT, GAP, COLUMNS = 170, 120, 46, 4

Curves = Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]
"""Layer -> dictionary -> mean insertion and deletion at :data:`SHARES`."""


def curve_plot(curves: Curves) -> str:
    """The SVG; insertion solid, deletion dashed, values 0 to 1 upwards, share of active concepts to the right."""
    names = list(dict.fromkeys(name for own in curves.values() for name in own))
    rows = -(-len(curves) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        "<title>Insertion (solid) and deletion (dashed) of concepts: share of images still given their class</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (layer, own) in enumerate(curves.items()):
        row, column = divmod(number, COLUMNS)
        x, y = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({x},{y})"><text y="-6">{escape(layer)}</text>')
        parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999999"/>')
        for name, pair in own.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            for values, dash in zip(pair, ("", ' stroke-dasharray="4 3"'), strict=True):
                parts.append(f'<polyline fill="none" stroke="{colour}"{dash} points="{_points(values)}"/>')
        parts.append("</g>")
    for number, name in enumerate(names):
        x = GAP + number * 130
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<text x="{x}" y="18" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _points(values: Sequence[float]) -> str:
    return " ".join(
        f"{share * WIDTH:.1f},{(1 - min(max(value, 0.0), 1.0)) * HEIGHT:.1f}"
        for share, value in zip(SHARES.tolist(), values, strict=True)
    )
