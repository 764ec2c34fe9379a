"""What a job will cost before it runs: sizes from the shapes, time from one measured batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ingest import sizing
from ingest.activations import ActivationJob
from ingest.devices import BUDGETED, free_bytes, with_budget
from ingest.job import IngestSpec, Prepared
from ingest.methods.gcc_flow import sum_bytes
from ingest.selection import choose_queries
from ingest.sizing import Size

FLOAT = 4


@dataclass(frozen=True)
class Line:
    """One line of the estimate; ``bound`` tells an upper bound from an expectation."""

    what: str
    amount: str
    bound: bool = False

    @property
    def text(self) -> str:
        """The amount, a bound said to be one."""
        return f"up to {self.amount}" if self.bound else self.amount


def estimate(prepared: Prepared) -> Iterator[Line]:
    """Sizes, memory and time of a job, cheapest to know first; runs one batch of noise through the model."""
    spec, layers, size = prepared.spec, prepared.layers, size_of(prepared)
    yield Line("images", f"{size.images:,} ({size.lists:,} for lists, {size.images - size.lists:,} judging)")
    yield Line("exact queries", f"{size.queries:,}")
    yield Line("layers", f"{len(layers)}")
    yield Line("neurons", f"{size.neurons:,}")
    yield from _graph(size)
    store = ActivationJob(prepared.model, layers, prepared.images, spec.passes)
    yield Line("activation store", _size(store.size))
    chunks = chunk_bytes(with_budget(prepared).spec)
    maps = max(layer.channels * layer.positions for layer in layers)
    batch = spec.passes.batch * FLOAT * sum(layer.channels * layer.positions for layer in layers)
    yield Line("memory of one batch", _size(batch + FLOAT * maps))
    yield Line("memory of FLOWS_TO", _size(sum_bytes(size.channels) + chunks["gcc"]))
    asked = {method: count for method, count in chunks.items() if method in spec.methods}
    yield budget_line(asked, spec.model.device, free_bytes(spec.model.device))
    seconds = _forward_seconds(prepared)
    yield Line("forward passes", f"{_time(seconds * size.images)} (measured: {1 / seconds:.1f} images/s)")


def chunk_bytes(spec: IngestSpec) -> dict[str, int]:
    """Method -> bytes of one of its chunks."""
    return {method: getattr(spec, method).chunk_bytes for method in BUDGETED}


def budget_line(chunks: Mapping[str, int], device: str, free: int | None) -> Line:
    """What the methods' chunks may take of a device's memory.

    Parameters
    ----------
    chunks : method -> bytes of one of its chunks.
    free : bytes that are free on the device, if it is a GPU.
    """
    methods: dict[int, list[str]] = {}
    for method, count in chunks.items():
        methods.setdefault(count, []).append(method)
    parts = ", ".join(f"{_size(count)} ({', '.join(names)})" for count, names in methods.items())
    of = "" if free is None else f", which has {_size(free)} free"
    return Line("memory budget", f"{parts or 'none'} a chunk on {device}{of}")


def _graph(size: Size) -> Iterator[Line]:
    """What the database will hold, and what that takes."""
    counts = sizing.relationships(size)
    for name, rows in counts.items():
        yield Line(name, f"{rows:,}", bound=name not in ("ACTIVATED_BY", "RESPONDS_TO"))
    for name, rows in sizing.circuits(size).items():
        yield Line(f"{name} of exact circuits", f"about {rows:,}")
    held, rows = sizing.total(sizing.nodes(size)), sizing.total(counts) + sizing.total(sizing.circuits(size))
    yield Line("nodes", f"{held:,}", bound=True)
    yield Line("relationships", f"{rows:,}", bound=True)
    parts = sizing.disk(size)
    yield Line("database", _size(sizing.total(parts)), bound=True)
    bolt, bulk = sizing.load_seconds(size)
    yield Line("load over Bolt", _time(bolt), bound=True)
    yield Line("load by import", _time(bulk), bound=True)


def size_of(prepared: Prepared) -> Size:
    """What decides the size of the atlas that a job makes."""
    spec, subject = prepared.spec, prepared.subject
    queries = choose_queries(spec.queries, prepared.images.images, subject.labels, subject.judging)
    return Size(
        channels=tuple(layer.channels for layer in prepared.layers),
        images=len(prepared.images.images),
        lists=int(subject.lists.sum()),
        classes=len(subject.classes),
        queries=len(queries),
        methods=spec.methods,
        gcc=spec.gcc,
        cla=spec.cla,
        gig=spec.gig,
        pure=spec.pure,
    )


def relationships(prepared: Prepared) -> dict[str, int]:
    """Relationships per type that a job writes, beside the circuits of its exact queries; most are upper bounds."""
    return sizing.relationships(size_of(prepared))


def _forward_seconds(prepared: Prepared) -> float:
    """Seconds per image of one forward pass, the better of two."""
    size = min(8, prepared.spec.passes.batch)
    device = prepared.spec.model.device
    x = torch.rand(size, *prepared.model.input_shape, device=device)
    nodes = [layer.node for layer in prepared.layers]
    best = math.inf
    for _ in range(2):
        start = time.perf_counter()
        with torch.inference_mode():
            values = prepared.model.trace.values(x, [*nodes, "output"])
            float(values["output"].sum())
        best = min(best, time.perf_counter() - start)
    return best / size


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    return (
        f"{seconds / 3600:.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:.1f} min"
        if seconds >= 90
        else f"{seconds:.0f} s"
    )
