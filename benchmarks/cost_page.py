"""``docs/cost.md`` and its plot from the figures of ``python -m benchmarks cost``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cost import AXES, BASE, by_stage, exponents, scaled
from benchmarks.cost_plot import plot

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cost.md"
PLOT = ROOT / "docs" / "images" / "cost.svg"
HEAD = """# What a job costs

Written by `python -m benchmarks cost page` from `python -m benchmarks cost sweep` and `cost large` (figures:
`benchmarks/figures/cost.json`). Seconds are **processor time of one CPU thread**; two threads or more take less on the
wall, a GPU far less. No GPU was at hand: nothing here says what one takes. Random weights; what is in the images does
not matter to the cost, but how many root lists a neuron is in does, a little.
"""
GROWTH = """
## How each stage grows

A family of residual networks (`benchmarks/worlds/cost.py`), one axis at a time around {base}. The exponent p of
seconds ∝ value^p, fitted by least squares in the logarithms; near 0 the axis does not matter at this size, where a
fixed part of a second hides what grows. Where it says –, the stage took no measurable time.

![Seconds of each stage along each axis](images/cost.svg)

"""
LARGE = """
## The largest models measured here

ResNet-50 and ViT-B/16 at 224², four classes, 64 images, all four methods with one exact query, one image a class, two
target concepts a class and layer and four steps.
"""
PREDICTED = """
## ImageNet's validation images, extrapolated

50,000 images, 1,000 classes, ten exact queries a class, K = {concepts}, ten images a class for CLA and GIG, 20 target
concepts, 32 steps, 100 references for PURE: the measured seconds of each stage, times (value there / value here)^p with
p as below. Each is an extrapolation over up to four orders of magnitude: read the order of magnitude, not the digits.

"""
# Stage -> the axes along which it grows, with the exponent: fitted ("fit") or by how it is made.
GROWS: Mapping[str, Mapping[str, float]] = {
    "activations": {"images": 1},
    "gcc:flow": {},
    "gcc:queries": {"queries": 1},
    "cla:scores": {"classes": 1, "per_class": 1},
    "cla:scope": {"classes": 1},
    "gig:vectors": {"images": 1},
    "gig:dictionary": {"images": 1, "concepts": 0.5},
    "gig:class": {"classes": 1, "per_class": 1, "targets": 1, "steps": 1},
    "gig:images": {"queries": 1},
    "pure:split": {"references": 1},
}
THERE = {
    "images": 50_000,
    "queries": 10_000,
    "classes": 1_000,
    "per_class": 10,
    "targets": 20,
    "steps": 32,
    "concepts": 8_192,
    "references": 100,
}


def write(figures: Mapping[str, Any]) -> None:
    """Write page and plot."""
    PAGE.write_text(page(figures), encoding="utf-8")
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot(figures["sweep"]), encoding="utf-8")


def page(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    lines = [HEAD, f"\nMeasured on {figures['device']}.\n"]
    lines += _growth(figures["sweep"])
    if "large" in figures:
        lines += [*_large(figures["large"]), *_predicted(figures["large"])]
    return "".join(lines)


def _growth(runs: list[dict[str, Any]]) -> Iterator[str]:
    base = ", ".join(f"{value} {name}" for name, value in {**BASE, "layers": 4, "channels": 32}.items())
    yield GROWTH.format(base=base)
    yield f"| stage | {' | '.join(AXES)} |\n|{'---|' * (len(AXES) + 1)}\n"
    for stage, own in exponents(runs).items():
        cells = (f"{own[axis]:.2f}" if axis in own else "–" for axis in AXES)
        yield f"| {stage} | {' | '.join(cells)} |\n"


def _large(large: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield LARGE
    names = list(large)
    yield f"\n| stage | {' | '.join(f'{name}, s' for name in names)} |\n|{'---|' * (len(names) + 1)}\n"
    stages = {name: by_stage(own["seconds"]) for name, own in large.items()}
    for stage in dict.fromkeys(stage for own in stages.values() for stage in own):
        yield f"| {stage} | {' | '.join(f'{stages[name].get(stage, 0):.1f}' for name in names)} |\n"
    for what, key, scale, digits in (
        ("whole job, s", None, 1.0, 0),
        ("neurons", "neurons", 1.0, 0),
        ("one bare forward, ms", "forward_seconds", 1e3, 0),
        ("most memory, GB", "peak_bytes", 1e-9, 2),
    ):
        values = (sum(own["seconds"].values()) if key is None else own[key] for own in large.values())
        yield f"| *{what}* | {' | '.join(f'{value * scale:,.{digits}f}' for value in values)} |\n"


def predicted(own: Mapping[str, Any]) -> dict[str, float]:
    """Stage -> seconds on ImageNet's validation images, from a measured job."""
    job = own["job"]
    found = {}
    for stage, seconds in by_stage(own["seconds"]).items():
        powers = GROWS.get(stage)
        if powers is not None:
            growth = {axis: (float(job[axis]), float(THERE[axis])) for axis in powers}
            found[stage] = scaled(seconds, growth, powers)
    return found


def _predicted(large: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield PREDICTED.format(concepts=f"{THERE['concepts']:,}")
    names = list(large)
    hours = {name: predicted(own) for name, own in large.items()}
    columns = (f"{name}, core hours | in bare forwards" for name in names)
    yield f"| stage | grows with | {' | '.join(columns)} |\n|{'---|' * (2 * len(names) + 2)}\n"
    for stage, powers in GROWS.items():
        how = ", ".join(axis if power == 1 else f"{axis}^{power:g}" for axis, power in powers.items())
        cells = []
        for name in names:
            seconds = hours[name].get(stage, 0.0)
            cells += [f"{seconds / 3600:,.1f}", f"{seconds / large[name]['forward_seconds']:,.0f}"]
        yield f"| {stage} | {how or 'neurons'} | {' | '.join(cells)} |\n"
    totals = []
    for name in names:
        seconds = sum(hours[name].values())
        totals += [f"**{seconds / 3600:,.0f}**", f"**{seconds / large[name]['forward_seconds']:,.0f}**"]
    yield f"| **together** | | {' | '.join(totals)} |\n"
