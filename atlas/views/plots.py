"""Two plots of the report: a matrix as a heat map, figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atlas.views.drawing import shown
from atlas.views.markup import shorten, text

ROW, LEFT, WIDE, RIGHT = 26, 440, 380, 110


@dataclass(frozen=True)
class Bar:
    """One figure; ``low`` and ``high`` are the ends of its interval, where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def heat_map(names: Sequence[str], cells: Mapping[tuple[str, str], float], caption: str) -> str:
    """A symmetric matrix as a table whose cells are the darker the larger; a missing pair is zero."""
    largest = max(cells.values(), default=0.0) or 1.0

    def cell(a: str, b: str) -> str:
        if a == b:
            return '<td aria-label="the same">·</td>'
        value = cells.get((a, b), cells.get((b, a), 0.0))
        share = value / largest
        # Between .74 and .82 neither ink has the contrast of 4.5 that small text needs.
        share = min(share, 0.73) if share < 0.78 else max(share, 0.83)
        ink = "#ffffff" if share > 0.78 else "var(--ink)"
        ground = f"color-mix(in srgb, #0061a0 {share * 100:.0f}%, var(--box))"
        words = shown(round(value, 2)) if value else ""
        title = text(f"{a} and {b}: {shown(value)}")
        return f'<td style="background: {ground}; color: {ink}" title="{title}">{words}</td>'

    heads = "".join(f'<th scope="col">{text(shorten(name, 8))}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{text(shorten(a, 24))}</th>{"".join(cell(a, b) for b in names)}</tr>\n'
        for a in names
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table class="heat">'
        f"<caption>{text(caption)}</caption><thead><tr><td></td>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )


def intervals(bars: Sequence[Bar], caption: str) -> str:
    """Figures as points with whiskers on one axis that holds zero."""
    if not bars:
        return ""
    ends = [0.0, *(v for b in bars for v in (b.value, b.low, b.high) if v is not None)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return LEFT + (value - low) / span * WIDE

    height = ROW * len(bars) + 8
    zero = f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height}" stroke="var(--line)" stroke-dasharray="2 3"/>'
    rows = []
    for i, bar in enumerate(bars):
        y = i * ROW + ROW / 2
        if bar.low is not None and bar.high is not None:
            rows.append(
                f'<line class="whisker" x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{y}" y2="{y}"/>'
            )
        rows.append(f'<circle class="point" cx="{x(bar.value):.1f}" cy="{y}" r="4.5"/>')
        rows.append(f'<text x="0" y="{y + 4}">{text(shorten(bar.name, 66))}</text>')
        rows.append(f'<text x="{LEFT + WIDE + 14}" y="{y + 4}">{text(shown(bar.value))}</text>')
    return (
        f'<figure><svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{text(caption)}" '
        f'viewBox="-8 0 {LEFT + WIDE + RIGHT} {height}" width="{LEFT + WIDE + RIGHT}">{zero}{"".join(rows)}</svg>'
        f"<figcaption>{text(caption)}</figcaption></figure>\n"
    )
