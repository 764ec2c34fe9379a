"""Find an attack's circuit on one half of the images, prune it, and try the attack again on the other half.

Notation: L layers, C_l channels; A⁺, A⁻ CLA scores averaged over attacked and clean images; D = max(0, A⁺ − A⁻). The
chain of D between adjacent layers is closed by D from the last layer to the logits of the classes attacked for, which
are members of the circuit and no part of what is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.experiments.attack import Case, Pictures, Progress
from ingest.methods.circuit_pruning import shares
from ingest.methods.cla import chain_scores, scope_scores
from ingest.methods.cla_job import make_links
from ingest.methods.effects import Cut, Outcome, Surgeon, same_size
from ingest.methods.measures import Measure, Resampling
from ingest.numerics.cla_circuit import contrasted, find_circuit, layer_sizes
from ingest.numerics.traversal import Node

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
NONE, CIRCUIT = "none", "circuit"


@dataclass(frozen=True)
class Defence:
    """The circuit found, the share of each layer's channels it was given, and the figures on the second half.

    tried : share of channels -> attack success on the first half with that circuit pruned.
    edges, channels : share of all edges, and largest share of a layer's channels, that is touched.
    measures : attack_success, true_accuracy (attacked images given their true class) and clean_accuracy;
        ``settings["cut"]`` is none, circuit, top or random.
    """

    nodes: frozenset[Node]
    size: float
    tried: Mapping[float, float]
    edges: float
    channels: float
    measures: tuple[Measure, ...]

    def value(self, metric: str, cut: str) -> float:
        """One figure."""
        return next(m.value for m in self.measures if (m.metric, m.settings["cut"]) == (metric, cut))


def defend(case: Case, progress: Progress) -> Defence:
    """Run the experiment."""
    spec = case.spec
    chain = attack_chain(case, progress)
    widths = [layer.channels for layer in case.layers]
    found = {size: frozenset(_circuit(chain, layer_sizes(widths, 1, size))) for size in sorted(spec.sizes)}
    first = case.attacked.rows(judging=False)
    cuts = [Cut(nodes, spec.kind) for nodes in found.values()]
    outcome = _run(case, case.attacked, first, cuts, range(len(case.layers)), progress)
    tried = {
        size: float(_hits(logits, case.attacked.target[outcome.rows]).mean())
        for size, logits in zip(found, outcome.pruned, strict=True)
    }
    size = next((size for size, success in tried.items() if success <= spec.goal), max(tried))
    activations = [outcome.pooled[layer.node].mean(axis=0) for layer in case.layers]
    sets = {CIRCUIT: [found[size]], **same_size(found[size], activations, spec.draws, spec.seed)}
    measures = _measured(case, sets, progress)
    return Defence(found[size], size, tried, *shares(found[size], case.layers), tuple(measures))


def attack_chain(case: Case, progress: Progress) -> list[Array]:
    """D between adjacent layers, and from the last one to the classes attacked for."""
    spec = case.spec
    links = make_links(case.model.trace, case.layers)
    means = {}
    for name, (side, rows) in _scored(case).items():
        batches = (x for _, x in case.batches(side, rows.tolist()))

        def done(count: int, name: str = name, total: int = len(rows)) -> None:
            progress(f"scores, {name}", count, total)

        scores = scope_scores(case.model.trace, links, batches, spec.chunk_bytes, done)
        means[name] = [mean.astype(np.float64) for mean in scores.means]
    contrast = [contrasted(a, a + b, 2) for a, b in zip(means["attacked"], means["clean"], strict=True)]
    chain = chain_scores(links, contrast, len(case.layers))
    aims = np.unique(case.attacked.target)
    for link, matrix in zip(links, contrast, strict=True):
        if link.target is None and link.source is case.layers[-1]:
            chain.append(matrix[:, aims])
    return chain


def _scored(case: Case) -> dict[str, tuple[Pictures, Ints]]:
    """Images of the first half that scores are averaged over: attacked ones, and the clean ones they were made of where
    these have their paths, so that the attack is all they differ in.
    """
    attacked = _spread(case.attacked.rows(judging=False), case.spec.scored)
    paths = {case.attacked.images.images[row].path for row in attacked}
    first = case.clean.rows(judging=False)
    same = [row for row in first if case.clean.images.images[row].path in paths]
    clean = np.array(same, np.int64) if len(same) == len(attacked) else _spread(first, case.spec.scored)
    return {"attacked": (case.attacked, attacked), "clean": (case.clean, clean)}


def _circuit(chain: Sequence[Array], sizes: Sequence[int]) -> Iterator[Node]:
    closed = len(chain) == len(sizes)
    found = find_circuit(chain, [*sizes, chain[-1].shape[1]] if closed else sizes)
    for layer, members in enumerate(found.members[: len(sizes)]):
        for channel in members:
            yield layer, int(channel)


def _run(
    case: Case, side: Pictures, rows: Ints, cuts: Sequence[Cut], read: Iterable[int], progress: Progress
) -> Outcome:
    return Surgeon(case.model.trace, case.layers).outcome(
        case.batches(side, rows.tolist()), cuts, tuple(read), lambda done: progress("cuts", done, len(rows))
    )


def _measured(
    case: Case, sets: Mapping[str, Sequence[frozenset[Node]]], progress: Progress
) -> Iterator[Measure]:
    """The three figures under no cut and under each set, random ones averaged image by image."""
    names = [(name, nodes) for name, own in sets.items() for nodes in own]
    cuts = [Cut(nodes, case.spec.kind) for _, nodes in names]
    sides = {"attacked": case.attacked, "clean": case.clean}
    for kind, side in sides.items():
        outcome = _run(case, side, side.rows(judging=True), cuts, (), progress)
        resampling = Resampling([side.sources[row] for row in outcome.rows], case.spec.seed)
        label, target = side.label[outcome.rows], side.target[outcome.rows]
        wanted = (
            {"attack_success": target, "true_accuracy": label}
            if kind == "attacked"
            else {"clean_accuracy": label}
        )
        logits = {NONE: [outcome.clean]}
        for (name, _), pruned in zip(names, outcome.pruned, strict=True):
            logits.setdefault(name, []).append(pruned)
        for metric, outputs in wanted.items():
            for cut, own in logits.items():
                hits = np.mean([_hits(one, outputs) for one in own], axis=0)
                yield resampling.mean(metric, hits, {"cut": cut, "draws": len(own)})


def _hits(logits: NDArray[np.float32], outputs: Ints) -> Array:
    found: Array = (logits.argmax(axis=1) == outputs).astype(np.float64)
    return found


def _spread(rows: Ints, most: int) -> Ints:
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)
    found: Ints = rows[np.unique(places)]
    return found


def defence_rows(defence: Defence) -> list[dict[str, Any]]:
    """The figures as rows: cut, metric, value, low, high, images, and what each cut touches."""
    touched = {NONE: (0.0, 0.0)}
    return [
        {
            "cut": measure.settings["cut"],
            "metric": measure.metric,
            "value": measure.value,
            "low": None if np.isnan(measure.low) else measure.low,
            "high": None if np.isnan(measure.high) else measure.high,
            "images": measure.n,
            "edges": touched.get(measure.settings["cut"], (defence.edges, defence.channels))[0],
            "channels": touched.get(measure.settings["cut"], (defence.edges, defence.channels))[1],
        }
        for measure in defence.measures
    ]
