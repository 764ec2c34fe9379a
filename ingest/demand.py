"""Questions asked after ingestion: the exact circuits of any image, and what cutting them does to the logits.

A question opens the job of a stored run again (``ingest.reopen``); the lists are those of the run, so an answer given
later is the answer ingestion would have given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atlas.address import parse
from atlas.spool import RunRecord, SpoolWriter, Values
from ingest.job import Prepared
from ingest.methods.ablation import Control, ablated_logits, circuit_drops, controls, target_weights
from ingest.methods.gcc import QueryCircuits, query_circuits
from ingest.methods.gcc_job import Query, query_of_row, query_of_tensor
from ingest.methods.gcc_stage import GccStage
from ingest.methods.gcc_tables import circuit_tables
from ingest.methods.survey import ragged
from ingest.numerics.traversal import Node
from ingest.plan import Folders, record_of, spool_folder
from ingest.store import ActivationStore
from ingest.thumbnails import new_image

Columns = Mapping[str, Values]
DRAWS = 20


@dataclass(frozen=True)
class Asked:
    """One image asked about: its query, and the model output of its own class where that is known."""

    query: Query
    file: Path
    output: int | None
    row: int | None


class Desk:
    """A reopened job that answers questions about images."""

    def __init__(self, prepared: Prepared, store: ActivationStore) -> None:
        self.prepared = prepared
        self.store = store
        self.stage = GccStage(prepared, store)

    def ask(self, image: str | None, file: Path | None) -> Asked:
        """An image of the data set by id, or any file.

        Raises DataError if neither is there.
        """
        found = self.prepared.find(image, file)
        x, row = self.prepared.input(found.file), found.row
        if row is None:
            model = self.prepared.model
            query = query_of_tensor(model.trace, self.prepared.layers, self.stage.lists, x, found.id)
            return Asked(query, found.file, None, None)
        listed = not bool(self.prepared.subject.judging[row])
        query = query_of_row(self.store, self.stage.lists, row, x, listed=listed)
        return Asked(query, found.file, self.stage.output(row), row)

    def circuits(self, asked: Asked) -> QueryCircuits:
        """The exact circuits of an image."""
        trace = self.prepared.model.trace
        return query_circuits(
            trace, self.stage.pairs, self.stage.overlaps, asked.query, self.prepared.spec.gcc
        )

    def pushes(self, asked: Asked, cuts: Sequence[Sequence[str]], target: str) -> list[float]:
        """What each circuit, given by its neurons' ids, adds to a target: the loss when it is set to zero.

        ``target`` is ``predicted``, ``label`` or ``A-B``. Raises DataError as ``target_weights``.
        """
        subject = self.prepared.subject
        names = dict(zip(subject.classes, subject.outputs, strict=True))
        trace, layers = self.prepared.model.trace, self.prepared.layers
        clean = ablated_logits(trace, layers, asked.query.x, [0], [()])[0]
        weights = target_weights(target, clean, asked.output, names)
        nodes = [self.nodes(cut) for cut in cuts]
        return [float(v) for v in circuit_drops(trace, layers, asked.query.x, nodes, weights)]

    def ablation(self, asked: Asked, neurons: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
        """Target logit with a circuit's neurons at zero, beside controls of the same number per layer.

        Rows: control, last_block (whether neurons of the last layer are cut too), neurons, logit, after, drop (mean
        over draws), std.
        """
        trace, layers = self.prepared.model.trace, self.prepared.layers
        own = self.nodes(neurons)
        found = controls(own, asked.query.activations, DRAWS, (seed,))
        clean = ablated_logits(trace, layers, asked.query.x, [0], [()])[0]
        output = int(np.argmax(clean)) if asked.output is None else asked.output
        rows = []
        for last in (True, False):
            cuts = [
                c.nodes if last else frozenset(n for n in c.nodes if n[0] < len(layers) - 1) for c in found
            ]
            after = ablated_logits(trace, layers, asked.query.x, [0] * len(cuts), cuts)[:, output]
            rows += list(_means(found, cuts, float(clean[output]), after, last_block=last))
        return rows

    def nodes(self, neurons: Sequence[str]) -> list[Node]:
        """Ids of neurons as (layer, channel)."""
        ordinals = {layer.name: n for n, layer in enumerate(self.prepared.layers)}
        parsed = [parse(neuron) for neuron in neurons]
        return [(ordinals[a.layer], int(a.channel or 0)) for a in parsed]


def _means(
    found: Sequence[Control], cuts: Sequence[frozenset[Node]], clean: float, after: Any, *, last_block: bool
) -> Iterator[dict[str, Any]]:
    for kind in dict.fromkeys(control.kind for control in found):
        own = [i for i, control in enumerate(found) if control.kind == kind]
        values = np.asarray(after, np.float64)[own]
        yield {
            "control": kind,
            "last_block": last_block,
            "neurons": len(cuts[own[0]]),
            "logit": clean,
            "after": float(values.mean()),
            "drop": clean - float(values.mean()),
            "std": float(values.std()),
            "draws": len(own),
        }


def explain(desk: Desk, asked: Asked, base: str, folders: Folders) -> Path:
    """Spool the exact circuits of one image: a run of its own, which builds on the activations' run ``base``."""
    prepared = desk.prepared
    result = desk.circuits(asked)
    method = f"gcc:{asked.query.id}"
    parameters = {**prepared.spec.gcc.to_dict(), "image": asked.query.id}
    record: RunRecord = record_of(prepared, method, desk.stage.version, parameters, (base,))
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        if asked.row is None:
            for name, columns in _image_tables(desk, asked, result, folders):
                writer.write(name, columns)
        for name, columns in circuit_tables(
            desk.stage.naming(record.id),
            result,
            desk.stage.lists,
            prepared.spec.gcc,
            desk.stage.drops(asked.query.x, result, asked.output),
        ):
            writer.write(name, columns)
        return writer.finish({"circuits": len(result.circuits), "edges": len(result.edges)})


def _image_tables(
    desk: Desk, asked: Asked, result: QueryCircuits, folders: Folders
) -> Iterator[tuple[str, Columns]]:
    subject = desk.prepared.subject
    yield "Image", new_image(asked.query.id, asked.file, folders.media)
    named = subject.class_of_output()
    best = int(np.argmax(result.logits))
    if best in named:
        probability = torch.softmax(torch.from_numpy(result.logits).double(), 0)[best]
        yield (
            "Image-PREDICTED_AS-Class",
            {
                "start": [asked.query.id],
                "end": [named[best]],
                "probability": [float(probability)],
                "logit": [float(result.logits[best])],
                "model": [str(subject.root)],
            },
        )
    held = [np.flatnonzero(mask) for mask in asked.query.masked]
    kept = [n for n, channels in enumerate(held) if len(channels)]
    yield (
        "Image-ACTIVATES-Layer",
        {
            "start": [asked.query.id] * len(kept),
            "end": [subject.layer_id(desk.prepared.layers[n]) for n in kept],
            "channels": ragged([held[n] for n in kept], np.int64),
            "values": ragged([asked.query.activations[n][held[n]] for n in kept], np.float32),
        },
    )
