"""All sensitivities (S_NS) of one query on ResNet-50, against the two ways they are computed elsewhere.

Ours runs, for each of the 15 pairs of adjacent blocks, all source channels through the segment between the two
blocks: 13,056 ablations, none left out. A peer would take an hour, so it is run on a sample and its time is scaled:
ablations cost it the same whatever their channel, and each layer's sample counts for the channels of that layer.

literal : as in the authors' public code, three forwards of the whole network a source: one for the source's
    activation, one that puts it back, one that puts it back with the channel at zero.
batched : one cached clean forward, then whole forwards of batches of 64 ablations by a forward hook.

Random weights; time does not depend on them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.harness import BenchmarkError, Result, timed
from ingest.layers import choose_layers
from ingest.methods.gcc import sensitivities
from ingest.methods.gcc_job import GccParameters
from ingest.methods.pairs import Pair, clean_values, make_pairs
from ingest.models import ModelSpec, VisionModel, load_model
from ingest.numerics.sensitivity import normalised

Array = NDArray[np.float64]
Edit = Callable[[Tensor], Tensor]
LITERAL_SOURCES = 2
BATCH = 64
BATCHED_PAIRS = (0, 4, 9, 14)
ROUNDS = 3
TOLERANCE = 1e-4
SEED = 0


@dataclass(frozen=True)
class Query:
    """The model, its adjacent blocks, one image (1, 3, 224, 224), and the sources that peers are run on."""

    model: VisionModel
    pairs: tuple[Pair, ...]
    x: Tensor
    sampled: tuple[tuple[int, ...], ...]

    @property
    def sources(self) -> int:
        """All source channels."""
        return sum(pair.source.channels for pair in self.pairs)


def make_query() -> Query:
    """ResNet-50 with random weights, and a seeded image."""
    model = load_model(ModelSpec("resnet50", weights=f"random:{SEED}"))
    pairs = [pair for pair in make_pairs(model.trace, choose_layers(model, None)) if pair is not None]
    rng = np.random.default_rng(SEED)
    x = torch.from_numpy(rng.standard_normal((1, *model.input_shape)).astype(np.float32))
    sampled = tuple(
        tuple(sorted(rng.choice(pair.source.channels, BATCH, replace=False).tolist())) for pair in pairs
    )
    return Query(model, tuple(pairs), x, sampled)


def ours(query: Query) -> list[Array]:
    """S_NS of every source of every pair, (C, D) each."""
    layers = list({x.node: x for pair in query.pairs for x in (pair.source, pair.target)}.values())
    clean = clean_values(query.model.trace, layers, query.pairs, query.x)
    found = []
    for pair in query.pairs:
        channels = np.arange(pair.source.channels)
        raw = sensitivities(pair, clean, np.zeros_like(channels), channels, GccParameters().chunk_bytes)
        found.append(normalised(raw))
    return found


@contextmanager
def hooked(module: nn.Module, hook: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """A forward hook on a module's output for the time of a block."""
    handle = module.register_forward_hook(lambda _module, _inputs, out: hook(out))
    try:
        yield
    finally:
        handle.remove()


def run_hooked(query: Query, pair: Pair, x: Tensor, edit: Edit | None) -> tuple[Tensor, Tensor]:
    """One whole forward: the source block's output (edited), and the target block's."""
    seen: list[Tensor] = []
    source = query.model.module.get_submodule(pair.source.name)
    target = query.model.module.get_submodule(pair.target.name)

    def change(out: Tensor) -> Tensor:
        seen.append(out.clone() if edit is None else edit(out))
        return seen[0]

    def watch(out: Tensor) -> None:
        seen.append(out.clone())

    with hooked(source, change), hooked(target, watch):
        query.model.module(x)
    return seen[0], seen[1]


def shares(lost: Tensor) -> Array:
    """S_NS (R, D) from what the target's maps lose (R, D, H, W); zero where a source changes nothing."""
    raw = lost.mean((2, 3)).clamp(min=0).double()
    found: Array = (raw / raw.sum(1, keepdim=True).clamp(min=torch.finfo(raw.dtype).tiny)).numpy()
    return found


def literal(query: Query, pair: Pair, channel: int) -> Array:
    """S_NS (D,) of one source, three forwards."""
    a, _ = run_hooked(query, pair, query.x, None)
    _, clean = run_hooked(query, pair, query.x, lambda out: a.clone())
    zeroed = a.clone()
    zeroed[:, channel] = 0
    _, ablated = run_hooked(query, pair, query.x, lambda out: zeroed)
    return shares(clean - ablated)[0]


