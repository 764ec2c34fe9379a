"""`atlas evaluate pure`: senses judged against known answers, on images kept out of every list if there are any.

Truths: which parent of a spliced neuron spoke (mechanism), and which digit stands under a neuron's maximum (content,
where the data set says). The figures are a run of their own, which builds on the PURE run they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from atlas.address import digest_of
from atlas.spool import SpoolWriter
from ingest.experiments.content import read_contents
from ingest.experiments.embeddings import own_features, read_embeddings
from ingest.experiments.pure_layer import (
    OWN,
    Spoken,
    World,
    content_measures,
    overall,
    spliced,
    spliced_measures,
    trained_measures,
)
from ingest.experiments.splice import Ints, draw_splices, splice_references
from ingest.images import ImageBatches
from ingest.job import Prepared
from ingest.methods.measures import Measure, measure_tables
from ingest.methods.pure import lenses
from ingest.methods.stage import Progress
from ingest.plan import Folders, record_of, spool_folder
from ingest.reopen import Opened

METHOD = "evaluate-pure"
VERSION = "1"
SPLICES = 2
"""Spliced neurons for each trained one that is measured."""


def evaluate(
    opened: Opened,
    run: str,
    count: int,
    folders: Folders,
    progress: Progress,
    embeddings: Path | None = None,
) -> Path:
    """Measure every variant on every layer that has one before it, and spool the figures.

    Parameters
    ----------
    opened : the job of the PURE run ``run``.
    count : trained neurons a layer, at most, and as many of known content; spliced ones are twice as many.
    embeddings : vectors of the images by another model (see :mod:`ingest.experiments.embeddings`); without them the
        model's own last features stand in, and the figures say so (space ``own``).

    Raises DataError as the files of embeddings and answers do.
    """
    world = make_world(opened, count, embeddings, judging=True)
    told = {
        "neurons": count,
        "pure": run,
        "space": world.space,
        "images": digest_of([opened.store.ids[row] for row in world.rows]),
    }
    record = record_of(opened.prepared, METHOD, VERSION, told, (run,))
    measures = list(figures(opened, world, progress))
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in measure_tables(measures, record.id, run):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures), "space": world.space})


def make_world(opened: Opened, count: int, embeddings: Path | None, *, judging: bool) -> World:
    """What the figures rest on. ``judging`` False takes the list images: for choosing, never for judging."""
    prepared, store = opened.prepared, opened.store
    lists = np.asarray(prepared.subject.lists, bool)
    rows = np.flatnonzero(prepared.subject.judging if judging else lists)
    rows = rows if len(rows) else np.arange(store.images)
    loader = Loader(prepared)
    if embeddings is None:
        seen = torch.zeros((store.images, store.layers[-1].channels))
        seen[torch.from_numpy(rows)] = own_features(prepared.model.trace, store.layers[-1], loader, rows)
    else:
        seen = read_embeddings(embeddings, store.ids)
    return World(
        trace=prepared.model.trace,
        store=store,
        batches=loader,
        lists=lists,
        rows=rows,
        groups=tuple(prepared.groups[row] for row in rows),
        contents=read_contents(prepared.images.root, [image.path for image in prepared.images.images]),
        embedding=seen,
        space=OWN if embeddings is None else embeddings.stem,
        count=count,
        restarts=prepared.spec.pure.restarts,
        chunk_bytes=prepared.spec.pure.chunk_bytes,
        seed=prepared.spec.seed,
    )


class Loader:
    """Batches of images of a job, on the model's device."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def __call__(self, rows: Sequence[int]) -> Iterable[tuple[Sequence[int], Tensor]]:
        spec, model = self._prepared.spec, self._prepared.model
        found = ImageBatches(self._prepared.images, model.transform, batch=spec.passes.batch, indices=rows)
        for indices, batch in found:
            yield [int(i) for i in indices], batch.to(spec.model.device)


def figures(opened: Opened, world: World, progress: Progress) -> Iterator[Measure]:
    """All measures, layer by layer."""
    prepared, store = opened.prepared, opened.store
    through = list(lenses(world.trace, prepared.layers, prepared.spec.pure.lower).values())
    names = [lens.upper.name for lens in through]
    splices = {
        name: draw_splices(store, name, world.lists, SPLICES * world.count, world.seed) for name in names
    }
    references = splice_references(world.trace, splices, store, world.rows, world.batches, world.references)
    spoken: list[Spoken] = []
    for done, lens in enumerate(through):
        name = lens.upper.name
        progress("layers", done, len(through))
        spoken.append(spliced(world, lens, splices[name], references[name]))
        yield from spliced_measures(spoken[-1])
        yield from trained_measures(world, lens, _parents(splices[name].parents, world))
        yield from content_measures(world, lens)
    yield from overall(spoken)
    progress("layers", len(through), len(through))


def _parents(parents: Ints, world: World) -> Ints:
    """At most ``count`` of the parents, ascending."""
    own = np.unique(parents)
    return np.sort(np.random.default_rng(world.seed).permutation(own)[: world.count])
