"""What CLA found of one scope, as tables of ids and numbers.

Stored edges of a link: for its targets of largest total attribution the sources of largest score, and every pair of
adjacent members of the scope's circuits; only scores above zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.address import canonical, short_id
from atlas.spool import Coded, Values
from ingest.methods.cla import ScopeScores
from ingest.methods.cla_job import ClaParameters, Link
from ingest.methods.scopes import Scope, scope_tables
from ingest.methods.screening import Screen, ScreenScores
from ingest.methods.survey import Subject
from ingest.numerics.cla import Moments
from ingest.numerics.cla_circuit import ClaCircuit

METHOD = "cla"
RAW, CONTRASTIVE = "raw", "contrastive"

Columns = Mapping[str, Values]
Tables = Iterator[tuple[str, Columns]]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ScopeResult:
    """One scope: its scores, contrasts per link (None for a lone scope), and its circuits by variant."""

    scope: Scope
    scores: ScopeScores
    contrasts: tuple[Floats, ...] | None
    circuits: Mapping[str, ClaCircuit]


@dataclass(frozen=True)
class ClaNaming:
    """Ids of what a run writes; ``images`` are those of the store's rows."""

    subject: Subject
    links: Sequence[Link]
    run: str
    images: Sequence[str]

    def neurons(self, layer: int) -> list[str]:
        """Ids of a layer's neurons."""
        for link in self.links:
            for own in (link.source, link.target):
                if own is not None and own.ordinal == layer:
                    return self.subject.neuron_ids(own)
        return []

    def circuit(self, scope: str, variant: str) -> str:
        """Id of a scope's circuit."""
        return short_id("c", self.run, scope, variant)


def result_tables(naming: ClaNaming, result: ScopeResult, parameters: ClaParameters) -> Tables:
    """All tables of one scope."""
    yield from scope_tables([result.scope], naming.images)
    for number, link in enumerate(naming.links):
        table = _edges(naming, link, number, result, parameters)
        if table is not None:
            yield table
    yield from _circuits(naming, result, parameters)


def screen_tables(
    naming: ClaNaming, scope: Scope, screen: Screen, found: ScreenScores, parameters: ClaParameters
) -> Tables:
    """First-order edges of one scope: between layers those of largest size, and what each layer gives its class."""
    for link, own in zip(screen.links, found[0], strict=True):
        if link.target is not None:
            names = naming.neurons(link.target.ordinal)
            ends = (naming.neurons(link.source.ordinal), names)
            table = _screened(own, ends, scope, link.hops, parameters)
            yield "Neuron-SCREENS-Neuron", table
    if scope.output is not None and scope.kind == "class":
        last = screen.layers[-1].ordinal
        for layer, own in zip(screen.layers, found[1], strict=True):
            column = Moments(own.n, own.mean[:, None], own.squares[:, None])
            ends = (naming.neurons(layer.ordinal), [scope.id])
            yield "Neuron-SCREENS-Class", _screened(column, ends, scope, last + 1 - layer.ordinal, parameters)


def _screened(
    own: Moments, ends: tuple[list[str], list[str]], scope: Scope, hops: int, parameters: ClaParameters
) -> Columns:
    scores = own.mean.float().cpu().numpy()
    size = np.abs(scores)
    m, n = stored_pairs(size, parameters.keep, parameters.sources, np.zeros(size.shape, np.bool_))
    totals = size.sum(axis=0, dtype=np.float64)
    return {
        "start": Coded(m, ends[0]),
        "end": Coded(n, ends[1]),
        "score": scores[m, n].astype(np.float64),
        "scope": Coded(np.zeros(len(m), np.int64), [scope.id]),
        "share": scores[m, n] / totals[n],
        "rank_in": ranks(size, 0)[m, n],
        "rank_out": ranks(size, 1)[m, n],
        "hops": np.full(len(m), hops),
        "n": np.full(len(m), own.n),
        "std": own.std.float().cpu().numpy()[m, n].astype(np.float64),
    }


def stored_pairs(
    scores: Floats, keep: int, sources: int, also: Bools, columns: Sequence[int] | None = None
) -> tuple[Ints, Ints]:
    """Sources and targets of the edges to store, by target, then by score; all of score > 0.

    Parameters
    ----------
    scores : (C, D).
    also : (C, D) pairs stored in any case.
    columns : targets there may be; all by default.
    """
    totals = scores.sum(axis=0, dtype=np.float64)
    allowed = np.arange(scores.shape[1]) if columns is None else np.array(columns, np.int64)
    targets = allowed[np.argsort(-totals[allowed], kind="stable")[:keep]]
    wanted = also & (scores > 0)
    best = np.argsort(-scores[:, targets], axis=0, kind="stable")[:sources]
    wanted[best, targets] = scores[best, targets] > 0
    order = np.argsort(-scores, axis=0, kind="stable").T
    n, place = np.nonzero(np.take_along_axis(wanted.T, order, axis=1))
    return order[n, place].astype(np.int64), n.astype(np.int64)