def batched(query: Query, pair: Pair, channels: Sequence[int], clean: Tensor) -> Array:
    """S_NS (R, D) of some sources: one whole forward of a batch of ablations."""
    rows = torch.arange(len(channels))

    def zero(out: Tensor) -> Tensor:
        changed = out.clone()
        changed[rows, list(channels)] = 0
        return changed

    _, ablated = run_hooked(query, pair, query.x.expand(len(channels), -1, -1, -1).contiguous(), zero)
    return shares(clean - ablated)


def seconds_literal(query: Query) -> tuple[float, list[Array]]:
    """Seconds that all sources would take, and what the sampled ones gave, (LITERAL_SOURCES, D) a pair."""
    total, found = 0.0, []
    for pair, channels in zip(query.pairs, query.sampled, strict=True):
        rows: list[Array] = []
        spent = timed(
            lambda p=pair, cs=channels, r=rows: r.extend(literal(query, p, c) for c in cs[:LITERAL_SOURCES])
        )  # type: ignore[misc]
        total += spent / LITERAL_SOURCES * pair.source.channels
        found.append(np.stack(rows))
    return total, found


def seconds_batched(query: Query) -> tuple[float, list[Array | None]]:
    """Seconds that all batches would take, and what the sampled ones gave, (BATCH, D) a sampled pair."""
    found: list[Array | None] = [None] * len(query.pairs)
    spent = []
    for number in BATCHED_PAIRS:
        pair, channels = query.pairs[number], query.sampled[number]
        _, clean = run_hooked(query, pair, query.x, None)

        def one(
            number: int = number, pair: Pair = pair, channels: Any = channels, clean: Tensor = clean
        ) -> None:
            found[number] = batched(query, pair, channels, clean)

        spent.append(timed(one))
    return statistics.mean(spent) * query.sources / BATCH, found


def difference(query: Query, mine: Sequence[Array], theirs: Sequence[Array | None]) -> float:
    """Largest difference of S_NS over the sampled sources, over the largest S_NS of its source."""
    apart = [0.0]
    for whole, channels, part in zip(mine, query.sampled, theirs, strict=True):
        if part is not None:
            live = part.max(axis=1) > 0
            own = whole[list(channels[: len(part)])]
            if (own[~live] != 0).any() or not live.any():
                raise BenchmarkError(
                    "gcc_sensitivity: a source moves targets on one side alone, or none does"
                )
            apart.append(float((np.abs(own - part)[live] / part[live].max(axis=1, keepdims=True)).max()))
    return float(np.max(apart))


@torch.inference_mode()
def run() -> list[Result]:
    """Two results; targets 30 and 8."""
    query = make_query()
    mine = ours(query)
    peers: dict[str, Callable[[Query], tuple[float, Any]]] = {
        "literal": seconds_literal,
        "batched": seconds_batched,
    }
    apart = {name: difference(query, mine, peer(query)[1]) for name, peer in peers.items()}
    wrong = {name: value for name, value in apart.items() if not value <= TOLERANCE}
    if wrong:
        raise BenchmarkError(f"gcc_sensitivity: results differ by {wrong} > {TOLERANCE}; nothing was timed")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for number in range(ROUNDS):
        theirs = {name: peer(query)[0] for name, peer in peers.items()} if number % 2 else {}
        own = timed(lambda: ours(query))
        theirs = theirs or {name: peer(query)[0] for name, peer in peers.items()}
        for name, seconds in theirs.items():
            taken[name].append((own, seconds))
    what = {
        "literal": f"three forwards a source; {LITERAL_SOURCES} sources a layer timed and scaled",
        "batched": f"whole forwards of {BATCH} ablations by hooks; {len(BATCHED_PAIRS)} batches timed and scaled",
    }
    return [
        _result(name, taken[name], apart[name], f"ResNet-50, 224², all {query.sources} sources; peer: {text}")
        for name, text in what.items()
    ]


def _result(name: str, taken: Sequence[tuple[float, float]], apart: float, what: str) -> Result:
    ratios = [theirs / own for own, theirs in taken]
    return Result(
        name=f"gcc_sensitivity_{name}",
        ours=statistics.median(own for own, _ in taken),
        peer=statistics.median(theirs for _, theirs in taken),
        unit="s",
        target=f"ratio ≥ {30 if name == 'literal' else 8}",
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=apart,
        pairs=len(taken),
        what=what,
    )
