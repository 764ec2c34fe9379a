"""`atlas evaluate pure`: senses judged against known answers, on images kept out of every list if there are any.

Truths: which parent of a spliced neuron spoke (mechanism), and which digit stands under a neuron's maximum (content,
where the data set says). The figures are a run of their own, which builds on the PURE run they are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

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
from ingest.experiments.sense_cuts import Cuts, content_told, cut, cut_measures, spliced_told
from ingest.experiments.splice import (
    Ints,
    References,
    Splices,
    draw_splices,
    reference_count,
    splice_references,
)
from ingest.methods.measures import Measure, measure_tables
from ingest.methods.pure import lenses
from ingest.methods.stage import Progress
from ingest.plan import Folders, record_of, spool_folder
from ingest.reopen import Opened

METHOD = "evaluate-pure"
VERSION = "1"
CUT_SHARE = 8
"""Trained neurons that are measured for each one whose senses are taken away."""
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
    if embeddings is None:
        seen = torch.zeros((store.images, store.layers[-1].channels))
        seen[torch.from_numpy(rows)] = own_features(
            prepared.model.trace, store.layers[-1], prepared.batches, rows
        )
    else:
        seen = read_embeddings(embeddings, store.ids)
    return World(
        trace=prepared.model.trace,
        store=store,
        batches=prepared.batches,
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


def figures(opened: Opened, world: World, progress: Progress) -> Iterator[Measure]:
    """All measures, layer by layer, then those over all layers."""
    prepared, store = opened.prepared, opened.store
    through = list(lenses(world.trace, prepared.layers, prepared.spec.pure.lower).values())
    splices = {
        lens.upper.name: draw_splices(store, lens.upper.name, world.lists, SPLICES * world.count, world.seed)
        for lens in through
    }
    few = {name: own.take(_spread(len(own), world.count)) for name, own in splices.items()}
    judged = _references(world, splices, world.rows)
    chosen = _references(world, few, np.flatnonzero(world.lists))
    spoken: list[Spoken] = []
    cuts: dict[str, list[Cuts]] = {"spliced": [], "content": []}
    for done, lens in enumerate(through):
        name = lens.upper.name
        progress("layers", done, len(through))
        spoken.append(spliced(world, lens, splices[name], judged[name]))
        yield from spliced_measures(spoken[-1])
        yield from trained_measures(world, lens, _parents(splices[name].parents, world))
        yield from content_measures(world, lens)
        some = _spread(len(splices[name]), world.count)
        own = References(judged[name].rows[some], judged[name].truth[some])
        for truth, told in (
            ("spliced", spliced_told(few[name], chosen[name], own)),
            ("content", content_told(world, lens, len(some))),
        ):
            if told is not None:
                cuts[truth].append(cut(world, lens, told))
                yield from cut_measures(cuts[truth][-1:], {"layer": name, "truth": truth}, world.seed)
    progress("layers", len(through), len(through))
    yield from overall(spoken)
    for truth, parts in cuts.items():
        yield from cut_measures(parts, {"layer": "all", "truth": truth}, world.seed)


def _references(world: World, splices: Mapping[str, Splices], rows: Ints) -> dict[str, References]:
    return splice_references(
        world.trace, splices, world.store, rows, world.batches, reference_count(len(rows))
    )


def _spread(total: int, count: int) -> Ints:
    """Places of the spliced neurons whose senses are taken away, evenly over all of them."""
    return np.unique(np.linspace(0, total - 1, max(2, count // CUT_SHARE)).round().astype(np.int64))


def _parents(parents: Ints, world: World) -> Ints:
    """At most ``count`` of the parents, ascending."""
    own = np.unique(parents)
    return np.sort(np.random.default_rng(world.seed).permutation(own)[: world.count])
