"""`atlas ablate`: what cutting a circuit does to classes, beside other neurons, as figures of a small run of its own.

Images are the judging ones where there are any. A probe learns from the activations of the list images that ingestion
kept, and is tried on the images of the question, clean and cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.address import digest_of, parse, short_id
from atlas.errors import DataError
from atlas.spool import SpoolWriter
from ingest.job import Prepared
from ingest.methods.circuit_pruning import EDGES, ZERO
from ingest.methods.edge_cuts import Edge
from ingest.methods.effect_tables import OWN, Effect, effect_tables
from ingest.methods.effects import (
    Change,
    Cut,
    Outcome,
    Surgeon,
    group_changes,
    mean_metrics,
    probe_changes,
    same_size,
)
from ingest.methods.measures import Resampling
from ingest.numerics.traversal import Node
from ingest.plan import Folders, record_of, spool_folder
from ingest.store import ActivationStore

VERSION = "1"
_BATCH = 32
Progress = Callable[[str, int, int], None]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """What is cut, and where it is looked at.

    neurons : ids of the circuit's neurons.
    edges : ids of source and target of its edges; empty if it has none of its own.
    kind : zero, circuit or edges. ``edges`` cuts the circuit's own edges, if it has none all paths between its first
        two layers.
    circuit : id of the stored circuit, None for neurons of a query.
    images : rows of the store, or None for those of ``classes``.
    classes : ids of the classes looked at; all if empty.
    predicted : id of a class -> change of its logit that the circuit's scores predict.
    most : images at most.      draws : random controls.
    """

    neurons: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    kind: str = ZERO
    circuit: str | None = None
    images: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    predicted: Mapping[str, float] = field(default_factory=dict)
    most: int = 500
    draws: int = 10
    seed: int = 0


def ablate(
    prepared: Prepared, store: ActivationStore, question: Question, progress: Progress
) -> list[Effect]:
    """Measure a question.

    Raises DataError without neurons, without labelled images of the classes, or for a neuron that is none.
    """
    nodes, edges = _nodes(prepared, question.neurons), _edges(prepared, question)
    rows, outputs = _images(prepared, question)
    surgeon = Surgeon(
        prepared.model.trace, prepared.layers, store.plan.pool_share, prepared.spec.gcc.chunk_bytes
    )
    cuts = _cuts(prepared, store, question, nodes, edges)
    read = _read(prepared, nodes)
    batches = prepared.batches(rows, _BATCH)
    every = [cut for _, own in cuts for cut in own]
    outcome = surgeon.outcome(batches, every, read, lambda done: progress("cuts", done, len(rows)))
    return list(_effects(prepared, store, question, outcome, outputs, [(n, len(own)) for n, own in cuts]))


def _nodes(prepared: Prepared, neurons: Sequence[str]) -> frozenset[Node]:
    if not neurons:
        raise DataError("no neuron to cut", next_step="name a circuit, or a query that returns neurons")
    ordinals = {layer.name: n for n, layer in enumerate(prepared.layers)}
    found = set()
    for text in neurons:
        address = parse(text)
        if (
            address.layer not in ordinals
            or address.channel is None
            or str(address.root) != str(prepared.subject.root)
        ):
            raise DataError(
                "not a neuron of this model", where=text, expected=f"{prepared.subject.root}/LAYER/CHANNEL"
            )
        found.add((ordinals[address.layer], int(address.channel)))
    return frozenset(found)


def _edges(prepared: Prepared, question: Question) -> frozenset[Edge] | None:
    """The circuit's own edges, where these are what is cut."""
    if question.kind != EDGES or not question.edges:
        return None
    ids = list(dict.fromkeys(end for edge in question.edges for end in edge))
    ordinals = {layer.name: n for n, layer in enumerate(prepared.layers)}
    known = {text: (ordinals[parse(text).layer], int(parse(text).channel or 0)) for text in ids}
    found = set()
    for source, target in question.edges:
        (at, a), (behind, b) = known[source], known[target]
        if behind != at + 1:
            raise DataError(
                "an edge that skips layers cannot be cut by itself",
                where=f"{source} → {target}",
                next_step="use --kind circuit",
            )
        found.add((at, a, b))
    return frozenset(found)


def _images(prepared: Prepared, question: Question) -> tuple[list[int], Ints]:
    """Rows run, and the model output of each one's class.

    Where classes are named, as many images of others are run beside theirs: a probe has to tell them apart.
    """
    subject = prepared.subject
    ids = subject.class_ids()
    unknown = set(question.classes) - set(ids)
    if unknown:
        raise DataError("no such class in this data set", where=min(unknown))
    known = [row for row, label in enumerate(subject.labels) if label is not None]
    if question.images is not None:
        rows = [row for row in question.images if subject.labels[row] is not None]
    else:
        used = [row for row in known if subject.judging[row]] if subject.judging.any() else known
        names = {row: ids[subject.labels[row] or 0] for row in used}
        own = [row for row in used if not question.classes or names[row] in question.classes]
        rows = _spread(own, question.most)
        if question.classes and rows:
            rows += _spread([row for row in used if names[row] not in question.classes], len(rows))
    if not rows:
        raise DataError(
            "no labelled image to measure on",
            where=", ".join(question.classes) or "all classes",
            next_step="judging images are used where there are any; check --judge-share",
        )
    return rows, np.array([subject.outputs[subject.labels[row] or 0] for row in rows], np.int64)


