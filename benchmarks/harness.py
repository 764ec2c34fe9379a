"""Ours against a peer: equal results first, then alternate pairs in one process, then one JSON line."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("circuit-atlas", "torch", "torchvision", "numpy", "scikit-learn", "neo4j", "pyarrow")


class BenchmarkError(Exception):
    """A benchmark whose two sides disagree, or that cannot run."""


def installed_versions() -> dict[str, str]:
    """Python and the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def device_name() -> str:
    """The processor, in words that say nothing of the machine's owner."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu, {platform.machine()}, {cores} cores"


@dataclass(frozen=True)
class Result:
    """One line. ``ours`` and ``peer`` in ``unit``; ``ratio`` is the peer's time over ours, so above 1 ours is
    ahead: median over pairs, with minimum and maximum.

    ``peer`` and the ratios are None where a figure stands alone against its target. ``difference`` says how
    far apart the two results were before anything was timed.
    """

    name: str
    ours: float
    unit: str
    target: str
    peer: float | None = None
    ratio: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    difference: float | None = None
    pairs: int = 1
    what: str = ""
    device: str = field(default_factory=device_name)
    versions: Mapping[str, str] = field(default_factory=installed_versions)

    def line(self) -> str:
        """The result as one line of JSON."""
        return json.dumps({key: _short(value) for key, value in asdict(self).items()})


@dataclass(frozen=True)
class Case:
    """What is compared.

    ``difference`` takes both results and gives a number that must not exceed ``tolerance``. ``amount`` turns
    seconds into ``unit``: seconds per amount (``per_second`` False), or amounts per second.
    """

    name: str
    target: str
    what: str
    difference: Callable[[Any, Any], float]
    tolerance: float
    pairs: int = 5
    amount: float = 1.0
    unit: str = "s"
    per_second: bool = False


def compare(case: Case, ours: Callable[[], object], peer: Callable[[], object]) -> Result:
    """Run both once and compare what they give, then time them in pairs, changing who goes first.

    Raises BenchmarkError if the results differ by more than the tolerance.
    """
    difference = case.difference(ours(), peer())
    if not difference <= case.tolerance:
        raise BenchmarkError(
            f"{case.name}: results differ by {difference:.3g} > {case.tolerance:.3g}; nothing was timed"
        )
    seconds: list[tuple[float, float]] = []
    for pair in range(case.pairs):
        if pair % 2:
            theirs, mine = timed(peer), timed(ours)
        else:
            mine, theirs = timed(ours), timed(peer)
        seconds.append((mine, theirs))
    ratios = [theirs / mine for mine, theirs in seconds]

    def figure(times: list[float]) -> float:
        middle = statistics.median(times)
        return case.amount / middle if case.per_second else middle / case.amount

    return Result(
        name=case.name,
        ours=figure([mine for mine, _ in seconds]),
        peer=figure([theirs for _, theirs in seconds]),
        unit=case.unit,
        target=case.target,
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=difference,
        pairs=case.pairs,
        what=case.what,
    )


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, garbage collected before it."""
    gc.collect()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
