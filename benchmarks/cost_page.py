"""``docs/cost.md`` and its plot from the figures of ``python -m benchmarks cost``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cost import AXES, BASE, by_stage, exponents, scaled
from benchmarks.cost_job import ROOT_SHARE
from benchmarks.cost_plot import plot
from ingest.methods.gcc_job import GccParameters

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

ResNet-50 and ViT-B/16 at 224² with random weights, four classes, 64 images, every default layer, all four methods:
one exact query, one image a class, two target concepts a class and layer, four steps. PURE splits 8 references a
neuron of ResNet-50 and 2 of ViT-B/16; GCC's flow averages 7 images a source and 1. One thread.
"""
PREDICTED = """
## ImageNet's validation images, extrapolated

50,000 images, half of them list images, 1,000 classes, ten exact queries a class, K = {concepts}, ten images a class
for CLA and GIG, 20 target concepts, 32 steps, 100 references for PURE: the measured seconds of each stage, times (value
there / value here)^p. p is 1 where a stage does one thing per unit, whatever the fit above says where a fixed part
hides it; for K it is the fitted one. `listed` is the number of neurons whose root list holds an image, which sets the
sources of a query: a tenth of all in the measured jobs (few images need long lists), a hundredth by default.
`decomposed` is the number of images written as concepts: the queries and the images of classes. Each is an
extrapolation over up to four orders of magnitude: read the order of magnitude, not the digits.

"""
# Stage -> the axes along which it grows, with the exponent; None stands for the fitted one.
GROWS: Mapping[str, Mapping[str, float | None]] = {
    "activations": {"images": 1},
    "gcc:flow": {"flow": 1},
    "gcc:queries": {"queries": 1, "listed": 1},
    "cla:scores": {"classes": 1, "per_class": 1},
    "cla:sum": {},
    "cla:scope": {"classes": 1},
    "gig:vectors": {"images": 1},
    "gig:dictionary": {"images": 1, "concepts": None},
    "gig:class": {"classes": 1, "per_class": 1, "targets": 1, "steps": 1, "concepts": None},
    "gig:images": {"decomposed": 1, "concepts": None},
    "pure:split": {"references": 1},
    "pure:test": {},
    "pure:senses": {"references": 1},
    "pure:alike": {},
}
THERE: Mapping[str, float] = {
    "images": 50_000,
    "queries": 10_000,
    "listed": GccParameters().root_share,
    "decomposed": 20_000,
    "flow": 10,
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
        lines += [*_large(figures["large"]), *_predicted(figures["large"], exponents(figures["sweep"]))]
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


def here(job: Mapping[str, Any]) -> dict[str, float]:
    """What a measured job has of each thing that a stage grows with."""
    lists = math.ceil(ROOT_SHARE * job["images"])
    return {
        **{axis: float(job[axis]) for axis in THERE if axis in job},
        "listed": ROOT_SHARE,
        "flow": float(min(job["flow"], lists)),
        "decomposed": float(job["queries"] + job["classes"] * job["per_class"]),
    }


def powers_of(stage: str, fitted: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Axis -> exponent of one stage; a fitted one is at least 0."""
    own = fitted.get(stage, {})
    return {
        axis: max(0.0, own.get(axis, 0.0)) if power is None else power for axis, power in GROWS[stage].items()
    }


def predicted(own: Mapping[str, Any], fitted: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Stage -> seconds on ImageNet's validation images, from a measured job and the sweep's exponents."""
    found, job = {}, here(own["job"])
    for stage, seconds in by_stage(own["seconds"]).items():
        powers = powers_of(stage, fitted)
        found[stage] = scaled(seconds, {axis: (job[axis], THERE[axis]) for axis in powers}, powers)
    return found


def _predicted(
    large: Mapping[str, Mapping[str, Any]], fitted: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    yield PREDICTED.format(concepts=f"{THERE['concepts']:,}")
    names = list(large)
    hours = {name: predicted(own, fitted) for name, own in large.items()}
    columns = (f"{name}, core hours | in bare forwards" for name in names)
    yield f"| stage | grows with | {' | '.join(columns)} |\n|{'---|' * (2 * len(names) + 2)}\n"
    for stage in GROWS:
        powers = powers_of(stage, fitted)
        how = ", ".join(axis if power == 1 else f"{axis}^{power:.2f}" for axis, power in powers.items())
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
