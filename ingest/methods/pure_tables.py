"""PURE as tables: what the test says of every neuron, and the senses of those that pass it.

Notation: m polysemantic neurons of one layer with n references each; S senses over all of them, in order of channels,
then of ordinals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.spool import Coded, Ragged, Values
from ingest.layers import LayerSpec
from ingest.methods.gcc_tables import Naming
from ingest.methods.pure import References
from ingest.methods.pure_split import Senses, Tests
from ingest.store import cell_centre

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Columns = Mapping[str, Values]
Tables = Iterator[tuple[str, Columns]]


@dataclass(frozen=True)
class Assigned:
    """Images put to senses, arrays of one length: row of the store, place of the neuron (of m), sense (its ordinal),
    distance to that centroid, and margin (d2 − d1) / d2 to the next.
    """

    row: Ints
    neuron: Ints
    sense: Ints
    distance: Array
    margin: Array


@dataclass(frozen=True)
class Flows:
    """Flow of senses to the next layer, arrays of one length: sense (place among S), target, mean S_NS, its
    deviation, images it rests on, share of the target's root list in the sense, that number of images, whether an
    identity shortcut carries it, rank.
    """

    sense: Ints
    target: Ints
    sensitivity: Array
    std: Array
    n: Ints
    overlap: Array
    images: Ints
    identity: Bools
    rank_out: Ints


@dataclass(frozen=True)
class LayerSenses:
    """The polysemantic neurons of one layer (or of a block of it), and where they are."""

    naming: Naming
    upper: LayerSpec
    lower: LayerSpec
    senses: Senses
    references: References
    variant: str
    input_shape: tuple[int, int, int]

    @cached_property
    def place(self) -> tuple[Ints, Ints]:
        """(S,) place of each sense's neuron among the m, and its ordinal there."""
        counts = self.senses.labels.max(1, initial=-1) + 1
        neurons = np.repeat(np.arange(len(counts)), counts)
        ordinals = np.concatenate([np.empty(0, np.int64), *(np.arange(c) for c in counts)])
        return neurons, ordinals.astype(np.int64)

    @cached_property
    def ids(self) -> list[str]:
        """(S,) ids."""
        names = self.naming.neurons(self.upper.ordinal)
        neurons, ordinals = self.place
        return [f"{names[self.senses.channel[i]]}:{s}" for i, s in zip(neurons, ordinals, strict=True)]

    @cached_property
    def first(self) -> Ints:
        """(m,) place of each neuron's first sense among the S."""
        counts = self.senses.labels.max(1, initial=-1) + 1
        starts: Ints = np.cumsum(counts) - counts
        return starts

    def members(self) -> tuple[Ints, Ints, Ints]:
        """Of every reference of a sense: place of its neuron, column in its list, place of its sense."""
        neurons, columns = np.nonzero(self.senses.labels >= 0)
        return neurons, columns, self.first[neurons] + self.senses.labels[neurons, columns]


def neuron_table(
    naming: Naming, layer: LayerSpec, tests: Tests, q: Array, polysemantic: Bools
) -> tuple[str, Columns]:
    """What the test says of the neurons of a layer; p and q are null where there are too few references."""
    names = naming.neurons(layer.ordinal)
    count = len(tests.channel)
    return (
        "Neuron",
        {
            "id": [names[c] for c in tests.channel.tolist()],
            "model": [str(naming.subject.root)] * count,
            "layer": [layer.name] * count,
            "channel": tests.channel,
            "polysemantic": polysemantic,
            "senses": np.where(polysemantic, tests.senses, np.minimum(tests.references, 1)),
            "silhouette": np.ma.masked_invalid(tests.silhouette),
            "p": np.ma.masked_invalid(tests.p),
            "q": np.ma.masked_invalid(q),
        },
    )


def sense_tables(found: LayerSenses, feeds: int, labels: Sequence[int | None]) -> Tables:
    """Senses with their references, feeding neurons and classes; nothing where no neuron is polysemantic."""
    if not found.ids:
        return
    neurons, ordinals = found.place
    names = found.naming.neurons(found.upper.ordinal)
    yield "Sense", _senses(found, neurons, ordinals)
    yield (
        "Neuron-HAS_SENSE-Sense",
        {"start": [names[found.senses.channel[i]] for i in neurons], "end": found.ids},
    )
    yield "Neuron-FEEDS_SENSE-Sense", _feeds(found, feeds)
    yield "Sense-EXEMPLIFIED_BY-Image", _exemplars(found)
    served = _serves(found, labels)
    if served is not None:
        yield "Sense-SERVES-Class", served


