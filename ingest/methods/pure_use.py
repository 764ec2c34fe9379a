"""Senses put to use: which one an image is in, where one goes on to, and how alike classes are.

Notation: m polysemantic neurons with up to K centroids (m, K, D); S senses; P (image, neuron) pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ingest.methods.gcc import sensitivities
from ingest.methods.gcc_job import Loader
from ingest.methods.pairs import Pair, clean_values
from ingest.methods.pure import Lens, pair_vectors, variant_function
from ingest.methods.pure_job import PureParameters
from ingest.methods.pure_tables import Assigned, Flows, LayerSenses
from ingest.numerics.sensitivity import normalised
from ingest.segments import Trace
from ingest.store import TopLists

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def nearest(vectors: Floats, centroids: Floats, counts: Ints) -> tuple[Ints, Array, Array]:
    """Nearest centroid of vectors (P, D) among the first ``counts`` (P,) of centroids (P, K, D).

    Returns the ordinal, the Euclidean distance d1, and the margin (d2 − d1) / d2 to the next, (P,) each; the margin is
    0 where both distances are.
    """
    away = np.linalg.norm(vectors[:, None].astype(np.float64) - centroids, axis=2)
    away[np.arange(centroids.shape[1]) >= counts[:, None]] = np.inf
    order = np.argsort(away, axis=1, kind="stable")
    sorted_ = np.take_along_axis(away, order, axis=1)
    first, second = sorted_[:, 0], sorted_[:, 1]
    margin = np.divide(second - first, second, out=np.zeros(len(first)), where=second > 0)
    return order[:, 0], first, margin


def assign(
    found: LayerSenses, lens: Lens, trace: Trace, loader: Loader, held: tuple[Ints, Ints], chunk_bytes: int
) -> Assigned:
    """The sense in which each image activates each neuron.

    ``held`` : (P,) rows of the store and (P,) places of neurons among the m.
    """
    rows, neurons = held
    channels = found.senses.channel[neurons]
    function = variant_function(lens, found.variant)
    (vectors,) = pair_vectors(lens, trace, loader, (rows, channels), [function], chunk_bytes)
    counts = found.senses.labels.max(1, initial=-1) + 1
    sense, distance, margin = nearest(
        vectors.float().cpu().numpy(), found.senses.centroids[neurons], counts[neurons]
    )
    return Assigned(rows, neurons, sense, distance, margin)


@torch.inference_mode()
def flows(
    found: LayerSenses,
    pair: Pair,
    trace: Trace,
    loader: Loader,
    roots: TopLists,
    parameters: PureParameters,
    images: int,
) -> Flows:
    """S_NS of each sense's neuron to the next layer, averaged over the sense's best references alone.

    ``roots`` are the root lists of the next layer, ``images`` the number of rows of the store.
    """
    neurons, columns, sense = found.members()
    best = found.senses.rank[neurons, columns] <= parameters.flow_images
    rows = found.references.rows[found.senses.channel[neurons], columns]
    total = np.zeros((len(found.ids), pair.target.channels))
    square, n = np.zeros_like(total), np.bincount(sense[best], minlength=len(found.ids))
    order = np.flatnonzero(best)
    order = order[np.argsort(rows[order], kind="stable")]
    starts = np.searchsorted(rows[order], np.unique(rows[order]))
    groups = dict(zip(np.unique(rows[order]).tolist(), np.split(order, starts[1:]), strict=True))
    for batch_rows, x in loader(list(groups)):
        own = [groups[int(row)] for row in batch_rows]
        clean = clean_values(trace, [pair.source, pair.target], [pair], x)
        at = np.concatenate(own)
        image = np.repeat(np.arange(len(own)), [len(part) for part in own])
        channels = found.senses.channel[neurons[at]]
        s = normalised(sensitivities(pair, clean, image, channels, parameters.chunk_bytes))
        np.add.at(total, sense[at], s)
        np.add.at(square, sense[at], s * s)
    mean = total / np.maximum(n, 1)[:, None]
    deviation = np.sqrt(np.maximum(square / np.maximum(n, 1)[:, None] - mean**2, 0))
    target = np.argsort(-mean, axis=1, kind="stable")[:, : parameters.flow_targets]
    source, rank = np.nonzero(np.take_along_axis(mean, target, axis=1))
    target = target[source, rank]
    held = np.zeros((len(found.ids), images), np.float32)
    held[sense, rows] = 1
    common = (held @ roots.members(images).T.astype(np.float32))[source, target].astype(np.int64)
    return Flows(
        source,
        target,
        mean[source, target],
        deviation[source, target],
        n[source],
        common / roots.indices.shape[1],
        common,
        (found.senses.channel[found.place[0]][source] == target) & pair.identity,
        rank + 1,
    )


def class_likeness(pooled: Floats, labels: Sequence[int | None], classes: int, rows: Ints) -> Array:
    """(K, K) cosine of class means of pooled activations (N, C), each centred on the mean of all class means.

    ``rows`` are the images used; a class without one has NaNs.
    """
    y = np.array([-1 if label is None else label for label in labels], np.int64)[rows]
    sums = np.zeros((classes, pooled.shape[1]))
    np.add.at(sums, y[y >= 0], pooled[rows[y >= 0]])
    counts = np.bincount(y[y >= 0], minlength=classes)
    means = sums / np.where(counts > 0, counts, np.nan)[:, None]
    centred = means - np.nanmean(means, axis=0) if (counts > 0).any() else means
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(length > 0, length, 1)
    likeness: Array = unit @ unit.T
    return likeness
