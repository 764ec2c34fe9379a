"""`atlas evaluate cla`: do circuits of related classes overlap, do they hold still, and what does pruning them do?

Circuits come from list images, prunings are judged on judging images. The figures are a run of their own, which builds
on the CLA run they are about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.errors import DataError
from atlas.spool import SpoolWriter
from ingest.methods.cla_curves import Judged, effect_measures, partners, stability_measures
from ingest.methods.cla_overlap import (
    RANDOM,
    Circuits,
    circuits_of,
    overlap_measures,
    parts_of,
    random_groups,
    random_measures,
    random_members,
    relation,
    sweep_of_k,
    traced_circuits,
    weight_circuits,
)
from ingest.methods.cla_stage import ClaStage
from ingest.methods.measures import Measure, Resampling, measure_tables
from ingest.methods.scopes import Scope
from ingest.methods.screening_agreement import EDGES, agreement, agreement_measures
from ingest.methods.stage import Progress
from ingest.numerics.cla_circuit import Members
from ingest.plan import Folders, record_of, spool_folder
from ingest.reopen import Opened

METHOD = "evaluate-cla"
VERSION = "1"
SCREENED = 5
GROUPS, OTHERS = " of random groups", " of judging images"


def evaluate(opened: Opened, run: str, count: int, folders: Folders, progress: Progress) -> Path:
    """Measure overlap, stability and the effect of pruning over all k, and spool the figures.

    Parameters
    ----------
    opened : the job of the CLA run ``run``.
    count : judging images at most, spread evenly over the classes.

    Raises DataError unless the run has two classes at least.
    """
    stage = ClaStage(opened.prepared, opened.store)
    scopes = [scope for scope in stage.scopes if scope.kind == "class"]
    if len(scopes) < 2:
        raise DataError("circuits of classes are compared", expected=">= 2 classes", got=len(scopes))
    rows = [scope.rows for scope in _judging(stage, scopes, count)]
    prepared, seed = opened.prepared, opened.prepared.spec.seed
    digest = {"cla": run, "images": sum(map(len, rows)), "rows": rows, "related": prepared.spec.cla.related}
    record = record_of(prepared, METHOD, VERSION, digest, (run,))
    listed = _scores(stage, [scope.rows for scope in scopes], "circuits", progress)
    ks = sweep_of_k(stage.widths)
    circuits = circuits_of(stage, listed, ks=ks)
    dealt = random_groups([scope.rows for scope in scopes], seed)
    grouped = circuits_of(stage, _scores(stage, dealt, "random groups", progress), GROUPS, ks)
    outputs = [scope.output or 0 for scope in scopes]
    weights = weight_circuits(stage, prepared.model.trace, outputs, ks)
    related = _relation(opened, scopes, prepared.spec.cla.related)
    traced = traced_circuits(stage, listed, outputs, ks)
    measures = overlap_measures({**circuits, **traced, **grouped, **weights}, related, seed)
    measures += random_measures(stage, len(scopes), ks, seed)
    if all(rows):
        judged = _judged(stage, scopes, rows)
        other = circuits_of(stage, _scores(stage, rows, "judging images", progress), OTHERS, ks)
        measures += stability_measures(circuits, other, OTHERS)
        progress("pruning", 0, 1)
        measures += _effects(opened, stage, circuits, judged, related)
        if stage.spec.screen:
            measures += _screening(opened, stage, judged)
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in measure_tables(measures, record.id, run):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures)})


def _judged(stage: ClaStage, scopes: Sequence[Scope], rows: Sequence[Sequence[int]]) -> Judged:
    return Judged(
        torch.cat(list(stage.batches([row for own in rows for row in own]))),
        tuple(i for i, own in enumerate(rows) for _ in own),
        tuple(scope.output or 0 for scope, own in zip(scopes, rows, strict=True) for _ in own),
        tuple(row for own in rows for row in own),
    )


def _effects(
    opened: Opened, stage: ClaStage, circuits: Circuits, judged: Judged, related: NDArray[np.bool_]
) -> list[Measure]:
    """What pruning does, beside uniform circuits of the same sizes."""
    prepared, seed = opened.prepared, opened.prepared.spec.seed
    members: dict[tuple[str, int], Sequence[Members]] = {
        key: [circuit.members for circuit in own] for key, own in circuits.items()
    }
    members |= {(RANDOM, k): random_members(stage, len(related), k, seed) for k in sweep_of_k(stage.widths)}
    resampling = Resampling([prepared.groups[row] for row in judged.rows], seed)
    trace, layers = prepared.model.trace, prepared.layers
    return effect_measures(trace, layers, members, judged, partners(related), resampling)


def _screening(opened: Opened, stage: ClaStage, judged: Judged) -> list[Measure]:
    """Screening against full removal of edges, on a few of the images."""
    prepared, found, groups = opened.prepared, [], []
    for place in np.unique(np.linspace(0, len(judged.rows) - 1, SCREENED).round().astype(int)).tolist():
        rng = np.random.default_rng([prepared.spec.seed, place])
        x = judged.x[place : place + 1]
        found.append(agreement(prepared.model.trace, stage.screen, x, judged.output[place], rng))
        groups.append(prepared.groups[judged.rows[place]])
    return agreement_measures(found, Resampling(groups, prepared.spec.seed), {"edges_drawn": EDGES})


def _judging(stage: ClaStage, scopes: Sequence[Scope], count: int) -> list[Scope]:
    """The judging images of each class, ``count`` over all classes; a class may have none."""
    most = max(1, count // len(scopes))
    try:
        held = {scope.id: scope for scope in stage.scopes_of("judge", most)}
    except DataError:  # no image judges
        held = {}
    return [held.get(scope.id, Scope(scope.id, scope.kind, (), "", scope.output)) for scope in scopes]


def _scores(
    stage: ClaStage, groups: Sequence[Sequence[int]], what: str, progress: Progress
) -> list[tuple[NDArray[np.float32], ...]]:
    found = []
    for done, rows in enumerate(groups):
        progress(what, done, len(groups))
        found.append(stage.scores(rows).means)
    return found


def _relation(opened: Opened, scopes: Sequence[Scope], related: str) -> NDArray[np.bool_]:
    subject = opened.prepared.subject
    names = dict(zip(subject.class_ids(), subject.classes, strict=True))
    return relation(parts_of(related, [names[scope.id] for scope in scopes]))
