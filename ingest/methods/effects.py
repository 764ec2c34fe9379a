"""What an intervention does: logit, probability, accuracy and divergence per class, and what a probe still reads.

Notation: N images, O outputs, C channels of a layer; a cut is a set of neurons or of edges.

Images stream through in batches; of each cut the logits are kept, and of the first one the pooled activations of the
layers asked for, (N, C) each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec, to_units
from ingest.methods.circuit_pruning import CIRCUIT, Pruner
from ingest.methods.edge_cuts import Edge, cut_values
from ingest.methods.measures import Resampling
from ingest.methods.pairs import Pair, make_pairs
from ingest.numerics.pooling import top_share_mean
from ingest.numerics.probe import auc, fit_probe
from ingest.numerics.traversal import Node
from ingest.segments import OUTPUT, Trace

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Batches = Iterable[tuple[Sequence[int], Tensor]]
"""Rows and their images (B, C, H, W)."""
METRICS = ("logit", "probability", "accuracy", "kl")


@dataclass(frozen=True)
class Cut:
    """Neurons to prune in one way (kind of :mod:`ingest.methods.circuit_pruning`), or edges of adjacent layers."""

    nodes: frozenset[Node] = frozenset()
    kind: str = CIRCUIT
    edges: frozenset[Edge] | None = None


@dataclass(frozen=True)
class Outcome:
    """Of images in the order they came: rows (N,), labels aside; clean (N, O) and per cut (N, O) logits; pooled
    activations (N, C) per node, clean and under the first cut.
    """

    rows: Ints
    clean: Floats
    pruned: tuple[Floats, ...]
    pooled: Mapping[str, Floats]
    pooled_pruned: Mapping[str, Floats]


class Surgeon:
    """Makes cuts on one model; ``pool_share`` of a layer's positions, the strongest, are what is pooled."""

    def __init__(
        self,
        trace: Trace,
        layers: Sequence[LayerSpec],
        pool_share: float = 1.0,
        chunk_bytes: int = 64 * 2**20,
    ) -> None:
        self.trace = trace
        self.layers = tuple(layers)
        self._pruner = Pruner(trace, layers)
        self._pool_share = pool_share
        self._chunk_bytes = chunk_bytes
        self._pairs: tuple[Pair | None, ...] | None = None

    def outcome(
        self,
        batches: Batches,
        cuts: Sequence[Cut],
        read: Sequence[int] = (),
        done: Callable[[int], None] | None = None,
    ) -> Outcome:
        """Logits of all images, clean and under each cut; ``read`` names layers whose pooled activations are kept.

        A layer that no image reaches, or no image at all, gives empty arrays. ``done`` is told the images so far.
        """
        rows: list[int] = []
        clean: list[Floats] = []
        pruned: list[list[Floats]] = [[] for _ in cuts]
        pooled: list[list[Floats]] = [[] for _ in read]
        after: list[list[Floats]] = [[] for _ in read]
        nodes = [self.layers[ordinal].node for ordinal in read]
        for own, x in batches:
            sets = [(cut.nodes, cut.kind) for cut in cuts if cut.edges is None]
            base = self._pruner.clean(x, sets, [*nodes, OUTPUT])
            clean.append(_logits(base.values))
            for number, cut in enumerate(cuts):
                wanted = [*nodes, OUTPUT] if number == 0 else [OUTPUT]
                if cut.edges is None:
                    values = self._pruner.values(base, cut.nodes, cut.kind, wanted)
                else:
                    edges = [cut.edges] * len(x)
                    values = cut_values(self.trace, self._adjacent(), x, edges, self._chunk_bytes, wanted)
                pruned[number].append(_logits(values))
                if number == 0:
                    for place, ordinal in enumerate(read):
                        pooled[place].append(self._pooled(base.values[nodes[place]], ordinal))
                        after[place].append(self._pooled(values[nodes[place]], ordinal))
            rows += [int(row) for row in own]
            if done is not None:
                done(len(rows))
        empty = np.empty((0, self.trace.outputs), np.float32)
        return Outcome(
            np.array(rows, np.int64),
            np.concatenate([empty, *clean]),
            tuple(np.concatenate([empty, *parts]) for parts in pruned),
            {node: np.concatenate(parts) for node, parts in zip(nodes, pooled, strict=True) if parts},
            {node: np.concatenate(parts) for node, parts in zip(nodes, after, strict=True) if parts},
        )

    def _pooled(self, value: Tensor, ordinal: int) -> Floats:
        layer = self.layers[ordinal]
        found: Floats = top_share_mean(to_units(value, layer), self._pool_share).mean.cpu().numpy()
        return found

    def _adjacent(self) -> tuple[Pair | None, ...]:
        if self._pairs is None:
            self._pairs = make_pairs(self.trace, self.layers)
        return self._pairs


