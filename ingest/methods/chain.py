"""Ablation along a chain of segments: a cut that begins at layer l is run from layer l on, not from the image.

Notation: L layers; R cuts of one image; segment l joins layer l to l + 1, the last one layer L − 1 to the logits.

Exact where the layers form a chain, that is, each is computed from the one before alone. Rows join the batch at the
first layer they cut, where the image's clean value is known, so late and narrow layers are run for all cuts and early
and wide ones only for those that need them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec
from ingest.methods.pairs import Pair
from ingest.numerics.traversal import Node
from ingest.segments import OUTPUT, Segment, Trace

Floats = NDArray[np.float32]
ROWS = 128


@dataclass(frozen=True)
class Chain:
    """Layers each computed from the one before alone, and the segments between them, the logits last."""

    layers: tuple[LayerSpec, ...]
    segments: tuple[Segment, ...]


def make_chain(trace: Trace, layers: Sequence[LayerSpec], pairs: Sequence[Pair | None]) -> Chain | None:
    """The chain of a model's layers, None where they are none: an input besides the layer before is needed."""
    if not trace.depends(OUTPUT, layers[-1].node):
        return None
    segments = [pair.segment for pair in pairs if pair is not None]
    segments.append(trace.segment(layers[-1].node, OUTPUT))
    if len(segments) != len(layers) or any(segment.frozen for segment in segments):
        return None
    return Chain(tuple(layers), tuple(segments))


@torch.inference_mode()
def chained_logits(chain: Chain, clean: Mapping[str, Tensor], cuts: Sequence[Collection[Node]]) -> Floats:
    """(R, outputs) logits of one image with the nodes of each cut at zero, R > 0.

    Parameters
    ----------
    clean : node of each layer -> its value (1, …) on the untouched model.
    cuts : R sets of (layer, channel).
    """
    # An empty cut joins last: its logits are the clean ones.
    firsts = [min((layer for layer, _ in cut), default=len(chain.layers) - 1) for cut in cuts]
    order = sorted(range(len(cuts)), key=firsts.__getitem__)
    found: list[Floats] = []
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        found.append(_run(chain, clean, [cuts[row] for row in part], [firsts[row] for row in part]))
    logits = np.concatenate(found)
    back = np.empty_like(logits)
    back[order] = logits
    return back


def _run(
    chain: Chain, clean: Mapping[str, Tensor], cuts: Sequence[Collection[Node]], firsts: Sequence[int]
) -> Floats:
    """Cuts in order of their first layers: the rows in the batch are always a beginning of the list."""
    value: Tensor | None = None
    for ordinal, (layer, segment) in enumerate(zip(chain.layers, chain.segments, strict=True)):
        joined = sum(first == ordinal for first in firsts)
        here = clean[layer.node].expand(joined, *clean[layer.node].shape[1:])
        value = here.clone() if value is None else torch.cat([value, here]) if joined else value
        if len(value) == 0:
            value = None
            continue
        marks = [(r, c) for r, cut in enumerate(cuts[: len(value)]) for at, c in cut if at == ordinal]
        if marks:
            rows, channels = (torch.tensor(side, device=value.device) for side in zip(*marks, strict=True))
            value = value.clone()
            value.movedim(layer.channel_axis, 1)[rows, channels] = 0
        value = segment(value, {})
    if value is None:
        return np.empty((0, 0), np.float32)
    logits: Floats = value.float().cpu().numpy()
    return logits
