"""GIG as tables: dictionaries with their concepts, contributions of a scope, and images in concepts.

`CONTRIBUTES_TO` holds, per target, the ``keep`` sources of largest |mean|: share and rank_in are over all sources of
the target, rank_out is over the scope's targets in that layer, all before pruning. A class is the only class target of
its scope, so its rank_out is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.address import quote
from atlas.spool import Coded, Ragged, Values
from ingest.layers import LayerSpec
from ingest.methods.concepts import LayerDictionary, Vectors, nearest_vectors
from ingest.methods.gig import Decomposed
from ingest.methods.gig_job import GigParameters
from ingest.methods.survey import Subject
from ingest.store import cell_centre

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = Mapping[str, Values]
Tables = Iterator[tuple[str, Columns]]


@dataclass(frozen=True)
class ConceptNaming:
    """What turns ordinals into ids: the subject, ids of the store's images, and the input's shape for pixels."""

    subject: Subject
    images: Sequence[str]
    input_shape: tuple[int, int, int]

    def dictionary(self, dictionary: LayerDictionary) -> str:
        """Id of a dictionary: its layer's and its method."""
        return f"{self.subject.layer_id(dictionary.space.layer)}/{quote(dictionary.method)}"

    def concepts(self, dictionary: LayerDictionary) -> list[str]:
        """Ids of its concepts, by ordinal."""
        prefix = "" if dictionary.prefix is None else f"{quote(dictionary.prefix)}."
        layer = self.subject.layer_id(dictionary.space.layer)
        return [f"{layer}/{prefix}c{ordinal}" for ordinal in range(len(dictionary.v))]

    def places(self, layer: LayerSpec, positions: Ints) -> tuple[Values, Values]:
        """x and y of positions of a layer; missing for tokens that lie nowhere."""
        on_grid = positions - layer.tokens_before
        x, y = cell_centre(layer, np.maximum(on_grid, 0), self.input_shape)
        return np.ma.MaskedArray(x, on_grid < 0), np.ma.MaskedArray(y, on_grid < 0)


def dictionary_tables(
    naming: ConceptNaming, dictionary: LayerDictionary, vectors: Vectors, parameters: GigParameters, seed: int
) -> Tables:
    """One layer's dictionary, its concepts with their vectors, largest channels and nearest list images."""
    own, names = naming.dictionary(dictionary), naming.concepts(dictionary)
    layer = naming.subject.layer_id(dictionary.space.layer)
    count = len(names)
    yield (
        "Dictionary",
        {
            "id": [own],
            "method": [dictionary.method],
            "K": [count],
            "N": [dictionary.made_from],
            "λ": [dictionary.penalty],
            "rel_l2": [None if np.isnan(dictionary.rel_l2) else dictionary.rel_l2],
            "l0": [None if np.isnan(dictionary.l0) else dictionary.l0],
            "space": [parameters.space],
            "seed": [seed],
        },
    )
    yield "Layer-HAS_DICTIONARY-Dictionary", {"start": [layer], "end": [own]}
    yield (
        "Concept",
        {
            "id": names,
            "layer": [layer] * count,
            "dictionary": [own] * count,
            "ordinal": np.arange(count),
            "size": dictionary.sizes,
            "norm": dictionary.norms,
            "vector": _rows(dictionary.v.cpu().numpy()),
        },
    )
    yield "Dictionary-HAS_CONCEPT-Concept", {"start": [own] * count, "end": names}
    yield "Concept-LOADS_ON-Neuron", _loads(naming, dictionary, names, parameters.exemplars)
    yield "Concept-EXEMPLIFIED_BY-Image", _exemplars(naming, dictionary, vectors, names, parameters.exemplars)


def _rows(matrix: NDArray[np.float32]) -> Values:
    return Ragged(matrix.ravel(), np.arange(len(matrix) + 1) * matrix.shape[1])


def _loads(naming: ConceptNaming, dictionary: LayerDictionary, names: list[str], count: int) -> Columns:
    order = dictionary.v.abs().sort(dim=1, descending=True, stable=True).indices[:, :count]
    weights = dictionary.v.gather(1, order).cpu().numpy().astype(np.float64)
    width = order.shape[1]
    return {
        "start": Coded(np.repeat(np.arange(len(names)), width), names),
        "end": Coded(order.cpu().numpy().ravel(), naming.subject.neuron_ids(dictionary.space.layer)),
        "weight": weights.ravel(),
        "rank_out": np.tile(np.arange(1, width + 1), len(names)),
    }


