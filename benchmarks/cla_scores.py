"""CLA's scores of all pairs of one ResNet-50 block pair, against one autograd call for each target channel.

Ours pulls many targets' cotangents back in one batch; the peer shares one forward pass and calls autograd on the norm
of each target's map, one after the other, as the definition reads. Random weights; time does not depend on them.
Beside it the memory that ours takes at its peak, as the process's resident set grows, within the budget it was given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor

from benchmarks.harness import Case, Result, compare
from ingest.layers import choose_layers
from ingest.methods.pairs import Pair, make_pairs
from ingest.models import ModelSpec, load_model
from ingest.numerics.cla import CHUNK_BYTES, Ends, attribution

PAIR = ("layer3.1", "layer3.2")
ROUNDS = 3
TOLERANCE = 1e-4
SEED = 0
EVERY = 0.002


@dataclass(frozen=True)
class Work:
    """The pair, the segment with nothing frozen, and a (1, C, H, W)."""

    pair: Pair
    run: Callable[[Tensor], Tensor]
    a: Tensor


def make_work() -> Work:
    """One image through ResNet-50 with random weights."""
    model = load_model(ModelSpec("resnet50", weights=f"random:{SEED}"))
    pair = make_pairs(model.trace, choose_layers(model, ",".join(PAIR)))[0]
    if pair is None:
        raise RuntimeError("the blocks do not follow each other")
    x = torch.randn(1, *model.input_shape, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        clean = model.trace.values(x, [pair.source.node, *pair.segment.frozen])
    return Work(pair, pair.segment.bind(clean), clean[pair.source.node])


def ours(work: Work) -> Tensor:
    """A (C, D)."""
    return attribution(work.run, work.a, Ends(1, 1), CHUNK_BYTES)


def peer(work: Work) -> Tensor:
    """A (C, D), a target at a time."""
    a = work.a.clone().requires_grad_()
    b = work.run(a)
    rows = []
    for n in range(b.shape[1]):
        (back,) = torch.autograd.grad(b[0, n].norm(), a, retain_graph=True)
        rows.append((back.abs() * work.a.abs()).sum((2, 3))[0])
    return torch.stack(rows, 1)


def difference(mine: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest score."""
    return float((mine - theirs).abs().max() / theirs.max())


def peak_bytes(call: Callable[[], object]) -> int:
    """How far the resident set grows while a call runs, looked at every few milliseconds."""
    process, done, seen = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(EVERY):
            seen.append(process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(seen) - before


def run() -> list[Result]:
    """Two results; targets: ratio 3, and the budget."""
    work = make_work()
    # Measured first, while no memory that an earlier call left lies ready for it.
    memory = peak_bytes(lambda: ours(work))
    pair = f"{work.pair.source.name} → {work.pair.target.name}"
    what = f"ResNet-50, 224², {pair}, {work.pair.source.channels} × {work.pair.target.channels} pairs"
    case = Case(
        name="cla_scores",
        target="ratio ≥ 3",
        what=f"{what}; peer: one autograd call a target, one forward",
        difference=difference,
        tolerance=TOLERANCE,
        pairs=ROUNDS,
    )
    return [
        compare(case, lambda: ours(work), lambda: peer(work)),
        Result(
            name="cla_scores_memory",
            ours=memory / 2**20,
            unit="MiB",
            target=f"≤ {CHUNK_BYTES // 2**20} MiB, the budget",
            what=f"{what}; growth of the resident set",
        ),
    ]
