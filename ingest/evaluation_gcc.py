"""`atlas evaluate gcc`: the method's claims measured on this atlas, on images kept out of every list if there are any.

Interventions and edge curves run the model again; the traversal is judged on the flow that the graph holds. The
figures are a run of their own, which builds on the GCC run they are about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from atlas.spool import Spool, SpoolWriter
from ingest.demand import Desk
from ingest.methods.gcc_agreement import traversal_measures
from ingest.methods.gcc_evaluation import Judged, ablation_measures, edge_measures, measure_drops
from ingest.methods.interventions import intervention_tables
from ingest.methods.measures import Measure, Resampling, measure_tables
from ingest.methods.stage import Progress
from ingest.plan import Folders, record_of, spool_folder
from ingest.reopen import Opened

METHOD = "evaluate-gcc"
AGREEMENT = "agreement-gcc"
AGREEMENT_QUERIES = 25
VERSION = "1"
FLOW = "Neuron-FLOWS_TO-Neuron"


@dataclass(frozen=True)
class StoredFlow:
    """The stored edges of one pair of layers, read back from a spool; arrays of one length, by source."""

    layer: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    sensitivity: NDArray[np.float64]
    overlap: NDArray[np.float64]
    identity: NDArray[np.bool_]


def evaluate(opened: Opened, run: str, queries: int, folders: Folders, progress: Progress) -> Path:
    """Measure interventions, edge curves and the traversal, and spool the figures.

    Parameters
    ----------
    opened : the job of the GCC run ``run``.
    queries : images at most, spread evenly over the run's judging queries (over all of them if none judges).

    Raises DataError if the run's spool is gone.
    """
    desk = Desk(opened.prepared, opened.store)
    rows = judging_rows(desk, queries)
    flows = stored_flows(_spool_of(folders, run), desk)
    prepared = desk.prepared
    record = record_of(prepared, METHOD, VERSION, {"queries": len(rows), "rows": rows, "gcc": run}, (run,))
    judged = _judged(desk, rows, progress)
    resampling = Resampling([prepared.groups[row] for row in rows], prepared.spec.seed)
    trace, gcc, seed = prepared.model.trace, prepared.spec.gcc, prepared.spec.seed
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        progress("ablations", 0, 3)
        drops = measure_drops(trace, prepared.layers, judged, seed=seed)
        measures = ablation_measures(drops, judged, resampling)
        progress("edges", 1, 3)
        measures += edge_measures(trace, desk.stage.pairs, judged, resampling, gcc.chunk_bytes, seed)
        progress("traversal", 2, 3)
        measures += _traversal(desk, flows, judged, resampling)
        classes = [class_of_output(desk, one.output) for one in judged]
        for name, columns in (
            *measure_tables(measures, record.id, run),
            *intervention_tables(drops, classes, resampling, record.id, seed),
        ):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures)})


def agreement_gcc(
    desk: Desk, run: str, folders: Folders, progress: Progress, queries: int = AGREEMENT_QUERIES
) -> tuple[Path, list[Measure]]:
    """How well the traversal answer matches exact circuits: measured on every atlas, spooled, and given back."""
    rows = judging_rows(desk, queries)
    flows = stored_flows(_spool_of(folders, run), desk)
    record = record_of(desk.prepared, AGREEMENT, VERSION, {"rows": rows, "gcc": run}, (run,))
    resampling = Resampling([desk.prepared.groups[row] for row in rows], desk.prepared.spec.seed)
    measures = _traversal(desk, flows, _judged(desk, rows, progress), resampling)
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in measure_tables(measures, record.id, run):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures)}), measures


def summary(measures: Sequence[Measure]) -> str:
    """The agreement in one line: best F1 by sensitivity beside the best by S_SF alone."""
    parts = []
    for part in ("nodes", "edges"):
        best = {}
        for by in ("sensitivity", "overlap"):
            values = [
                m.value
                for m in measures
                if m.metric == f"traversal_{part}_f1" and m.settings["by"] == by and math.isfinite(m.value)
            ]
            best[by] = max(values, default=math.nan)
        parts.append(f"{part} F1 {best['sensitivity']:.2f} (S_SF alone {best['overlap']:.2f})")
    return ", ".join(parts)


def _spool_of(folders: Folders, run: str) -> Spool:
    folder = folders.spools / run
    if not folder.is_dir():
        raise DataError(
            "the spool of this run is gone", where=folder, next_step="run the same `atlas ingest` again"
        )
    return Spool.open(folder)


def _judged(desk: Desk, rows: Sequence[int], progress: Progress) -> list[Judged]:
    judged = []
    for done, (row, x, result) in enumerate(desk.stage.circuits(rows), start=1):
        output = desk.stage.output(row)
        judged.append(Judged(result, x, int(np.argmax(result.logits)) if output is None else output))
        progress("exact circuits", done, len(rows))
    return judged


def _traversal(
    desk: Desk, flows: Iterator[StoredFlow], judged: Sequence[Judged], resampling: Resampling
) -> list[Measure]:
    floor = desk.prepared.spec.gcc.thresholds.flow_floor
    return traversal_measures(list(flows), [one.result for one in judged], resampling, floor)


def class_of_output(desk: Desk, output: int) -> str | None:
    """Id of the class of a model output, None where no class of the data set has it."""
    subject = desk.prepared.subject
    return subject.class_of_output().get(output)


def judging_rows(desk: Desk, count: int) -> list[int]:
    """At most ``count`` of the run's queries, judging ones where there are any, spread evenly."""
    judging = desk.prepared.subject.judging
    asked = np.array(desk.stage.queries)
    held_out = asked[judging[asked]]
    pool = held_out if len(held_out) else asked
    even = np.unique(np.linspace(0, len(pool) - 1, min(count, len(pool))).round().astype(int))
    return [int(row) for row in pool[even]]


def stored_flows(spool: Spool, desk: Desk) -> Iterator[StoredFlow]:
    """The data set's flow as the graph holds it."""
    table = next(item for item in spool.tables() if item.name == FLOW)
    place = {p.name: n for n, p in enumerate(table.columns)}
    ordinals = {desk.prepared.subject.layer_id(layer): n for n, layer in enumerate(desk.prepared.layers)}
    parts: dict[int, list[tuple[Any, ...]]] = {}
    wanted = [place[name] for name in ("sensitivity", "overlap", "identity")]
    for batch in spool.batches(table):
        for row in batch:
            layer, _, source = row[0].rpartition("/")
            target = row[1].rpartition("/")[2]
            parts.setdefault(ordinals[layer], []).append(
                (int(source), int(target), *(row[n] for n in wanted))
            )
    for ordinal in sorted(parts):
        source, target, sensitivity, overlap, identity = zip(*parts[ordinal], strict=True)
        yield StoredFlow(
            ordinal,
            np.array(source, np.int64),
            np.array(target, np.int64),
            np.array(sensitivity, np.float64),
            np.array(overlap, np.float64),
            np.array(identity, np.bool_),
        )