def _exemplars(
    naming: ConceptNaming, dictionary: LayerDictionary, vectors: Vectors, names: list[str], count: int
) -> Columns:
    indices, similarity = nearest_vectors(dictionary, torch.from_numpy(vectors.vectors), count)
    width = indices.shape[1]
    x, y = naming.places(dictionary.space.layer, vectors.positions[indices.ravel()])
    return {
        "start": Coded(np.repeat(np.arange(len(names)), width), names),
        "end": Coded(vectors.rows[indices.ravel()], naming.images),
        "similarity": similarity.ravel(),
        "rank": np.tile(np.arange(1, width + 1), len(names)),
        "x": x,
        "y": y,
    }


@dataclass(frozen=True)
class Averages:
    """Mean and standard deviation (T, K) over n images, of contributions of K sources to T targets."""

    mean: Array
    std: Array
    n: int

    @classmethod
    def of(cls, scores: Array) -> Averages:
        """Of scores (n, T, K)."""
        return cls(scores.mean(0), scores.std(0), len(scores))


def contribution_table(
    starts: Sequence[str], ends: Sequence[str], averages: Averages, scope: str, hops: int, keep: int
) -> Columns:
    """The strongest ``keep`` sources of each target that contribute anything; ``ends`` names the T targets."""
    mean = averages.mean
    strength = np.abs(mean)
    totals = strength.sum(1, keepdims=True)
    share = np.divide(mean, totals, out=np.zeros_like(mean), where=totals > 0)
    rank_in, rank_out = _ranks(strength, 1), _ranks(strength, 0)
    targets, sources = np.nonzero((rank_in <= keep) & (strength > 0))
    at = (targets, sources)
    return {
        "start": Coded(sources, starts),
        "end": Coded(targets, ends),
        "gig": mean[at],
        "scope": [scope] * len(targets),
        "share": share[at],
        "rank_in": rank_in[at],
        "rank_out": rank_out[at],
        "hops": np.full(len(targets), hops),
        "n": np.full(len(targets), averages.n),
        "std": averages.std[at],
    }


def _ranks(strength: Array, axis: int) -> Ints:
    """Ranks from 1 along an axis, the largest first, ties by index."""
    order = np.argsort(-strength, axis=axis, kind="stable")
    ranks = np.empty(strength.shape, np.int64)
    shape = [1, 1]
    shape[axis] = strength.shape[axis]
    places = np.broadcast_to(np.arange(1, strength.shape[axis] + 1).reshape(shape), strength.shape)
    np.put_along_axis(ranks, order, places, axis=axis)
    return ranks


def express_table(
    naming: ConceptNaming,
    dictionary: LayerDictionary,
    decomposed: Decomposed,
    images: Sequence[int],
    count: int,
) -> Columns:
    """Images in concepts of one layer: per image the concepts of largest |u|, at the position where it is.

    images : rows of the store, one for each decomposed image.
    """
    starts, ends, values, positions, ranks = [], [], [], [], []
    for index, row in enumerate(images):
        codes = decomposed.image(index)
        atoms, where = strongest(codes.atoms.cpu().numpy(), codes.values.cpu().numpy())
        own = where[:count]
        starts += [row] * len(own)
        ends.append(atoms[:count])
        values.append(codes.values.cpu().numpy()[own])
        positions.append(codes.rows.cpu().numpy()[own])
        ranks.append(np.arange(1, len(own) + 1))
    x, y = naming.places(dictionary.space.layer, np.concatenate([*positions, np.zeros(0, np.int64)]))
    return {
        "start": Coded(np.array(starts, np.int64), naming.images),
        "end": Coded(np.concatenate([*ends, np.zeros(0, np.int64)]), naming.concepts(dictionary)),
        "u": np.concatenate([*values, np.zeros(0)]),
        "x": x,
        "y": y,
        "rank_out": np.concatenate([*ranks, np.zeros(0, np.int64)]),
    }


def strongest(atoms: Ints, values: Array) -> tuple[Ints, Ints]:
    """Concepts of one image, the largest |u| first (ties by ordinal), and the entry where each is largest."""
    order = np.lexsort((np.arange(len(atoms)), -np.abs(values), atoms))
    first = np.ones(len(order), bool)
    first[1:] = atoms[order][1:] != atoms[order][:-1]
    best = order[first]
    rank = np.lexsort((atoms[best], -np.abs(values[best])))
    return atoms[best][rank], best[rank]