def ranks(scores: Floats, axis: int) -> Ints:
    """(C, D) place of each score along an axis, 1 the largest, ties to the lower index."""
    order = np.argsort(-scores, axis=axis, kind="stable")
    found = np.empty(scores.shape, np.int64)
    count = np.arange(1, scores.shape[axis] + 1)
    np.put_along_axis(found, order, count[:, None] if axis == 0 else count[None], axis=axis)
    return found


def _edges(
    naming: ClaNaming, link: Link, number: int, result: ScopeResult, parameters: ClaParameters
) -> tuple[str, Columns] | None:
    """The table of one link, None without edges."""
    scores, std = result.scores.means[number], result.scores.stds[number]
    classes = naming.subject.class_of_output() if link.target is None else {}
    also, columns = _required(link, result, scores), sorted(classes) if link.target is None else None
    m, n = stored_pairs(scores, parameters.keep, parameters.sources, also, columns)
    if not len(m):
        return None
    totals = scores.sum(axis=0, dtype=np.float64)
    contrast: Values = [None] * len(m)
    if result.contrasts is not None:
        contrast = result.contrasts[number][m, n].astype(np.float64)
    names = naming.neurons(link.target.ordinal) if link.target else _named(classes, scores.shape[1])
    return (
        f"Neuron-ATTRIBUTES_TO-{'Neuron' if link.target else 'Class'}",
        {
            "start": Coded(m, naming.neurons(link.source.ordinal)),
            "end": Coded(n, names),
            "score": scores[m, n].astype(np.float64),
            "contrast": contrast,
            "scope": Coded(np.zeros(len(m), np.int64), [result.scope.id]),
            "share": scores[m, n] / totals[n],
            "rank_in": ranks(scores, 0)[m, n],
            "rank_out": ranks(scores, 1)[m, n],
            "hops": np.full(len(m), link.hops),
            "n": np.full(len(m), result.scores.n),
            "std": std[m, n].astype(np.float64),
        },
    )


def _named(classes: Mapping[int, str], outputs: int) -> list[str]:
    return [classes.get(output, "") for output in range(outputs)]


def _required(link: Link, result: ScopeResult, scores: Floats) -> Bools:
    """(C, D) pairs of circuit members, or of the last layer's members and the scope's own class."""
    also = np.zeros(scores.shape, np.bool_)
    if link.hops != 1:
        return also
    for circuit in result.circuits.values():
        ends = [list(own) for own in circuit.members]
        if link.target is not None:
            also[np.ix_(ends[link.source.ordinal], ends[link.target.ordinal])] = True
        elif result.scope.output is not None:
            also[ends[-1], result.scope.output] = True
    return also


def _circuits(naming: ClaNaming, result: ScopeResult, parameters: ClaParameters) -> Tables:
    scope, found = result.scope, result.circuits
    ids = {variant: naming.circuit(scope.id, variant) for variant in found}
    yield (
        "Circuit",
        {
            "id": list(ids.values()),
            "method": [METHOD] * len(ids),
            "target": [scope.id] * len(ids),
            "size": [circuit.size for circuit in found.values()],
            "edges": [_count(naming, result, circuit) for circuit in found.values()],
            "layers": [sum(map(bool, circuit.members)) for circuit in found.values()],
            "variant": list(found),
            "parameters": [_parameters(v, circuit, parameters) for v, circuit in found.items()],
        },
    )
    yield "Run-WROTE-Circuit", {"start": [naming.run] * len(ids), "end": list(ids.values())}
    label = "Class" if scope.kind == "class" else "ImageSet"
    yield f"Circuit-EXPLAINS-{label}", {"start": list(ids.values()), "end": [scope.id] * len(ids)}
    for variant, circuit in found.items():
        if circuit.size:
            yield "Circuit-INCLUDES-Neuron", _members(naming, ids[variant], circuit)


def _count(naming: ClaNaming, result: ScopeResult, circuit: ClaCircuit) -> int:
    """Edges of a circuit: pairs of adjacent members whose score is above zero."""
    count = 0
    for number, link in enumerate(naming.links):
        if link.hops == 1 and link.target is not None:
            ends = [list(circuit.members[layer.ordinal]) for layer in (link.source, link.target)]
            count += int((result.scores.means[number][np.ix_(*ends)] > 0).sum())
    return count


def _parameters(variant: str, circuit: ClaCircuit, parameters: ClaParameters) -> str:
    return canonical(
        {
            "variant": variant,
            "k": parameters.k,
            "k_share": parameters.k_share,
            "total": circuit.total,
            "sweeps": circuit.sweeps,
            "stable": circuit.stable,
        }
    )


def _members(naming: ClaNaming, identity: str, circuit: ClaCircuit) -> Columns:
    ids: list[str] = []
    places: list[int] = []
    for layer, (own, scores) in enumerate(zip(circuit.members, circuit.scores, strict=True)):
        names = naming.neurons(layer)
        ids += [names[channel] for channel in own]
        order = np.argsort(-scores, kind="stable")
        places += (np.argsort(order, kind="stable") + 1).tolist()
    return {
        "start": [identity] * len(ids),
        "end": ids,
        "role": ["member"] * len(ids),
        "score": np.concatenate(circuit.scores),
        "rank": places,
    }
