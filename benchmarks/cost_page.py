"""``docs/cost.md`` and its plot from the figures of ``python -m benchmarks cost``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import AXES, BASE, LEAST, RAISED, by_stage, exponents
from benchmarks.cost_job import ROOT_SHARE, Job, shapes
from benchmarks.cost_plot import plot
from ingest.methods.gcc_flow import GROUP_PAIRS
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

A family of residual networks (`benchmarks/worlds/cost.py`), one axis at a time around
{base}. The exponent p of
seconds ∝ value^p, fitted by least squares in the logarithms; near 0 the axis does not matter at this size, where a
fixed part of a second hides what grows. Stages that never take {least} s are left out.

![Seconds of each stage along each axis](images/cost.svg)

"""
LARGE = """
## The largest models measured here

ResNet-50 and ViT-B/16 at 224² with random weights, four classes, 64 images, all four methods:
one exact query, one image a class, two target concepts a class and layer, four steps. PURE splits 8 references a
neuron of ResNet-50 and 2 of ViT-B/16; GCC's flow averages 7 images a source and 1. ViT-B/16's layers are its twelve
blocks (`--layers 'encoder.layers.encoder_layer_*'`); its default layers, the hidden units of its MLPs, have four
times as many neurons. One thread.
"""
PREDICTED = """
## ImageNet's validation images, extrapolated

50,000 images, half of them list images, 1,000 classes, ten exact queries a class, K = min(8 C, 6,250), ten images a
class for CLA and GIG, 20 target concepts, 32 steps, 100 references for PURE. Where a stage does one thing per unit, the
measured seconds grow with the units, whatever the fit above says where a fixed part hides it. `listed` is the share of
the images that a root list holds, which sets how many sources a query has: a tenth in the measured jobs, since few
images need long lists, a hundredth by default. Three parts are measured apart:

- GIG's targets and steps have a fixed part, so their growth is a straight line through two jobs of {raised}
  ({lines}).
- Dictionaries are made, and vectors coded, at full size: {concepts}.
- `gcc:flow` also runs its list images forward once for every four pairs of layers, up to the last of the four; that is
  added in bare forwards.

Read the order of magnitude, not the digits.

"""
# Stage -> what it grows with, one thing per unit.
GROWS: Mapping[str, tuple[str, ...]] = {
    "activations": ("images",),
    "gcc:flow": ("flow",),
    "gcc:queries": ("queries", "listed"),
    "cla:scores": ("classes", "per_class"),
    "cla:sum": (),
    "cla:scope": ("classes",),
    "gig:vectors": ("images",),
    "gig:dictionary": (),
    "gig:class": ("classes", "per_class", "targets", "steps"),
    "gig:images": (),
    "pure:split": ("references",),
    "pure:test": (),
    "pure:senses": ("references",),
    "pure:alike": (),
}
THERE: Mapping[str, float] = {
    "images": 50_000,
    "queries": 10_000,
    "listed": GccParameters().root_share,
    "flow": 10,
    "classes": 1_000,
    "per_class": 10,
    "targets": 20,
    "steps": 32,
    "references": 100,
}
LISTED, CODED = 25_000, 10_000
"""List images; images of classes, which are coded to explain the class, and again to be stored, beside the queries."""


@dataclass(frozen=True)
class Line:
    """Seconds that grow by a share ``slope`` of those at ``value`` with each unit more."""

    value: float
    slope: float

    def factor(self, start: float, to: float) -> float:
        """Seconds at ``to`` over those at ``start``."""
        return (1 + self.slope * (to - self.value)) / (1 + self.slope * (start - self.value))


def write(figures: Mapping[str, Any]) -> None:
    """Write page and plot."""
    PAGE.write_text(page(figures), encoding="utf-8")
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot(figures["sweep"]), encoding="utf-8")


