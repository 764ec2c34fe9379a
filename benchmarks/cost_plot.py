"""The sweep as one picture: a panel an axis, a line a stage, both scales logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cost import AXES, by_stage, exponents, series

COLOURS = (
    *("#0061a0", "#b3450a", "#2e7d32", "#8e24aa", "#c2185b"),
    *("#00838f", "#6d4c41", "#455a64", "#9e9d24", "#000000", "#ff8f00"),
)
WIDE, HIGH, GAP, ACROSS, TOP = 250, 190, 60, 3, 30
LEAST = 1e-3
"""Seconds below which a line runs along the ground."""


@dataclass(frozen=True)
class Panel:
    """Where an axis is drawn, and what its ends stand for (seconds as powers of ten)."""

    number: int
    values: Sequence[int]
    low: float
    high: float

    @property
    def corner(self) -> tuple[float, float]:
        """Left and upper edge."""
        return GAP + (self.number % ACROSS) * (WIDE + GAP), TOP + (self.number // ACROSS) * (HIGH + GAP)

    def x(self, value: float) -> float:
        """Pixels."""
        first, last = self.values[0], self.values[-1]
        return self.corner[0] + WIDE * math.log(value / first) / math.log(last / first)

    def y(self, power: float) -> float:
        """Pixels."""
        return self.corner[1] + HIGH * (self.high - max(self.low, power)) / (self.high - self.low)


def plot(runs: list[dict[str, Any]]) -> str:
    """The picture as SVG."""
    stages = list(exponents(runs))
    spent = [s for run in runs for name, s in by_stage(run["seconds"]).items() if name in stages and s > 0]
    low, high = math.log10(max(LEAST, min(spent))), math.log10(max(spent))
    parts: list[str] = []
    for number, (axis, values) in enumerate(AXES.items()):
        panel = Panel(number, values, low, high)
        parts += [*_frame(panel, axis), *_lines(panel, series(runs, axis), stages)]
    below = TOP + -(-len(AXES) // ACROSS) * (HIGH + GAP)
    for number, stage in enumerate(stages):
        x, y = GAP + (number % 5) * 180, below + (number // 5) * 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="12" height="10" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{stage}</text>')
    width, height = ACROSS * (WIDE + GAP) + 20, below + 18 * -(-len(stages) // 5) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    ground = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return f'{head} font-family="sans-serif" font-size="11">{ground}{"".join(parts)}</svg>\n'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _frame(panel: Panel, axis: str) -> Iterator[str]:
    x0, y0 = panel.corner
    yield f'<text x="{x0 + WIDE / 2:.0f}" y="{y0 - 10}" text-anchor="middle" font-weight="bold">{axis}</text>'
    yield f'<rect x="{x0}" y="{y0}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#888"/>'
    for value in panel.values:
        yield f'<text x="{panel.x(value):.1f}" y="{y0 + HIGH + 14}" text-anchor="middle">{value}</text>'
    for power in range(math.ceil(panel.low), math.floor(panel.high) + 1):
        y = panel.y(power)
        yield f'<line x1="{x0}" x2="{x0 + WIDE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>'


def _lines(panel: Panel, lines: dict[str, list[tuple[float, float]]], stages: list[str]) -> Iterator[str]:
    for stage, line in lines.items():
        if stage in stages:
            at = " ".join(f"{panel.x(v):.1f},{panel.y(math.log10(max(s, LEAST))):.1f}" for v, s in line)
            colour = _colour(stages.index(stage))
            yield f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="2"/>'