def _logits(values: Mapping[str, Tensor]) -> Floats:
    found: Floats = values[OUTPUT].float().cpu().numpy()
    return found


def image_metrics(clean: Floats, pruned: Floats, outputs: Ints) -> dict[str, tuple[Array, Array]]:
    """Metric -> (before, after), (N,) each: logit and probability of each image's own output, whether it is the first
    answer, and KL(clean ‖ pruned) of the softmax distributions (0 before), in nats.

    Parameters
    ----------
    clean, pruned : (N, O) logits.
    outputs : (N,) the output looked at for each image.
    """
    found = {}
    rows = np.arange(len(outputs))
    sides = [np.asarray(logits, np.float64) for logits in (clean, pruned)]
    logs = [side - _log_sum_exp(side) for side in sides]
    found["logit"] = (sides[0][rows, outputs], sides[1][rows, outputs])
    found["probability"] = (np.exp(logs[0][rows, outputs]), np.exp(logs[1][rows, outputs]))
    right = [(side.argmax(axis=1) == outputs).astype(np.float64) for side in sides]
    found["accuracy"] = (right[0], right[1])
    divergence = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1)
    found["kl"] = (np.zeros(len(outputs)), divergence)
    return found


def _log_sum_exp(logits: Array) -> Array:
    top = logits.max(axis=1, keepdims=True) if logits.size else np.zeros((len(logits), 1))
    total: Array = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return total


@dataclass(frozen=True)
class Change:
    """A metric of a group of n images (a class) before and after; low, high: 95 % interval of the change."""

    group: str
    metric: str
    before: float
    after: float
    low: float
    high: float
    n: int


def group_changes(
    metrics: Mapping[str, tuple[Array, Array]], groups: Mapping[str, Bools], resampling: Resampling
) -> list[Change]:
    """Means over each group of images (N,), intervals by resampling the images' sources; empty groups left out."""
    found = []
    for group, inside in groups.items():
        if not inside.any():
            continue
        for metric, (before, after) in metrics.items():
            low, high = resampling.interval(np.where(inside, after - before, np.nan))
            means = float(before[inside].mean()), float(after[inside].mean())
            found.append(Change(group, metric, *means, low, high, int(inside.sum())))
    return found


def probe_changes(
    learnt: tuple[Mapping[str, Floats], Bools],
    read: Outcome,
    has: Bools,
    concepts: Sequence[str],
    names: Mapping[str, str],
) -> list[Change]:
    """How well each concept is read off each layer before and after: area under the curve of a linear probe.

    Parameters
    ----------
    learnt : pooled activations (n, C) per node of the images a probe learns from, and which concept they have (n, K).
    read : of the images it is tried on.
    has : (N, K) which concept these have.
    concepts : (K,) their names.
    names : node -> layer's name.

    No interval: the change of an area has none that resamples sources image by image.
    """
    found = []
    activations, own = learnt
    for node, layer in names.items():
        probe = fit_probe(activations[node], own)
        before, after = probe.scores(read.pooled[node]), probe.scores(read.pooled_pruned[node])
        for k, concept in enumerate(concepts):
            areas = auc(before[:, k], has[:, k]), auc(after[:, k], has[:, k])
            if not np.isnan(areas[0]):
                metric = f"probe {layer}"
                found.append(Change(concept, metric, *areas, np.nan, np.nan, int(has[:, k].sum())))
    return found


def same_size(
    nodes: Collection[Node], activations: Sequence[Floats | Array], draws: int, seed: int
) -> dict[str, list[frozenset[Node]]]:
    """Sets of as many neurons per layer: the most activated ones, and random ones drawn ``draws`` times.

    activations : per layer (C_l,), only layers with neurons of the set are looked at.
    """
    rng = np.random.default_rng([seed, 17])
    own = {layer: sum(at == layer for at, _ in nodes) for layer in sorted({layer for layer, _ in nodes})}

    def joined(pick: Callable[[int, int], Ints]) -> frozenset[Node]:
        return frozenset((layer, int(c)) for layer, count in own.items() for c in pick(layer, count))

    def top(layer: int, count: int) -> Ints:
        falling = np.negative(np.asarray(activations[layer], np.float64))
        return np.argsort(falling, kind="stable")[:count]

    def random(layer: int, count: int) -> Ints:
        return rng.choice(len(activations[layer]), count, replace=False)

    return {"top": [joined(top)], "random": [joined(random) for _ in range(draws)]}


def mean_metrics(clean: Floats, pruned: Sequence[Floats], outputs: Ints) -> dict[str, tuple[Array, Array]]:
    """:func:`image_metrics` averaged over several cuts (the draws of a control) image by image."""
    every = [image_metrics(clean, one, outputs) for one in pruned]
    return {m: (every[0][m][0], np.mean([one[m][1] for one in every], axis=0)) for m in METRICS}