def _senses(found: LayerSenses, neurons: Ints, ordinals: Ints) -> Columns:
    s = found.senses
    own = s.labels[neurons] == ordinals[:, None]
    sizes = own.sum(1)
    silhouette = np.where(own, s.silhouettes[neurons], 0).sum(1) / sizes
    width = s.centroids.shape[2]
    count = len(neurons)
    return {
        "id": found.ids,
        "ordinal": ordinals,
        "size": sizes,
        "share": sizes / (s.labels[neurons] >= 0).sum(1),
        "silhouette": silhouette.astype(np.float64),
        "variant": [found.variant] * count,
        "lower": [found.lower.name] * count,
        "centroid": Ragged(s.centroids[neurons, ordinals].ravel(), np.arange(count + 1) * width),
    }


def _feeds(found: LayerSenses, most: int) -> Columns:
    neurons, ordinals = found.place
    mean, spread = found.senses.feeds[neurons, ordinals], found.senses.spread[neurons, ordinals]
    total = np.abs(mean).sum(1, keepdims=True)
    best = np.argsort(-np.abs(mean), axis=1, kind="stable")[:, :most]
    kept = np.take_along_axis(mean, best, axis=1)
    sense, rank = np.nonzero(kept)
    source = best[sense, rank]
    sizes = (found.senses.labels[neurons] == ordinals[:, None]).sum(1)
    return {
        "start": Coded(source, found.naming.neurons(found.lower.ordinal)),
        "end": Coded(sense, found.ids),
        "relevance": mean[sense, source].astype(np.float64),
        "share": (mean / np.where(total > 0, total, 1))[sense, source].astype(np.float64),
        "rank_in": rank + 1,
        "hops": np.full(len(sense), found.upper.ordinal - found.lower.ordinal),
        "n": sizes[sense],
        "std": spread[sense, source].astype(np.float64),
    }


def _exemplars(found: LayerSenses) -> Columns:
    neurons, columns, sense = found.members()
    channel = found.senses.channel[neurons]
    rows = found.references.rows[channel, columns]
    x, y = cell_centre(found.upper, found.references.peaks[channel, columns], found.input_shape)
    return {
        "start": Coded(sense, found.ids),
        "end": Coded(rows, found.naming.images),
        "similarity": found.senses.fit[neurons, columns].astype(np.float64),
        "rank": found.senses.rank[neurons, columns],
        "x": x,
        "y": y,
    }


def _serves(found: LayerSenses, labels: Sequence[int | None]) -> Columns | None:
    neurons, columns, sense = found.members()
    rows = found.references.rows[found.senses.channel[neurons], columns]
    classes = found.naming.subject.class_ids()
    owner = np.array([-1 if label is None else label for label in labels], np.int64)[rows]
    if not classes or not (owner >= 0).any():
        return None
    counts = np.zeros((len(found.ids), len(classes)), np.int64)
    np.add.at(counts, (sense[owner >= 0], owner[owner >= 0]), 1)
    senses, served = np.nonzero(counts)
    sizes = np.bincount(sense, minlength=len(found.ids))
    return {
        "start": Coded(senses, found.ids),
        "end": Coded(served, classes),
        "images": counts[senses, served],
        "share": counts[senses, served] / sizes[senses],
    }


def assigned_table(found: LayerSenses, assigned: Assigned) -> tuple[str, Columns]:
    """Which sense each image activates a neuron in."""
    return (
        "Image-ASSIGNED_TO-Sense",
        {
            "start": Coded(assigned.row, found.naming.images),
            "end": Coded(found.first[assigned.neuron] + assigned.sense, found.ids),
            "distance": assigned.distance,
            "margin": assigned.margin,
        },
    )


def flow_table(found: LayerSenses, flows: Flows) -> tuple[str, Columns]:
    """Where a sense goes on to in the next layer."""
    count = len(flows.sense)
    return (
        "Sense-FLOWS_TO-Neuron",
        {
            "start": Coded(flows.sense, found.ids),
            "end": Coded(flows.target, found.naming.neurons(found.upper.ordinal + 1)),
            "overlap": flows.overlap,
            "sensitivity": flows.sensitivity,
            "images": flows.images,
            "identity": flows.identity,
            "rank_out": flows.rank_out,
            "hops": np.ones(count, np.int64),
            "n": flows.n,
            "std": flows.std,
        },
    )


def relation_table(classes: Sequence[str], similarity: Array, most: int, basis: str) -> tuple[str, Columns]:
    """How alike classes are: each class with the ``most`` nearest to it, each pair once.

    ``similarity`` (K, K) symmetric; rows of NaN, classes without an image, are left out.
    """
    known = ~np.isnan(np.diag(similarity))
    filled = np.where(known[:, None] & known, similarity, -np.inf)
    np.fill_diagonal(filled, -np.inf)
    near = np.zeros_like(filled, dtype=bool)
    order = np.argsort(-filled, axis=1, kind="stable")[:, :most]
    np.put_along_axis(near, order, True, axis=1)
    start, end = np.nonzero(np.triu((near | near.T) & np.isfinite(filled), 1))
    table: dict[str, Any] = {
        "start": Coded(start, classes),
        "end": Coded(end, classes),
        "similarity": similarity[start, end],
        "basis": [basis] * len(start),
    }
    return "Class-RELATED_TO-Class", table
