"""CLA's scores of all pairs of one ResNet-50 block pair, against one autograd call for each target channel.

Ours takes the last convolution apart and pulls many targets' cotangents back in one batch, all targets. A peer is run
on a sample of targets and its time scaled: a target costs it the same whichever it is.

literal : as the definition reads, for each target the block forward and autograd on the norm of its map.
shared : one forward pass for all targets, autograd on each norm in turn.

Random weights; time does not depend on them. Beside it the memory that ours takes at its peak, as the process's
resident set grows, within the budget it was given.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor

from benchmarks.harness import BenchmarkError, Result, timed
from ingest.layers import choose_layers
from ingest.methods.endings import ending_of
from ingest.methods.pairs import Pair, make_pairs
from ingest.models import ModelSpec, load_model
from ingest.numerics.cla import CHUNK_BYTES, Ending, Ends, attribution

PAIR = ("layer4.1", "layer4.2")
ROUNDS = 3
TOLERANCE = 1e-4
SEED = 0
SAMPLE = 96
EVERY = 0.002


@dataclass(frozen=True)
class Work:
    """The pair, the segment with nothing frozen, and a (1, C, H, W)."""

    pair: Pair
    run: Callable[[Tensor], Tensor]
    a: Tensor
    ending: Ending | None


def make_work() -> Work:
    """One image through ResNet-50 with random weights."""
    model = load_model(ModelSpec("resnet50", weights=f"random:{SEED}"))
    pair = make_pairs(model.trace, choose_layers(model, ",".join(PAIR)))[0]
    if pair is None:
        raise RuntimeError("the blocks do not follow each other")
    x = torch.randn(1, *model.input_shape, generator=torch.Generator().manual_seed(SEED))
    ending = ending_of(model.trace, pair.source, pair.target)
    nodes = [pair.source.node, *pair.segment.frozen, *(ending.nodes if ending else ())]
    with torch.no_grad():
        clean = model.trace.values(x, nodes)
    apart = None if ending is None else ending.bind(clean)
    return Work(pair, pair.segment.bind(clean), clean[pair.source.node], apart)


def ours(work: Work) -> Tensor:
    """A (C, D)."""
    return attribution(work.run, work.a, Ends(1, 1), CHUNK_BYTES, work.ending)


def literal(work: Work, targets: Sequence[int]) -> Tensor:
    """A (C, T) of some targets, a forward and a backward pass each."""
    rows = []
    for n in targets:
        a = work.a.clone().requires_grad_()
        (back,) = torch.autograd.grad(work.run(a)[0, n].norm(), a)
        rows.append((back.abs() * work.a.abs()).sum((2, 3))[0])
    return torch.stack(rows, 1)


def shared(work: Work, targets: Sequence[int]) -> Tensor:
    """A (C, T) of some targets, one forward pass for all."""
    a = work.a.clone().requires_grad_()
    b = work.run(a)
    rows = []
    for n in targets:
        (back,) = torch.autograd.grad(b[0, n].norm(), a, retain_graph=True)
        rows.append((back.abs() * work.a.abs()).sum((2, 3))[0])
    return torch.stack(rows, 1)


PEERS = {"literal": literal, "shared": shared}


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
    """Three results; targets: ratio 3 to either peer, and the budget."""
    work = make_work()
    count = work.pair.target.channels
    targets = sorted(np.random.default_rng(SEED).choice(count, SAMPLE, replace=False).tolist())
    # Measured first, while no memory that an earlier call left lies ready for it.
    memory = peak_bytes(lambda: ours(work))
    mine = ours(work)[:, targets]
    apart = {name: difference(mine, peer(work, targets)) for name, peer in PEERS.items()}
    if not max(apart.values()) <= TOLERANCE:
        raise BenchmarkError(f"cla_scores: results differ by {apart} > {TOLERANCE}; nothing was timed")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    for _ in range(ROUNDS):
        own = timed(lambda: ours(work))
        for name, peer in PEERS.items():
            spent = timed(lambda peer=peer: peer(work, targets))  # type: ignore[misc]
            taken[name].append((own, spent * count / SAMPLE))
    pair = f"{work.pair.source.name} → {work.pair.target.name}"
    what = f"ResNet-50, 224², {pair}, all {work.pair.source.channels} × {count} pairs"
    how = {
        "literal": "a forward and an autograd call a target",
        "shared": "an autograd call a target, one forward",
    }
    found = [
        _result(
            name, taken[name], apart[name], f"{what}; peer: {how[name]}, {SAMPLE} targets timed and scaled"
        )
        for name in PEERS
    ]
    budget = CHUNK_BYTES // 2**20
    return [
        *found,
        Result(
            name="cla_scores_memory",
            ours=memory / 2**20,
            unit="MiB",
            target=f"≤ {budget} MiB, the budget",
            what=f"{what}; growth of the resident set",
        ),
    ]


def _result(name: str, taken: Sequence[tuple[float, float]], apart: float, what: str) -> Result:
    ratios = [theirs / own for own, theirs in taken]
    return Result(
        name=f"cla_scores_{name}",
        ours=statistics.median(own for own, _ in taken),
        peer=statistics.median(theirs for _, theirs in taken),
        unit="s",
        target="ratio ≥ 3",
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=apart,
        pairs=len(taken),
        what=what,
    )