def _spread(rows: list[int], most: int) -> list[int]:
    """At most so many of the rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return [rows[i] for i in dict.fromkeys(places.tolist())]


def _cuts(
    prepared: Prepared,
    store: ActivationStore,
    question: Question,
    nodes: frozenset[Node],
    edges: frozenset[Edge] | None,
) -> list[tuple[str, list[Cut]]]:
    """The circuit first, then its controls: of the same number per layer, or of edges in the same places."""
    if edges is not None:
        rng = np.random.default_rng([question.seed, 19])
        layers = prepared.layers
        random = [
            frozenset(
                (at, int(rng.integers(layers[at].channels)), int(rng.integers(layers[at + 1].channels)))
                for at, _, _ in sorted(edges)
            )
            for _ in range(question.draws)
        ]
        return [(OWN, [Cut(edges=edges)]), ("random", [Cut(edges=e) for e in random])]
    lists = prepared.subject.lists
    labels = np.array([-1 if label is None else label for label in prepared.subject.labels])
    ids = prepared.subject.class_ids()
    wanted = [k for k, name in enumerate(ids) if name in question.classes]
    rows = np.flatnonzero(lists & np.isin(labels, wanted)) if wanted else np.flatnonzero(lists)
    if not len(rows):
        rows = np.arange(len(labels))
    used = {layer for layer, _ in nodes}
    activations = [
        store.pooled(layer.name)[rows].mean(axis=0) if n in used else np.empty(0)
        for n, layer in enumerate(prepared.layers)
    ]
    others = same_size(nodes, activations, question.draws, question.seed)
    named = {OWN: [nodes], **others}
    return [(name, [Cut(own, question.kind) for own in sets]) for name, sets in named.items() if sets]


def _read(prepared: Prepared, nodes: frozenset[Node]) -> list[int]:
    """Layers behind the first one that is cut: pruning leaves the first as it is, and so does zeroing what it reads."""
    first = min(layer for layer, _ in nodes)
    return list(range(first + 1, len(prepared.layers)))


def _effects(
    prepared: Prepared,
    store: ActivationStore,
    question: Question,
    outcome: Outcome,
    outputs: Ints,
    controls: Sequence[tuple[str, int]],
) -> Iterator[Effect]:
    names = prepared.subject.class_of_output()
    groups = {
        names[int(output)]: outputs == output
        for output in dict.fromkeys(outputs.tolist())
        if not question.classes or names[int(output)] in question.classes
    }
    resampling = Resampling([prepared.groups[row] for row in outcome.rows], question.seed)
    start = 0
    for control, count in controls:
        pruned = outcome.pruned[start : start + count]
        start += count
        metrics = mean_metrics(outcome.clean, pruned, outputs)
        for change in group_changes(metrics, groups, resampling):
            told = (
                question.predicted.get(change.group) if control == OWN and change.metric == "logit" else None
            )
            yield Effect(control, change, told)
    for change in _probes(prepared, store, question, outcome):
        yield Effect(OWN, change, None)


def _probes(prepared: Prepared, store: ActivationStore, question: Question, outcome: Outcome) -> list[Change]:
    """Classes read off the layers behind; none where no list image is labelled."""
    subject = prepared.subject
    labels = np.array([-1 if label is None else label for label in subject.labels])
    rows = np.flatnonzero(subject.lists & (labels >= 0))
    classes = list(range(len(subject.classes)))
    if len(rows) < 2 or not outcome.pooled:
        return []
    has = labels[:, None] == np.array(classes)[None, :]
    by_node = {layer.node: layer.name for layer in prepared.layers if layer.node in outcome.pooled}
    learnt = {node: np.asarray(store.pooled(name)[rows]) for node, name in by_node.items()}
    ids = subject.class_ids()
    changes = probe_changes((learnt, has[rows]), outcome, has[outcome.rows], ids, by_node)
    return [c for c in changes if not question.classes or c.group in question.classes]


def spool_effects(
    prepared: Prepared,
    question: Question,
    effects: Sequence[Effect],
    requires: Sequence[str],
    folders: Folders,
) -> Path:
    """Spool the figures as a run of their own.

    requires : ids of the runs it builds on, those of the circuit.
    """
    cut = question.circuit or short_id("s", digest_of(sorted(question.neurons)))
    fields = {
        name: value
        for name, value in asdict(question).items()
        if name not in ("edges", "neurons", "predicted")
    }
    parameters = {
        **fields,
        "neurons": digest_of(sorted(question.neurons)),
        "edges": digest_of(sorted(f"{a}\t{b}" for a, b in question.edges)),
        "base": list(requires),
    }
    record = record_of(prepared, f"ablate:{cut}:{question.kind}", VERSION, parameters, tuple(requires))
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in effect_tables(
            effects, question.kind, question.circuit, record.id, question.seed
        ):
            writer.write(name, columns)
        return writer.finish({"figures": len(effects)})