def page(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [HEAD, f"\nMeasured on {figures['device']}.\n"]
    parts += _growth(figures["sweep"])
    if "large" in figures:
        parts += [*_large(figures["large"]), *_predicted(figures)]
    return "".join(parts)


def _growth(runs: list[dict[str, Any]]) -> Iterator[str]:
    base = ", ".join(f"{value} {name}" for name, value in {**BASE, "layers": 4, "channels": 32}.items())
    yield GROWTH.format(base=base, least=LEAST)
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
    job = {**vars(Job()), **job}
    lists = math.ceil(ROOT_SHARE * job["images"])
    own = {axis: float(job[axis]) for axis in THERE if axis in job}
    return {**own, "listed": ROOT_SHARE, "flow": float(min(job["flow"], lists))}


def lines(figures: Mapping[str, Any]) -> dict[str, Line]:
    """Axis of GIG -> how the seconds of a class grow along it, on the large model that was measured twice."""
    model, numbers = RAISED
    base = figures["large"][model]
    found = {}
    for (axis, value), run in zip(numbers.items(), figures["raised"], strict=True):
        first, second = (one["seconds"]["gig:class"] for one in (base, run))
        found[axis] = Line(base["job"][axis], (second / first - 1) / (value - base["job"][axis]))
    return found


def at_size(concepts: Mapping[str, Mapping[str, float]], what: str, channels: int) -> float:
    """Seconds measured at full size, between the measured widths by a power law."""
    widths = sorted(map(int, concepts))
    values = [math.log(concepts[str(width)][what]) for width in widths]
    return math.exp(float(np.interp(math.log(channels), np.log(widths), values)))


def predicted(own: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, float]:
    """Stage -> seconds on ImageNet's validation images, from a measured job."""
    job, found = here(own["job"]), {}
    along, concepts, layers = lines(figures), figures["concepts"], shapes(Job(**own["job"]))
    coded = sum(positions * at_size(concepts, "code", channels) for channels, positions in layers)
    for stage, seconds in by_stage(own["seconds"]).items():
        factors = (
            along[axis].factor(job[axis], THERE[axis]) if axis in along else THERE[axis] / job[axis]
            for axis in GROWS[stage]
        )
        found[stage] = seconds * math.prod(factors)
    groups = math.ceil((len(layers) - 1) / GROUP_PAIRS)
    found["gcc:flow"] += LISTED * own["forward_seconds"] * (groups + 1) / 2
    found["gig:dictionary"] = sum(at_size(concepts, "dictionary", channels) for channels, _ in layers)
    found["gig:class"] += CODED * coded
    found["gig:images"] = (CODED + THERE["queries"]) * coded
    return found


def _predicted(figures: Mapping[str, Any]) -> Iterator[str]:
    large, along = figures["large"], lines(figures)
    yield PREDICTED.format(
        raised=RAISED[0],
        lines=", ".join(
            f"{100 * line.slope:.1f} % a {axis.removesuffix('s')}" for axis, line in along.items()
        ),
        concepts="; ".join(
            f"C = {width}: {one['dictionary']:.1f} s, {1e3 * one['code']:.2f} ms a vector"
            for width, one in figures["concepts"].items()
        ),
    )
    names = list(large)
    seconds = {name: predicted(own, figures) for name, own in large.items()}
    columns = (f"{name}, core hours | in bare forwards" for name in names)
    yield f"| stage | grows with | {' | '.join(columns)} |\n|{'---|' * (2 * len(names) + 2)}\n"
    for stage, axes in GROWS.items():
        if any(stage in own for own in seconds.values()):
            cells = _cells([seconds[name].get(stage, 0.0) for name in names], list(large.values()))
            yield f"| {stage} | {', '.join(axes) or '–'} | {cells} |\n"
    cells = _cells([sum(seconds[name].values()) for name in names], list(large.values()))
    yield f"| **together** | | {cells} |\n"


def _cells(seconds: Sequence[float], runs: Sequence[Mapping[str, Any]]) -> str:
    parts = (
        f"{spent / 3600:,.1f} | {spent / run['forward_seconds']:,.0f}"
        for spent, run in zip(seconds, runs, strict=True)
    )
    return " | ".join(parts)
