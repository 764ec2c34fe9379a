"""Does a concept's circuit carry the classes that contain the concept, and them alone?

Notation: K classes, some of which contain a concept c (a digit, a base class of CatFish); A_c CLA scores averaged over
list images of classes that contain c; contrast max(0, A_c − mean of the other concepts' A); L layers.

The chain of contrasts gives the concept's circuit. It is cut in judging images of all classes, and what that does to
images of classes that contain c is set beside what it does to the others: the divergence KL(clean ‖ cut), the loss of
accuracy, and how well the divergence tells the two kinds of image apart (AUC), for the circuit and for random ones of
the same size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from ingest.job import Prepared
from ingest.methods.cla import chain_scores, scope_scores
from ingest.methods.cla_job import make_links
from ingest.methods.effects import Cut, Outcome, Surgeon, image_metrics
from ingest.methods.measures import Measure, Resampling
from ingest.numerics.cla_circuit import contrasted, find_circuit, layer_sizes, random_circuit
from ingest.numerics.probe import auc
from ingest.numerics.traversal import Node

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]
_BATCH = 32


@dataclass(frozen=True)
class ConceptSpec:
    """What is asked.

    concepts : name -> names of the classes that contain it.
    k : neurons of a circuit per layer.      share : if positive, the share of a layer's neurons in place of k.
    scored : list images a concept's scores are averaged over.      images : judging images the cuts are made on.
    kind : how a circuit is cut.      draws : random circuits per concept.
    """

    concepts: Mapping[str, tuple[str, ...]]
    k: int = 8
    share: float = 0.0
    scored: int = 20
    images: int = 400
    kind: str = "zero"
    draws: int = 3
    chunk_bytes: int = 256 * 2**20


def read_concepts(text: str, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Concepts of classes.

    Parameters
    ----------
    text : a JSON file {concept: [class, …]}, or one with such an object under ``concepts`` (as `atlas catfish` writes);
        or a separator: the parts of the classes' names, ``4-5`` by ``-``.

    Raises DataError if the file has another form or names no class that is there, or nothing is shared by classes.
    """
    if Path(text).is_file():
        try:
            told = json.loads(Path(text).read_text(encoding="utf-8"))
            told = told.get("concepts", told)
            named = {str(c): tuple(str(k) for k in own) for c, own in told.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(
                "not a file of concepts",
                where=text,
                expected="JSON {concept: [class, …]}",
                got=type(error).__name__,
            ) from error
    else:
        parts = {name: name.split(text) for name in classes} if text else {}
        names = sorted({part for own in parts.values() for part in own if part})
        named = {c: tuple(name for name in classes if c in parts[name]) for c in names}
    found = {c: tuple(k for k in own if k in classes) for c, own in named.items()}
    found = {c: own for c, own in found.items() if own and len(own) < len(classes)}
    if len(found) < 2:
        raise DataError(
            "too few concepts",
            where=text,
            expected="two that some classes contain and others do not",
            got=len(found),
        )
    return found


def concept_effects(prepared: Prepared, spec: ConceptSpec, progress: Progress) -> list[Measure]:
    """Measure every concept; ``settings`` name concept, cut (circuit or random) and, but for the AUC, the images.

    Raises DataError if a concept has no list image, or no judging image.
    """
    labels = np.array([-1 if label is None else label for label in prepared.subject.labels])
    has = {
        concept: np.isin(labels, [prepared.subject.classes.index(name) for name in own])
        for concept, own in spec.concepts.items()
    }
    circuits = _circuits(prepared, spec, has, progress)
    judging = prepared.subject.judging & (labels >= 0)
    rows = _spread(np.flatnonzero(judging), spec.images)
    if not len(rows):
        raise DataError("no judging image with a class", next_step="ingest with a judging half")
    cuts = [(c, name, nodes) for c, own in circuits.items() for name, nodes in own]
    surgeon = Surgeon(prepared.model.trace, prepared.layers)
    outcome = surgeon.outcome(
        prepared.batches(rows.tolist(), _BATCH),
        [Cut(nodes, spec.kind) for _, _, nodes in cuts],
        (),
        lambda done: progress("cuts", done, len(rows)),
    )
    resampling = Resampling([prepared.groups[row] for row in outcome.rows], prepared.spec.seed)
    outputs = np.array(prepared.subject.outputs)[labels[outcome.rows]]
    return list(
        _measures(cuts, outcome, outputs, {c: own[outcome.rows] for c, own in has.items()}, resampling)
    )


def _circuits(
    prepared: Prepared, spec: ConceptSpec, has: Mapping[str, Bools], progress: Progress
) -> dict[str, list[tuple[str, frozenset[Node]]]]:
    """Per concept its circuit, and random ones of the same size."""
    links = make_links(prepared.model.trace, prepared.layers)
    means: dict[str, list[Array]] = {}
    for done, (concept, own) in enumerate(has.items()):
        rows = _spread(np.flatnonzero(own & prepared.subject.lists), spec.scored)
        if not len(rows):
            raise DataError("no list image of a concept", where=concept)
        scores = scope_scores(
            prepared.model.trace,
            links,
            (x for _, x in prepared.batches(rows.tolist(), _BATCH)),
            spec.chunk_bytes,
        )
        means[concept] = [mean.astype(np.float64) for mean in scores.means]
        progress("scores", done + 1, len(has))
    total = [np.sum([own[i] for own in means.values()], axis=0) for i in range(len(links))]
    widths = [layer.channels for layer in prepared.layers]
    sizes = layer_sizes(widths, spec.k, spec.share)
    rng = np.random.default_rng([prepared.spec.seed, 23])
    found = {}
    for concept, matrices in means.items():
        contrast = [contrasted(m, every, len(means)) for m, every in zip(matrices, total, strict=True)]
        circuit = find_circuit(chain_scores(links, contrast, len(widths)), sizes).members
        named = [("circuit", circuit)]
        named += [("random", random_circuit(widths, sizes, rng)) for _ in range(spec.draws)]
        found[concept] = [
            (name, frozenset((layer, int(c)) for layer, members in enumerate(one) for c in members))
            for name, one in named
        ]
    return found


def _measures(
    cuts: Sequence[tuple[str, str, frozenset[Node]]],
    outcome: Outcome,
    outputs: NDArray[np.int64],
    has: Mapping[str, Bools],
    resampling: Resampling,
) -> Iterator[Measure]:
    every: dict[tuple[str, str], list[dict[str, Array]]] = {}
    for (concept, name, _), pruned in zip(cuts, outcome.pruned, strict=True):
        both = image_metrics(outcome.clean, pruned, outputs)
        lost = {"kl": both["kl"][1], "accuracy_lost": both["accuracy"][0] - both["accuracy"][1]}
        every.setdefault((concept, name), []).append(lost)
    for (concept, name), draws in every.items():
        inside = has[concept]
        mean = {metric: np.mean([draw[metric] for draw in draws], axis=0) for metric in draws[0]}
        for metric, values in mean.items():
            for images, mask in (("containing", inside), ("others", ~inside)):
                settings = {"concept": concept, "cut": name, "images": images}
                yield resampling.mean(f"concept_{metric}", np.where(mask, values, np.nan), settings)
        area = float(np.mean([auc(draw["kl"], inside) for draw in draws]))
        settings = {"concept": concept, "cut": name}
        yield Measure("concept_kl_auc", area, float("nan"), float("nan"), len(inside), settings)


def effect_rows(measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """One row per concept and cut."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for m in measures:
        key = (str(m.settings["concept"]), str(m.settings["cut"]))
        row = found.setdefault(key, {"concept": key[0], "cut": key[1]})
        own = "_".join(filter(None, (m.metric.removeprefix("concept_"), str(m.settings.get("images", "")))))
        row[own] = m.value
    return list(found.values())


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)
    found: NDArray[np.int64] = rows[np.unique(places)]
    return found
