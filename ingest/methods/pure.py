"""Circuit vectors of a layer's neurons on their reference images: what streams, and what is run once.

Notation: C neurons of the upper layer, n references each, P (image, neuron) pairs; vectors (P, D).

Images stream through the model once for all neurons that list them, those with most pairs first, so that the images
of a pass have about as many pairs; only the segment between the two layers is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec, from_units, to_units
from ingest.methods.gcc_job import Loader
from ingest.numerics.pure import VARIANTS, Forward, Look, Raw, l1_unit
from ingest.numerics.sensitivity import rows_per_chunk
from ingest.segments import Segment, Trace
from ingest.store import ActivationStore

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Vectors = Callable[[Look], Tensor]

# Images of one pass; larger ones gain nothing where a cache holds less.
_CPU_IMAGES = 16
_GPU_IMAGES = 512


@dataclass(frozen=True)
class Lens:
    """Two layers and the segment between them, in units (B, C, P) on both sides."""

    lower: LayerSpec
    upper: LayerSpec
    segment: Segment

    @property
    def nodes(self) -> list[str]:
        """Nodes of the trace that :meth:`look` needs."""
        return list(dict.fromkeys([self.lower.node, *self.segment.frozen]))

    def look(self, clean: Mapping[str, Tensor], image: Tensor, channel: Tensor, chunk_bytes: int) -> Look:
        """Pairs of images of the clean batch and neurons of the upper layer."""
        raw = clean[self.lower.node]
        shape = tuple(raw.shape)
        frozen = {name: clean[name] for name in self.segment.frozen}

        def through(segment: Raw) -> Forward:
            def forward(units: Tensor, rows: Tensor) -> Tensor:
                held = {name: value[rows] if len(value) > 1 else value for name, value in frozen.items()}
                return to_units(segment(from_units(units, shape, self.lower), held), self.upper)

            return forward

        target = torch.empty((1, self.upper.channels * self.upper.positions), device="meta")
        chunk = rows_per_chunk(raw, target, chunk_bytes)
        most = _CPU_IMAGES if raw.device.type == "cpu" else _GPU_IMAGES
        units, skip = to_units(raw, self.lower), self.upper.tokens_before
        return Look(units, through(self.segment), image, channel, skip, min(most, chunk), through=through)


@dataclass(frozen=True)
class References:
    """Each neuron's best list images: rows of the store and flat positions of their maxima, (C, n) each."""

    rows: Ints
    peaks: Ints


def references(store: ActivationStore, layer: LayerSpec, count: int, subset: Bools) -> References:
    """The ``count`` best images of every neuron among those of ``subset``, fewer where there are fewer."""
    top = store.top(layer.name, count, subset)
    return References(top.indices, top.peaks)


def lenses(trace: Trace, layers: Sequence[LayerSpec], lower: str) -> dict[int, Lens]:
    """Ordinal of each upper layer -> its lens.

    ``lower`` names the layer that feeds all later ones; empty takes for each layer the nearest one before that it
    depends on. Layers without such a layer have no lens. Raises DataError for a name that is none of the layers.
    """
    named = {layer.name: n for n, layer in enumerate(layers)}
    if lower and lower not in named:
        raise DataError("no such layer in this job", where="pure.lower", expected=", ".join(named), got=lower)
    found = {}
    for upper in range(1, len(layers)):
        before = [named[lower]] if lower else range(upper - 1, -1, -1)
        for n in before:
            if n < upper and trace.depends(layers[upper].node, layers[n].node):
                segment = trace.segment(layers[n].node, layers[upper].node)
                found[upper] = Lens(layers[n], layers[upper], segment)
                break
    return found


def variant_function(lens: Lens, variant: str) -> Vectors:
    """Vectors of a variant by name. Raises DataError for an unknown one, or without the extra it needs."""
    if variant in VARIANTS:
        return VARIANTS[variant]
    from ingest.methods.lrp import lrp_vectors

    return lrp_vectors(lens.segment, variant)


def pair_vectors(
    lens: Lens,
    trace: Trace,
    loader: Loader,
    pairs: tuple[Ints, Ints],
    functions: Sequence[Vectors],
    chunk_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Tensor]:
    """Vectors (P, D) of every pair, one tensor a function, on the model's device.

    Parameters
    ----------
    lens, trace : what is looked through.
    loader : rows of the store -> batches of (rows, images).
    pairs : (P,) rows of the store and (P,) upper channels.
    functions : of :data:`ingest.numerics.pure.VARIANTS`, or others of their kind.
    chunk_bytes : memory for one pass.
    progress : called with pairs done and pairs in all.
    """
    rows, channels = pairs
    unique, inverse, counts = np.unique(rows, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    by_row = np.argsort(inverse, kind="stable")
    first = np.cumsum(counts) - counts
    place = dict(zip(unique.tolist(), range(len(unique)), strict=True))
    found: list[Tensor] = []
    done = 0
    for batch_rows, x in loader(unique[order].tolist()):
        clean = trace.values(x, lens.nodes)
        own = [by_row[first[u] : first[u] + counts[u]] for u in (place[int(row)] for row in batch_rows)]
        at = np.concatenate(own)
        image = torch.from_numpy(np.repeat(np.arange(len(own)), [len(part) for part in own])).to(x.device)
        channel = torch.from_numpy(channels[at]).to(x.device)
        look = lens.look(clean, image, channel, chunk_bytes)
        values = [function(look) for function in functions]
        if not found:
            found = [value.new_zeros((len(rows), value.shape[1])) for value in values]
        index = torch.from_numpy(at).to(x.device)
        for whole, value in zip(found, values, strict=True):
            whole[index] = value
        done += len(at)
        if progress is not None:
            progress(done, len(rows))
    return found or [torch.empty((0, lens.lower.channels)) for _ in functions]


def reference_vectors(
    lens: Lens,
    trace: Trace,
    loader: Loader,
    found: References,
    channels: Ints,
    variant: str,
    chunk_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, Tensor, Bools]:
    """The authors' vectors v (c, n, C_lo), the variant's (c, n, D), and which references there are (c, n).

    ``channels`` (c,) are the neurons asked for. A reference on which the neuron is silent, its map ≤ 0 everywhere,
    has no relevance and counts as none.
    """
    rows = found.rows[channels]
    count, n = rows.shape
    pairs = (rows.ravel(), np.repeat(channels, n))
    functions: list[Vectors] = [lambda look: look.relevance]
    if variant != "pure":
        functions.append(variant_function(lens, variant))
    r, *other = pair_vectors(lens, trace, loader, pairs, functions, chunk_bytes, progress)
    known = (r != 0).any(1).view(count, n).cpu().numpy()
    v = l1_unit(r).view(count, n, -1)
    return v, other[0].view(count, n, -1) if other else v, known
