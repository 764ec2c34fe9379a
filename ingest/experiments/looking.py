"""Vectors of many neurons' references by every variant, streamed over images.

Notation: S neurons or read-outs of the upper layer with n references each; V variants of D_v numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.experiments.splice import Batches, Ints, Splices
from ingest.layers import LayerSpec, from_units, to_units
from ingest.methods.pairs import Pair
from ingest.numerics.pure import VARIANTS, Forward, Look
from ingest.segments import Trace

# Images of one pass; on a CPU more of them leave its cache.
_IMAGES = 16


@dataclass(frozen=True)
class Watched:
    """Neurons whose references are looked at.

    rows : (S, n) references, rows of the store.
    channels : (S,) channels of the upper layer; with ``splices`` the ordinals of these instead.
    splices : neurons that are no channels of their own.
    hidden : (S, h) channels that activation vectors show as zero; None for none.
    """

    rows: Ints
    channels: Ints
    splices: Splices | None = None
    hidden: Ints | None = None


def watch(
    trace: Trace, pair: Pair, watched: Watched, batches: Batches, names: Sequence[str]
) -> dict[str, Tensor]:
    """(S, n, D_v) float32 on the CPU of each variant named, for circuits from the pair's source to its target."""
    found: dict[str, Tensor] = {}
    for places, look in looks(trace, pair, watched, batches):
        for name in names:
            vectors = VARIANTS[name](look).float().cpu()
            if name not in found:
                found[name] = torch.zeros((watched.rows.size, vectors.shape[1]))
            found[name][torch.from_numpy(places)] = vectors
    return {name: vectors.view(*watched.rows.shape, -1) for name, vectors in found.items()}


def looks(trace: Trace, pair: Pair, watched: Watched, batches: Batches) -> Iterator[tuple[Ints, Look]]:
    """Each image once with all neurons it is a reference of: places of its pairs in rows.ravel(), and the look."""
    flat = watched.rows.ravel()
    owner = np.repeat(np.arange(len(watched.rows)), watched.rows.shape[1])
    order = np.argsort(flat, kind="stable")
    unique, first = np.unique(flat[order], return_index=True)
    ends = np.append(first[1:], len(flat))
    own = {int(row): order[a:b] for row, a, b in zip(unique, first, ends, strict=True)}
    width = pair.target.channels
    channels = watched.channels + (0 if watched.splices is None else width)
    for rows, x in batches([int(row) for row in unique]):
        with torch.no_grad():
            nodes = dict.fromkeys((pair.source.node, *pair.segment.frozen))
            values = trace.values(x, list(nodes))
        places = np.concatenate([own[row] for row in rows])
        image = np.repeat(np.arange(len(rows)), [len(own[row]) for row in rows])
        hidden = None if watched.hidden is None else _tensor(watched.hidden[owner[places]], x)
        yield (
            places,
            Look(
                to_units(values[pair.source.node], pair.source),
                forward_of(pair, values, watched.splices),
                _tensor(image, x),
                _tensor(channels[owner[places]], x),
                skip=pair.target.tokens_before,
                chunk=_IMAGES,
                width=width,
                hidden=hidden,
            ),
        )


def forward_of(pair: Pair, values: dict[str, Tensor], splices: Splices | None) -> Forward:
    """The segment on units, read-outs behind the channels. ``values``: the source and the frozen inputs of a batch."""
    source: LayerSpec = pair.source
    shape = values[source.node].shape

    def forward(units: Tensor, rows: Tensor) -> Tensor:
        held = {name: values[name][rows] for name in pair.segment.frozen}
        upper = to_units(pair.segment(from_units(units, shape, source), held), pair.target)
        return upper if splices is None else torch.cat([upper, splices.read(upper)], 1)

    return forward


def _tensor(values: NDArray[np.int64], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)
