"""``python -m benchmarks cost``: what each stage of a job costs, how that grows, and what a large job would.

``sweep`` measures a family of small networks along one axis at a time, each job in a process of its own. ``large``
measures ResNet-50 and ViT-B/16 at 224², ``raised`` the first with more targets, then with more steps of GIG,
``concepts`` dictionaries and codes at ImageNet's size. ``page`` writes ``docs/cost.md`` and its plot from all of these.
Seconds are processor time of one thread: what else runs on the machine adds little, and no accelerator is guessed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost_job import Job
from benchmarks.harness import BenchmarkError, device_name

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures" / "cost.json"
BASE = {"images": 128, "concepts": 16}
AXES: Mapping[str, tuple[int, ...]] = {
    "images": (64, 128, 256, 512),
    "layers": (2, 4, 8, 12),
    "channels": (16, 32, 64, 128),
    "concepts": (8, 16, 32, 64),
    "classes": (2, 4, 8, 16),
    "queries": (1, 2, 4, 8),
    "flow": (1, 2, 5, 10),
    "per_class": (1, 2, 4, 8),
    "targets": (2, 4, 8, 16),
    "steps": (4, 8, 16, 32),
    "references": (5, 10, 20, 40),
}
LEAST = 0.05
"""Seconds that a stage must take in some job of the sweep to have exponents."""
LARGE = {
    name: {
        "model": name,
        "size": 224,
        "queries": 1,
        "per_class": 1,
        "targets": 2,
        "steps": 4,
        "batch": 8,
        **less,
    }
    for name, less in (
        ("resnet50", {"references": 8}),
        ("vit_b_16", {"references": 2, "flow": 1, "chosen": "encoder.layers.encoder_layer_*"}),
    )
}


RAISED = ("resnet50", {"targets": 8, "steps": 12})
"""A large model, and numbers of its GIG each of which is raised once, alone."""


def measured(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one job in a process of its own. Raises BenchmarkError if it fails."""
    return _apart("cost_job", json.dumps(dict(job)))


def _apart(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise BenchmarkError(f"{module} {' '.join(arguments)} ended with exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def points() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(axis, value, job) of the sweep; the base job once, under its first axis."""
    seen = set()
    for axis, values in AXES.items():
        for value in values:
            job = {**BASE, axis: value}
            key = json.dumps({**vars(Job()), **job}, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield axis, value, job


def by_stage(seconds: Mapping[str, float]) -> dict[str, float]:
    """Sums per stage: a method's flow, its queries, its dictionaries are stages of their own; tables are left out."""
    return {name: spent for name, spent in seconds.items() if not name.endswith(":tables")}


def series(runs: list[dict[str, Any]], axis: str) -> dict[str, list[tuple[float, float]]]:
    """Stage -> (value, seconds) along one axis, all else as in the base job; the mean of runs of one job."""
    defaults = vars(Job())
    base = {**defaults, **BASE}
    found: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        job = {**defaults, **run["job"]}
        if all(job[name] == value for name, value in base.items() if name != axis):
            for stage, spent in by_stage(run["seconds"]).items():
                found.setdefault(stage, {}).setdefault(float(job[axis]), []).append(spent)
    return {
        stage: sorted((value, statistics.fmean(spent)) for value, spent in line.items())
        for stage, line in found.items()
    }


def exponent(points_: list[tuple[float, float]]) -> float:
    """Slope of log seconds over log value, by least squares."""
    x, y = np.log(np.array(points_)).T
    return float(np.polyfit(x, y, 1)[0])


def exponents(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Stage -> axis -> exponent, of the stages that somewhere take long enough for a clock."""
    found: dict[str, dict[str, float]] = {}
    most = {
        stage: max(run["seconds"].get(stage, 0.0) for run in runs) for run in runs for stage in run["seconds"]
    }
    for axis in AXES:
        for stage, line in series(runs, axis).items():
            if len(line) > 2 and min(spent for _, spent in line) > 0 and most[stage] >= LEAST:
                found.setdefault(stage, {})[axis] = exponent(line)
    return found


def figures() -> dict[str, Any]:
    """What was measured before, by part; empty if nothing was."""
    kept: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return kept


def write_figures(part: str, value: Any) -> None:
    """Keep one part of the figures, with the machine."""
    kept = {**figures(), part: value, "device": device_name()}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a job failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cost", description=__doc__)
    parser.add_argument("step", choices=["sweep", "large", "raised", "concepts", "page"])
    parser.add_argument("--model", choices=list(LARGE), action="append", help="of large: this one alone")
    parsed = parser.parse_args(arguments)
    step = parsed.step
    try:
        if step == "sweep":
            write_figures("sweep", [measured(job) for _, _, job in points()])
        elif step == "large":
            for name in parsed.model or LARGE:
                found = measured(LARGE[name])
                write_figures("large", {**figures().get("large", {}), name: found})
        elif step == "raised":
            model, numbers = RAISED
            jobs = ({**LARGE[model], name: value, "methods": "gig"} for name, value in numbers.items())
            write_figures("raised", [measured(job) for job in jobs])
        elif step == "concepts":
            write_figures("concepts", _apart("cost_concepts"))
        else:
            from benchmarks.cost_page import write

            write(figures())
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
