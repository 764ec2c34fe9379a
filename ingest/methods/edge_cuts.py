"""Cutting edges: the target's value computed with the source at zero, all else as it stands.

Notation: R rows, each a set of edges cut together on one image; an edge is (layer l, source c, target t of l + 1).

For each target t with cut edges from sources S, the value of t is replaced by F(a with S at zero)_t, where F is the
segment from layer l and a its activation in this row, earlier cuts included; other channels keep theirs. The paper's
text is silent on how an edge is cut (methods, open choice 8).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.pairs import Pair
from ingest.numerics.sensitivity import rows_per_chunk
from ingest.segments import OUTPUT, Edit, Trace

Floats = NDArray[np.float32]
Edge = tuple[int, int, int]
"""(layer of the source, source channel, target channel)."""
BATCH = 32


@torch.inference_mode()
def cut_logits(
    trace: Trace,
    pairs: Sequence[Pair | None],
    x: Tensor,
    cuts: Sequence[Collection[Edge]],
    chunk_bytes: int,
) -> Floats:
    """(R, outputs) logits of one image x (1, 3, H, W), or of R of them, under R sets of cut edges."""
    if not cuts:
        return np.empty((0, trace.outputs), np.float32)
    found: Floats = cut_values(trace, pairs, x, cuts, chunk_bytes)[OUTPUT].float().cpu().numpy()
    return found


@torch.inference_mode()
def cut_values(
    trace: Trace,
    pairs: Sequence[Pair | None],
    x: Tensor,
    cuts: Sequence[Collection[Edge]],
    chunk_bytes: int,
    wanted: Sequence[str] = (OUTPUT,),
) -> dict[str, Tensor]:
    """Values (R, …) at the wanted nodes under R > 0 sets of cut edges, one for each image of x (R, 3, H, W) or all
    for the one image of x (1, 3, H, W).
    """
    found: dict[str, list[Tensor]] = {node: [] for node in wanted}
    for start in range(0, len(cuts), BATCH):
        part = cuts[start : start + BATCH]
        images = x.expand(len(part), *x.shape[1:]) if len(x) == 1 else x[start : start + BATCH]
        seen: dict[str, Tensor] = {}
        edits: dict[str, Edit] = {}
        for pair in pairs:
            if pair is not None:
                for node in (pair.source.node, *pair.segment.frozen):
                    edits.setdefault(node, _keeping(seen, node))
        for layer, pair in enumerate(pairs):
            changed = _by_target(part, layer)
            if pair is not None and changed:
                job = _Job(pair, changed, seen, chunk_bytes)
                edits[pair.target.node] = job.after(edits.get(pair.target.node))
        for node, value in trace.values(images, wanted, edits).items():
            found[node].append(value)
    return {node: torch.cat(values) for node, values in found.items()}


def _keeping(seen: dict[str, Tensor], node: str) -> Edit:
    def edit(value: Tensor) -> Tensor:
        seen[node] = value
        return value

    return edit


def _by_target(cuts: Sequence[Collection[Edge]], layer: int) -> dict[tuple[int, int], list[int]]:
    """(row, target) -> sources cut from it, for the edges that leave one layer."""
    found: dict[tuple[int, int], list[int]] = {}
    for row, edges in enumerate(cuts):
        for at, source, target in sorted(edges):
            if at == layer:
                found.setdefault((row, target), []).append(source)
    return found


@dataclass(frozen=True)
class _Job:
    """The targets of one pair whose values change, and the activations seen so far in this forward."""

    pair: Pair
    wanted: Mapping[tuple[int, int], list[int]]
    seen: dict[str, Tensor]
    chunk_bytes: int

    def after(self, then: Edit | None) -> Edit:
        """The edit of the target layer's value, and what else was to happen to it."""

        def edit(value: Tensor) -> Tensor:
            changed = self._replaced(value)
            return changed if then is None else then(changed)

        return edit

    def _replaced(self, value: Tensor) -> Tensor:
        changed = value.clone()
        a = self.seen[self.pair.source.node]
        keys = list(self.wanted)
        step = rows_per_chunk(a, value, self.chunk_bytes)
        for start in range(0, len(keys), step):
            part = keys[start : start + step]
            rows = torch.tensor([row for row, _ in part], device=a.device)
            targets = torch.tensor([target for _, target in part], device=a.device)
            y = self._without(a[rows], part, rows)
            own = y.movedim(self.pair.target.channel_axis, 1)[torch.arange(len(part)), targets]
            changed.movedim(self.pair.target.channel_axis, 1)[rows, targets] = own
        return changed

    def _without(self, x: Tensor, part: Sequence[tuple[int, int]], rows: Tensor) -> Tensor:
        """The target layer for copies of a, each with the sources cut from one target at zero."""
        channels = x.movedim(self.pair.source.channel_axis, 1)
        for i, key in enumerate(part):
            channels[i, self.wanted[key]] = 0
        return self.pair.segment(x, {name: self.seen[name][rows] for name in self.pair.segment.frozen})
