"""`atlas evaluate gig`: the paper's tables on this atlas, on images that no dictionary was made from if there are any.

Rel-l2, l0, C-Insertion and C-Deletion per layer, for the run's dictionary beside online dictionary learning, a sparse
autoencoder, random exemplars and Gaussian directions; insertion and deletion from layer to layer; and, on the
digit-pair world, whether concepts that classes share lie on the digit they share. A run of its own, which builds on
the GIG run it is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.errors import DataError
from atlas.spool import SpoolWriter
from ingest.methods.concept_curves import ORDERS, Areas, Coded, Effort, class_areas, concept_areas, encode
from ingest.methods.concept_figures import (
    OURS,
    RIVALS,
    Pairwise,
    Table,
    mean_curves,
    pair_measures,
    rival,
    space_of,
    table_measures,
)
from ingest.methods.concept_places import place_measures
from ingest.methods.curve_plot import curve_plot
from ingest.methods.gig_scope import adjacent
from ingest.methods.gig_stage import GigStage
from ingest.methods.measures import Measure, Resampling, measure_tables
from ingest.methods.relevance import uniforms
from ingest.methods.stage import Progress
from ingest.plan import Folders, record_of, spool_folder
from ingest.reopen import Opened
from ingest.segments import OUTPUT, Segment
from ingest.store_files import disk_errors, write_whole

METHOD = "evaluate-gig"
VERSION = "1"
PAIR_IMAGES, PAIR_TARGETS = 20, 5
EFFORT = Effort()
LEARNED_MOST = 4_000_000
"""Entries of a dictionary, K · C, up to which online learning is tried; the paper gave it up in its wider layers."""


def evaluate(
    opened: Opened,
    run: str,
    count: int,
    folders: Folders,
    progress: Progress,
    pairs: Sequence[tuple[str, str]] = (),
) -> Path:
    """Measure the concepts of the GIG run ``run`` on at most ``count`` judging images, and spool the figures.

    ``pairs`` are (source, target) layers of the curves from layer to layer; adjacent ones and those two apart if empty.
    Raises DataError if the job is not one of GIG, no image is left to judge on, or a pair is none.
    """
    judge = Judge.of(opened, count, pairs)
    settings: dict[str, Any] = {
        "rows": list(judge.rows),
        "gig": run,
        "effort": [EFFORT.points, EFFORT.steps],
    }
    if pairs:
        settings["pairs"] = [f"{source}:{target}" for source, target in pairs]
    record = record_of(opened.prepared, METHOD, VERSION, settings, (run,))
    table = Table()
    measures = judge.measures(table, progress)
    measures += place_measures(judge.stage, opened.prepared, progress)
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in measure_tables(measures, record.id, run):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures), "plot": _plot(table, folders, record.id)})


def _plot(table: Table, folders: Folders, run: str) -> str:
    """Write the curves as an SVG and as JSON; gives the path of the SVG below the media folder. Raises DiskError."""
    curves = mean_curves(table)
    folder = folders.media / "evaluations"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{run}.json", json.dumps(curves))
        write_whole(folder / f"{run}.svg", curve_plot(curves))
    return f"evaluations/{run}.svg"


def judged_rows(opened: Opened, count: int) -> tuple[int, ...]:
    """At most ``count`` judging images (of all, where none judges), spread evenly over the data set."""
    judging = np.flatnonzero(opened.prepared.subject.judging)
    pool = judging if len(judging) else np.arange(len(opened.prepared.images.images))
    even = np.unique(np.linspace(0, len(pool) - 1, min(count, len(pool))).round().astype(int))
    return tuple(int(row) for row in pool[even])


def layer_pairs(stage: GigStage, named: Sequence[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    """Ordinals of the named pairs of layers; with no name the adjacent ones and those two apart.

    Raises DataError for a layer that has no dictionary, or a target that is not computed from its source.
    """
    explainer = stage.explainer
    if not named:
        further = [(n, n + 2) for n in range(len(stage.dictionaries) - 2) if explainer.joined(n, n + 2)]
        return (*adjacent(explainer), *further)
    ordinals = {own.space.layer.name: n for n, own in enumerate(stage.dictionaries)}
    found = []
    for pair in named:
        for name in pair:
            if name not in ordinals:
                raise DataError(
                    "no dictionary of this layer", where=name, expected=f"one of {', '.join(ordinals)}"
                )
        source, target = (ordinals[name] for name in pair)
        if source >= target or not explainer.joined(source, target):
            raise DataError(
                "no path from the first layer to the second",
                where=":".join(pair),
                expected="a source and a later layer that is computed from it",
            )
        found.append((source, target))
    return tuple(found)


@dataclass(frozen=True)
class Judge:
    """What figures are measured with: the reopened stage, and the rows of the judged images."""

    opened: Opened
    stage: GigStage
    rows: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    """Layers, source before target, of the curves from layer to layer."""
    rivals: tuple[str, ...] = RIVALS

    @classmethod
    def of(cls, opened: Opened, count: int, pairs: Sequence[tuple[str, str]] = ()) -> Judge:
        """Raises DataError if the job is not one of GIG, or a pair names no layers that are joined."""
        if not isinstance(opened.stage, GigStage):
            raise DataError("not a job of GIG", expected="a GIG run", got=type(opened.stage).__name__)
        chosen = layer_pairs(opened.stage, pairs)
        return cls(opened, opened.stage, judged_rows(opened, count), chosen)

    def measures(self, table: Table, progress: Progress) -> list[Measure]:
        """The figures of all layers, which go into ``table``, and those between layers."""
        groups, seed = self.opened.prepared.groups, self.opened.prepared.spec.seed
        found = Pairwise()
        layers = range(len(self.stage.dictionaries))
        own: dict[int, list[Tensor]] = {}
        for ordinal in layers:
            progress("concepts of layers", ordinal, len(layers))
            own[ordinal] = self._layer(ordinal, table)
        progress("concepts of layers", len(layers), len(layers))
        measures = table_measures(table, Resampling([groups[row] for row in self.rows], seed))
        rows = self.rows[:: max(1, len(self.rows) // PAIR_IMAGES)][:PAIR_IMAGES]
        for number, pair in enumerate(self.pairs):
            progress("layer to layer", number, len(self.pairs))
            self._pair(pair, rows, own[pair[1]], found)
        progress("layer to layer", len(self.pairs), len(self.pairs))
        return measures + pair_measures(found, Resampling([groups[row] for row in rows], seed))

    @cached_property
    def _positions(self) -> dict[int, list[int]]:
        """Row → per layer the position of its feature vector, drawn as ingestion draws."""
        chain = self.stage.chain
        found: dict[int, list[int]] = {}
        seed, images = self.opened.prepared.spec.seed, self.opened.prepared.images.images
        for indices, x in self.stage.batches(self.rows):
            clean, names = chain.clean(x), [images[row].id for row in indices]
            drawn = []
            for n, (space, weights) in enumerate(
                zip(self.stage.spaces, chain.relevances(clean), strict=True)
            ):
                uniform = uniforms(seed, names, space.layer.name).to(x.device)
                drawn.append(chain.sampled(n, weights, clean, uniform).positions.tolist())
            found |= dict(zip(indices, map(list, zip(*drawn, strict=True)), strict=True))
        return found

    def _layer(self, ordinal: int, table: Table) -> list[Tensor]:
        """All images in all dictionaries of one layer; gives ours' GIG to the class (K,) per image."""
        dictionary = self.stage.dictionaries[ordinal]
        spec = self.opened.prepared.spec
        ours = space_of(dictionary, spec.model.device)
        vectors = torch.from_numpy(self.stage.vectors(ordinal).vectors).to(ours.concepts) - ours.centre
        names = [n for n in self.rivals if n != "learned" or ours.concepts.numel() <= LEARNED_MOST]
        spaces = {OURS: ours} | {name: rival(name, ours, vectors, spec.seed) for name in names}
        segment, outputs = self.stage.explainer.segment(ordinal, None), self.opened.prepared.model.outputs
        scores: list[Tensor] = []
        for row, clean in self._images(self.rows, [ours.features.node, OUTPUT, *segment.frozen]):
            forward = segment.bind(clean)
            output = self._output(row, clean[OUTPUT])
            for name, space in spaces.items():
                coded = encode(space, clean[ours.features.node])
                areas, gig = class_areas(coded, forward, output, outputs, EFFORT)
                table.add(name, coded, areas, self._positions[row][ordinal])
                if name == OURS:
                    whole = torch.zeros(len(ours.concepts), dtype=gig.dtype)
                    whole[coded.atoms.cpu()] = gig.cpu()
                    scores.append(whole)
        return scores

    def _pair(
        self, pair: tuple[int, int], rows: Sequence[int], scores: Sequence[Tensor], found: Pairwise
    ) -> None:
        """Some images, from one layer to the most important concepts of another."""
        source, target = (self.stage.dictionaries[n] for n in pair)
        segment: Segment = self.stage.explainer.segment(*pair)
        place = {row: n for n, row in enumerate(self.rows)}
        space = space_of(source, self.opened.prepared.spec.model.device)
        names = (source.space.layer.name, target.space.layer.name)
        for row, clean in self._images(rows, [source.space.node, *segment.frozen]):
            own = scores[place[row]]
            best = own.argsort(descending=True, stable=True)[:PAIR_TARGETS]
            v = target.v.to(space.concepts)[best[own[best] > 0].to(space.concepts.device)]
            coded: Coded = encode(space, clean[source.space.node])
            areas: dict[str, list[Areas | None]] = {order: [] for order in ORDERS}
            if len(v):
                seed = (self.opened.prepared.spec.seed, row, *pair)
                later = (target.space.layer, v)
                areas |= concept_areas(coded, segment.bind(clean), later, EFFORT, seed)
            for order, values in areas.items():
                found.setdefault((*names, order), []).append(values)

    def _images(self, rows: Sequence[int], nodes: Sequence[str]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Row and clean values (1, …) of each image."""
        wanted = [*dict.fromkeys(nodes)]
        for indices, x in self.stage.batches(rows):
            with torch.no_grad():
                clean = self.opened.prepared.model.trace.values(x, wanted)
            for place, row in enumerate(indices):
                yield row, {name: value[place : place + 1] for name, value in clean.items()}

    def _output(self, row: int, logits: Tensor) -> int:
        """The output of the image's own class; the predicted one where that is unknown."""
        subject = self.opened.prepared.subject
        label = subject.labels[row]
        return int(logits[0].argmax()) if label is None else subject.outputs[label]
