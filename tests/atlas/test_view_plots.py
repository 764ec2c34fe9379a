"""Heat map and intervals: every value is there, well-formed, and can be read on its ground."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

from atlas.views import plots
from atlas.views.plots import Bar
from tests.view_examples import AWKWARD


def luminance(colour: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_heat_map_has_each_pair_twice_in_ink_that_can_be_read() -> None:
    names = [f"c{i}" for i in range(15)]
    cells = {pair: 0.01 + i / 104 for i, pair in enumerate(combinations(names, 2))}
    shown = plots.heat_map(names, cells, AWKWARD)
    tree = ElementTree.fromstring(shown)
    titles = [cell.get("title") for cell in tree.iter("td") if cell.get("title")]
    assert len(titles) == 2 * len(cells)
    blue, light, ink = (0, 97, 160), (244, 245, 247), luminance((22, 24, 29))
    for share, colour in re.findall(r"#0061a0 (\d+)%, var\(--box\)\); color: ([^\"]+)\"", shown):
        mixed = tuple(
            int(share) / 100 * a + (1 - int(share) / 100) * b for a, b in zip(blue, light, strict=True)
        )
        ground = luminance(mixed) + 0.05  # type: ignore[arg-type]
        contrast = 1.05 / ground if colour == "#ffffff" else ground / (ink + 0.05)
        assert contrast >= 4.5, share


def test_intervals_are_drawn_to_one_scale_that_holds_zero() -> None:
    bars = [Bar("a", 0.5, 0.25, 0.75), Bar(AWKWARD, 1.0), Bar("c", -1.0, -1.0, -0.5)]
    figure = ElementTree.fromstring(plots.intervals(bars, "three"))
    name = "{http://www.w3.org/2000/svg}"
    x = [float(c.get("cx", "")) for c in figure.iter(f"{name}circle")]
    zero = float(next(figure.iter(f"{name}line")).get("x1", ""))
    assert (x[1] - zero) == 2 * (x[0] - zero)
    assert abs((x[2] - zero) + (x[1] - zero)) < 1e-9
    whiskers = [line for line in figure.iter(f"{name}line") if line.get("class") == "whisker"]
    assert len(whiskers) == 2
    assert plots.intervals([], "none") == ""
