"""Granular Concept Circuits of one query, on the query itself (exact) — the paper's method (methods 1).

Only the segment between two adjacent layers is run, for all sources of a layer at once; everything else of
the formula lives in `ingest.numerics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec
from ingest.methods.gcc_job import GccParameters, Lists, Query, query_of_tensor
from ingest.methods.pairs import Pair, clean_values, make_pairs
from ingest.numerics.flow import membership
from ingest.numerics.gcc import select
from ingest.numerics.sensitivity import Cut, clipped, effects, normalised, rows_per_chunk, without_self
from ingest.numerics.traversal import Edges, GccCircuit, circuits, walk
from ingest.segments import Trace

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
METHOD = "gcc"
VERSION = "1"


@dataclass(frozen=True)
class QueryCircuits:
    """One query's circuits, all its edges once, its clean logits, and how its thresholds came about.

    sources : sources whose threshold was fitted.      fallbacks : of these, fits that failed.
    """

    query: Query
    circuits: tuple[GccCircuit, ...]
    edges: Edges
    logits: NDArray[np.float32]
    sources: int
    fallbacks: int


class OverlapRows:
    """S_SF of chosen sources against all targets of the next layer, from sparse lists kept per layer."""

    def __init__(self, lists: Lists) -> None:
        self._marks = [membership(top.indices, lists.rows) for top in lists.roots]
        self.length = lists.roots[0].indices.shape[1]

    def counts(self, layer: int, sources: Ints) -> NDArray[np.int32]:
        """(R, D) images in both root lists, for sources (R,) of a layer and all channels of the next."""
        product = self._marks[layer][sources] @ self._marks[layer + 1].T
        found: NDArray[np.int32] = product.toarray().astype(np.int32, copy=False)
        return found

    def rows(self, layer: int, sources: Ints) -> Array:
        """(R, D) S_SF."""
        return self.counts(layer, sources) / float(self.length)


def sensitivities(
    pair: Pair, clean: Mapping[str, Tensor], images: Ints, channels: Ints, chunk_bytes: int
) -> Array:
    """S̃ (R, D) of rows (image of the clean batch, source channel) through one pair."""
    a = clean[pair.source.node]
    frozen = {name: clean[name] for name in pair.segment.frozen}
    cut = Cut(pair.segment, frozen, pair.source.channel_axis, pair.target.channel_axis)
    chunk = rows_per_chunk(a, clean[pair.target.node], chunk_bytes)
    return clipped(effects(cut, a, images, channels, chunk))


@torch.inference_mode()
def query_circuits(
    trace: Trace,
    pairs: Sequence[Pair | None],
    overlaps: OverlapRows,
    query: Query,
    parameters: GccParameters,
) -> QueryCircuits:
    """The exact circuits of one query.

    Parameters
    ----------
    trace : of the whole model.
    pairs : of adjacent layers, `make_pairs`.
    overlaps : S_SF of the lists in use.
    query : with its memberships in the same lists.
    parameters : thresholds and memory.
    """
    layers = _layers(pairs)
    clean = clean_values(trace, layers, pairs, query.x)
    cuts = [0, 0]

    def outgoing(layer: int, sources: Ints) -> Edges:
        pair = pairs[layer]
        if pair is None:
            return Edges.empty()
        raw = sensitivities(pair, clean, np.zeros_like(sources), sources, parameters.chunk_bytes)
        s = normalised(raw)
        common = overlaps.counts(layer, sources)
        chosen = select(s, common, overlaps.length, query.masked[layer + 1], parameters.thresholds)
        cuts[0] += int((chosen.cuts.exceedances > 0).sum())
        cuts[1] += int(chosen.cuts.fallback.sum())
        at = (chosen.row, chosen.target)
        channels = sources[chosen.row]
        identity = (channels == chosen.target) & pair.identity
        alone = without_self(raw, sources) if pair.identity else s
        return Edges(
            layer=np.full(len(channels), layer),
            source=channels,
            target=chosen.target,
            sensitivity=s[at],
            alone=np.where(identity, s[at], alone[at]),
            raw=raw[at],
            overlap=common[at] / float(overlaps.length),
            identity=identity,
            rank=_ranks(s, at),
        )

    roots = query.root_channels()
    edges = walk(roots, outgoing)
    logits = clean["output"][0].float().cpu().numpy()
    return QueryCircuits(query, tuple(circuits(query.id, roots, edges)), edges, logits, cuts[0], cuts[1])


def circuit_of_tensor(
    trace: Trace,
    layers: Sequence[LayerSpec],
    lists: Lists,
    x: Tensor,
    parameters: GccParameters,
    name: str = "query",
) -> QueryCircuits:
    """The exact circuits of a new image (1, 3, H, W): its activations tested against the lists' floors."""
    query = query_of_tensor(trace, layers, lists, x, name)
    return query_circuits(trace, make_pairs(trace, layers), OverlapRows(lists), query, parameters)


def _layers(pairs: Sequence[Pair | None]) -> list[LayerSpec]:
    known = [pair for pair in pairs if pair is not None]
    return list({layer.node: layer for pair in known for layer in (pair.source, pair.target)}.values())


def _ranks(s: Array, at: tuple[Ints, Ints]) -> Ints:
    """Place of each chosen pair among its source's targets by S_NS, 1 the strongest, ties by channel."""
    order = np.argsort(-s, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(s.shape[1])[None, :], axis=1)
    return (places[at] + 1).astype(np.int64)
