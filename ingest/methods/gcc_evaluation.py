"""Does a circuit matter? Ablations against controls, and edges cut in order, on many queries.

A circuit's effect is the drop of the target logit (the image's own class; the predicted one where that is unknown)
when its neurons are zeroed at all their blocks in one forward. Controls take the same number of neurons per layer.
Circuits that are merged into another are not counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec
from ingest.methods.ablation import ablated_logits, controls
from ingest.methods.chain import chained_logits, make_chain
from ingest.methods.edge_cuts import cut_logits
from ingest.methods.gcc import QueryCircuits
from ingest.methods.measures import Measure, Resampling
from ingest.methods.pairs import Pair, make_pairs
from ingest.numerics.traversal import Node, union
from ingest.segments import Trace

Array = NDArray[np.float64]
KINDS = ("circuit", "random", "matched", "top", "complement")
SCOPES = ("union", "circuit")
CUTS = (5, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Judged:
    """One query with its exact circuits: the image (1, 3, H, W) and the output looked at."""

    result: QueryCircuits
    x: Tensor
    output: int

    def scopes(self, scope: str) -> list[set[Node]]:
        """Node sets to cut: the union of all circuits, or each circuit of its own."""
        own = [circuit for circuit in self.result.circuits if circuit.merged_into is None]
        if not own:
            return []
        return [union(own)] if scope == "union" else [circuit.members() for circuit in own]


@dataclass(frozen=True)
class Drops:
    """Mean over the cuts of one scope of a query: drop of the logit per kind, of which the share of neurons cut."""

    clean: float
    by_kind: dict[str, float]
    neurons: float


AllDrops = Mapping[tuple[str, bool], Sequence[Drops | None]]
"""(scope, whether the last layer is cut too) -> per query its drops, None where it has no circuit."""


def measure_drops(
    trace: Trace, layers: Sequence[LayerSpec], judged: Sequence[Judged], draws: int = 2, seed: int = 0
) -> AllDrops:
    """Ablate every query's circuits and their controls; along the chain of layers where they are one.

    For each scope (``union`` of a query's circuits, each ``circuit`` alone, averaged within the query), with and
    without the last layer. draws : random and complement are drawn so often.
    """
    cutter = Cutter(trace, layers)
    return {
        (scope, last): [
            _drops(cutter, layers, one, (scope, last), (draws, (seed, row))) for row, one in enumerate(judged)
        ]
        for scope in SCOPES
        for last in (True, False)
    }


def ablation_measures(drops: AllDrops, judged: Sequence[Judged], resampling: Resampling) -> list[Measure]:
    """Figures about ablations.

    For each scope, with and without the last layer: ``ablation_drop`` per kind, ``ablation_share_cut`` (share of all
    neurons), ``ablation_over_random`` (ratio of mean drops), ``ablation_minus_matched`` and ``ablation_minus_top``
    (mean paired differences). Also the clean target logit, and the size of circuits: edges, layers.
    """
    logits = np.array([float(one.result.logits[one.output]) for one in judged])
    measures = [resampling.mean("clean_logit", logits, {})]
    for (scope, last), found in drops.items():
        measures += _compare(found, resampling, {"scope": scope, "last_layer": last})
    return measures + sizes(judged, resampling)


def sizes(judged: Sequence[Judged], resampling: Resampling) -> list[Measure]:
    """Median edges and layers over a query's own circuits, and edges of the query, as means over queries."""
    own = [[c for c in one.result.circuits if c.merged_into is None] for one in judged]

    def middle(values: Sequence[int]) -> float:
        return float(np.median(values)) if values else float("nan")

    return [
        resampling.mean("circuits_per_query", np.array([float(len(cs)) for cs in own]), {}),
        resampling.mean("circuit_edges", np.array([middle([len(c.edges) for c in cs]) for cs in own]), {}),
        resampling.mean(
            "circuit_layers",
            np.array([middle([len(np.unique(c.nodes[:, 0])) for c in cs]) for cs in own]),
            {},
        ),
        resampling.mean("query_edges", np.array([float(len(one.result.edges)) for one in judged]), {}),
    ]


class Cutter:
    """Logits of one image under many cuts, by the cheaper of two equal ways."""

    def __init__(self, trace: Trace, layers: Sequence[LayerSpec]) -> None:
        self._trace = trace
        self._layers = layers
        self._chain = make_chain(trace, layers, make_pairs(trace, layers))

    def logits(self, x: Tensor, cuts: Sequence[Collection[Node]]) -> NDArray[np.float32]:
        """(R, outputs) for x (1, 3, H, W) and R cuts."""
        if self._chain is None:
            return ablated_logits(self._trace, self._layers, x, [0] * len(cuts), cuts)
        clean = self._trace.values(x, [layer.node for layer in self._layers])
        return chained_logits(self._chain, clean, cuts)


def _drops(
    cutter: Cutter,
    layers: Sequence[LayerSpec],
    one: Judged,
    which: tuple[str, bool],
    chance: tuple[int, tuple[int, ...]],
) -> Drops | None:
    scope, last = which
    draws, seed = chance
    cuts: list[tuple[str, Collection[Node]]] = []
    sizes = []
    for number, nodes in enumerate(one.scopes(scope)):
        kept = {node for node in nodes if last or node[0] < len(layers) - 1}
        sizes.append(len(kept))
        for control in controls(kept, one.result.query.activations, draws, (*seed, number)):
            cuts.append((control.kind, control.nodes))
    if not cuts:
        return None
    logits = cutter.logits(one.x, [nodes for _, nodes in cuts])
    clean = float(one.result.logits[one.output])
    lost = clean - logits[:, one.output].astype(np.float64)
    by_kind = {
        kind: float(np.mean([v for (k, _), v in zip(cuts, lost, strict=True) if k == kind])) for kind in KINDS
    }
    return Drops(clean, by_kind, float(np.mean(sizes)) / sum(layer.channels for layer in layers))


def _compare(
    drops: Sequence[Drops | None], resampling: Resampling, settings: Mapping[str, object]
) -> Iterator[Measure]:
    def values(kind: str) -> Array:
        return np.array([np.nan if d is None else d.by_kind[kind] for d in drops])

    circuit = values("circuit")
    for kind in KINDS:
        yield resampling.mean("ablation_drop", values(kind), {**settings, "kind": kind})
    shares = np.array([np.nan if d is None else d.neurons for d in drops])
    yield resampling.mean("ablation_share_cut", shares, settings)
    yield resampling.ratio("ablation_over_random", circuit, values("random"), settings)
    for kind in ("matched", "top"):
        yield resampling.mean(f"ablation_minus_{kind}", circuit - values(kind), settings)


def edge_measures(
    trace: Trace,
    pairs: Sequence[Pair | None],
    judged: Sequence[Judged],
    resampling: Resampling,
    chunk_bytes: int,
    seed: int = 0,
) -> list[Measure]:
    """Deletion and insertion curves of edges.

    ``edge_deletion``: the k first edges cut; ``edge_insertion``: all cut but the k first. Orders: by S_NS, at
    random, for deletion also by S_SF, and ``outside``: k random pairs of the same layers that are no edges. A
    curve's value at k is the share of queries still given their class; ``…_logit`` is the mean target logit. Where
    a query has fewer than k edges, all of them count.
    """
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for row, one in enumerate(judged):
        rng = np.random.default_rng([seed, row])
        plans = list(_plans(one, pairs, rng))
        logits = cut_logits(trace, pairs, one.x, [edges for _, edges in plans], chunk_bytes)
        for (key, _), values in zip(plans, logits, strict=True):
            right = float(int(np.argmax(values)) == one.output)
            found.setdefault(key, []).append((right, float(values[one.output])))
    measures = []
    for (curve, order, k), values in found.items():
        settings = {"order": order, "k": k}
        right, logit = np.array(values).T
        measures.append(resampling.mean(f"edge_{curve}", right, settings))
        measures.append(resampling.mean(f"edge_{curve}_logit", logit, settings))
    return measures


def _plans(
    one: Judged, pairs: Sequence[Pair | None], rng: np.random.Generator
) -> Iterator[tuple[tuple[str, str, int], set[tuple[int, int, int]]]]:
    e = one.result.edges
    edges = list(zip(e.layer.tolist(), e.source.tolist(), e.target.tolist(), strict=True))
    orders = {
        "sensitivity": np.argsort(-e.sensitivity, kind="stable"),
        "overlap": np.argsort(-e.overlap, kind="stable"),
        "random": rng.permutation(len(edges)),
    }
    for name, order in orders.items():
        ranked = [edges[i] for i in order.tolist()]
        for k in CUTS:
            yield ("deletion", name, k), set(ranked[:k])
            if name != "overlap":
                yield ("insertion", name, k), set(ranked[k:])
    other = _outside(edges, pairs, rng)
    for k in CUTS:
        yield ("deletion", "outside", k), set(other[:k])


def _outside(
    edges: Sequence[tuple[int, int, int]], pairs: Sequence[Pair | None], rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """As many pairs that are no edges, in the same layers, in the random order of the edges they stand for."""
    taken, drawn = set(edges), []
    count = Counter(layer for layer, _, _ in edges)
    for i in rng.permutation(len(edges)).tolist():
        layer = edges[i][0]
        pair = pairs[layer]
        if pair is None or 2 * count[layer] > pair.source.channels * pair.target.channels:
            continue
        edge = edges[i]
        while edge in taken:
            edge = (layer, int(rng.integers(pair.source.channels)), int(rng.integers(pair.target.channels)))
        taken.add(edge)
        drawn.append(edge)
    return drawn
