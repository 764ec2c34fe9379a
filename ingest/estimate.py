"""What a job will cost before it runs: sizes from the shapes, time from one measured batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from ingest.activations import ActivationJob
from ingest.job import Prepared
from ingest.methods.survey import CLASSES_PER_NEURON
from ingest.selection import choose_queries

BYTES_PER_RELATIONSHIP = 130
BYTES_PER_NODE = 400
FLOAT = 4


@dataclass(frozen=True)
class Line:
    """One line of the estimate; ``bound`` tells an upper bound from an expectation."""

    what: str
    amount: str
    bound: bool = False


def estimate(prepared: Prepared) -> Iterator[Line]:
    """Sizes, memory and time of a job, cheapest to know first; runs one batch of noise through the model."""
    spec, layers = prepared.spec, prepared.layers
    images = len(prepared.images.images)
    lists = int(prepared.subject.lists.sum())
    judging = prepared.subject.judging
    queries = choose_queries(spec.queries, prepared.images.images, prepared.subject.labels, judging)
    yield Line("images", f"{images:,} ({lists:,} for lists, {images - lists:,} judging)")
    yield Line("exact queries", f"{len(queries):,}")
    yield Line("layers", f"{len(layers)}")
    neurons = sum(layer.channels for layer in layers)
    yield Line("neurons", f"{neurons:,}")
    counts = relationships(prepared)
    for name, rows in counts.items():
        yield Line(name, f"{rows:,}", bound=name not in ("ACTIVATED_BY", "RESPONDS_TO"))
    store = ActivationJob(prepared.model, layers, prepared.images, spec.passes)
    yield Line("activation store", _size(store.size))
    total = BYTES_PER_RELATIONSHIP * sum(counts.values()) + BYTES_PER_NODE * (neurons + images)
    yield Line("database, beside DRIVES", _size(total), bound=True)
    maps = max(layer.channels * layer.positions for layer in layers)
    batch = spec.passes.batch * FLOAT * sum(layer.channels * layer.positions for layer in layers)
    sums = 16 * max((a.channels * b.channels for a, b in pairwise(layers)), default=0)
    yield Line("memory of one batch", _size(batch + FLOAT * maps))
    yield Line("memory of FLOWS_TO", _size(sums + spec.gcc.chunk_bytes))
    seconds = _forward_seconds(prepared)
    yield Line("forward passes", f"{_time(seconds * images)} (measured: {1 / seconds:.1f} images/s)")


def relationships(prepared: Prepared) -> dict[str, int]:
    """Relationships per type that a job writes, beside the DRIVES of its exact queries; most are upper bounds."""
    counts: dict[str, int] = {}
    lists = int(prepared.subject.lists.sum())
    for name, rows in _all_relationships(prepared, len(prepared.images.images), lists):
        counts[name] = counts.get(name, 0) + rows
    return counts


def _all_relationships(prepared: Prepared, images: int, lists: int) -> Iterator[tuple[str, int]]:
    layers, gcc, methods = prepared.layers, prepared.spec.gcc, prepared.spec.methods
    neurons = sum(layer.channels for layer in layers)
    yield "ACTIVATED_BY", neurons * math.ceil(gcc.root_share * lists)
    yield "ACTIVATES", images * len(layers)
    yield "RESPONDS_TO", neurons * min(CLASSES_PER_NEURON, len(prepared.subject.classes))
    if "gcc" in methods:
        yield "FLOWS_TO", sum(a.channels * min(gcc.keep_most, b.channels) for a, b in pairwise(layers))
    if "cla" in methods:
        yield "ATTRIBUTES_TO", _attributions(prepared)
    if "gig" in methods:
        yield from _contributions(prepared, images, lists)
    if "pure" in methods:
        pure = prepared.spec.pure
        senses = neurons * pure.counts[-1]
        yield "HAS_SENSE", senses
        yield "FEEDS_SENSE", senses * pure.feeds
        yield "FLOWS_TO", senses * pure.flow_targets
        yield "EXEMPLIFIED_BY", neurons * min(lists, pure.references)
        judging = prepared.subject.judging
        queries = choose_queries(
            prepared.spec.queries, prepared.images.images, prepared.subject.labels, judging
        )
        yield "ASSIGNED_TO", neurons * math.ceil(gcc.mask_share * len(queries))


def _attributions(prepared: Prepared) -> int:
    """Stored targets times stored sources of every link, for one scope a class."""
    layers, cla = prepared.layers, prepared.spec.cla
    targets = [min(cla.keep, layer.channels) for layer in layers[1:]]
    sources = [min(cla.sources, layer.channels) for layer in layers]
    classes = max(1, len(prepared.subject.classes))
    to_class = min(cla.keep, classes) * sources[-1]
    return classes * (sum(a * b for a, b in zip(sources, targets, strict=False)) + to_class)


def _contributions(prepared: Prepared, images: int, lists: int) -> Iterator[tuple[str, int]]:
    layers, gig = prepared.layers, prepared.spec.gig
    concepts = sum(gig.concepts or max(1, min(8 * layer.channels, lists // 4)) for layer in layers)
    classes = max(1, len(prepared.subject.classes))
    yield "HAS_CONCEPT", concepts
    yield "LOADS_ON", concepts * gig.exemplars
    yield "EXEMPLIFIED_BY", concepts * gig.exemplars
    yield "CONTRIBUTES_TO", classes * len(layers) * (gig.top_concepts + 1) * gig.keep
    yield "EXPRESSES", images * len(layers) * gig.express


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
