"""Circuit pruning and edge pruning of a set of neurons, exactly as CLA defines them, beside plain zeroing.

Notation: B images; l_1 < … < l_L the layers that hold neurons of the set, in order of execution, adjacent or not;
A_i the set's channels of l_i; a_i the value of l_i on the untouched model; F_ij the segment from l_i to l_j, inputs
that do not depend on a_i at their clean values; a[A = 0] is a with channels A at zero.

edge pruning     ã_2[A_2] = F_12(a_1[A_1 = 0])[A_2], clean elsewhere: all paths between the first two layers are cut.
circuit pruning  ã_i[A_i] = F_(i−1)i(a_(i−1)[A_(i−1) = 0])[A_i] for i = 2 … L, clean elsewhere.
zero             a_i[A_i = 0] in all layers at once, everything behind computed from what is left.

Both prunings run on from their last layer, whatever else is read behind it being clean; layers between stay clean. As
every ã_i is made from clean values, the logits under circuit pruning depend on the last two layers alone, and equal
edge pruning of these two: the layers before matter to what is read at them (a probe), not to the output. A set in one
layer has no edges, so neither pruning changes anything.

Source: Automatic Discovery of Visual Circuits (arXiv 2404.14349), section on pruning; that values are replaced layer
by layer from clean ones is our reading of "activations outside the circuit held clean".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec
from ingest.numerics.traversal import Node
from ingest.segments import OUTPUT, Edit, Segment, Trace

CIRCUIT, EDGES, ZERO = "circuit", "edges", "zero"
KINDS = (ZERO, CIRCUIT, EDGES)


@dataclass(frozen=True)
class Clean:
    """Clean values of B images, (B, …) each, by node: what prunings of these images start from."""

    x: Tensor
    values: Mapping[str, Tensor]


class Pruner:
    """Prunes sets of neurons of one model; segments are cut once and kept.

    Parameters
    ----------
    trace : of the model.
    layers : whose ordinals the nodes (layer, channel) name, in order of execution.
    """

    def __init__(self, trace: Trace, layers: Sequence[LayerSpec]) -> None:
        self._trace = trace
        self._layers = tuple(layers)
        self._segments: dict[tuple[str, str], Segment] = {}

    @torch.inference_mode()
    def clean(
        self, x: Tensor, cuts: Iterable[tuple[Collection[Node], str]], wanted: Sequence[str] = (OUTPUT,)
    ) -> Clean:
        """Clean values of images x (B, C, H, W) that these prunings (neurons, kind) read or are asked for."""
        nodes = dict.fromkeys(wanted)
        for cut, kind in cuts:
            used = self._used(cut, kind)
            pairs = [(self._layers[a].node, self._layers[b].node) for a, b in pairwise(used)]
            if kind != ZERO and pairs:
                last = self._layers[used[-1]].node
                pairs += [(last, node) for node in wanted if self._trace.depends(node, last)]
                for a, b in pairs:
                    nodes |= dict.fromkeys((a, b, *self._segment(a, b).frozen))
        return Clean(x, self._trace.values(x, list(nodes)))

    @torch.inference_mode()
    def values(
        self, clean: Clean, cut: Collection[Node], kind: str, wanted: Sequence[str] = (OUTPUT,)
    ) -> dict[str, Tensor]:
        """Values at the wanted nodes under one pruning of all images of ``clean``.

        Raises DataError for a kind that is none, or a neuron that the model does not have.
        """
        used = self._used(cut, kind)
        if kind == ZERO:
            return self._trace.values(clean.x, wanted, self._zeroing(cut))
        pruned = self._pruned(clean, cut, used)
        found = {}
        for node in wanted:
            last = self._layers[used[-1]].node if pruned else node
            if node in pruned:
                found[node] = pruned[node]
            elif pruned and self._trace.depends(node, last):
                found[node] = self._segment(last, node)(pruned[last], clean.values)
            else:
                found[node] = clean.values[node]
        return found

    def _pruned(self, clean: Clean, cut: Collection[Node], used: Sequence[int]) -> dict[str, Tensor]:
        """Node of each layer after the first -> ã."""
        found = {}
        for before, at in pairwise(used):
            source, target = self._layers[before], self._layers[at]
            a = clean.values[source.node].clone()
            a.movedim(source.channel_axis, 1)[:, _channels(cut, before)] = 0
            segment = self._segment(source.node, target.node)
            own, y = _channels(cut, at), segment(a, clean.values)
            new = clean.values[target.node].clone()
            new.movedim(target.channel_axis, 1)[:, own] = y.movedim(target.channel_axis, 1)[:, own]
            found[target.node] = new
        return found

    def _zeroing(self, cut: Collection[Node]) -> dict[str, Edit]:
        edits = {}
        for ordinal in sorted({layer for layer, _ in cut}):
            layer = self._layers[ordinal]
            edits[layer.node] = _zero(_channels(cut, ordinal), layer.channel_axis)
        return edits

    def _used(self, cut: Collection[Node], kind: str) -> list[int]:
        """Layers a pruning works on, in order: those with neurons, of which edge pruning takes the first two."""
        if kind not in KINDS:
            raise DataError("no such intervention", where=kind, expected=", ".join(KINDS), got=kind)
        for layer, channel in cut:
            if not (0 <= layer < len(self._layers) and 0 <= channel < self._layers[layer].channels):
                raise DataError(
                    "the model has no such neuron",
                    where=f"layer {layer}, channel {channel}",
                    expected=f"{len(self._layers)} layers"
                    + (f", {self._layers[layer].channels} channels" if layer < len(self._layers) else ""),
                )
        used = sorted({layer for layer, _ in cut})
        return used[:2] if kind == EDGES else used

    def _segment(self, a: str, b: str) -> Segment:
        if (a, b) not in self._segments:
            self._segments[a, b] = self._trace.segment(a, b)
        return self._segments[a, b]


def shares(cut: Collection[Node], layers: Sequence[LayerSpec]) -> tuple[float, float]:
    """What a set touches: its edges (A_i × A_(i+1) of successive layers) as a share of all edges between the layers
    it is in, and the largest share of a layer's channels.
    """
    count = {layer: len(_channels(cut, layer)) for layer in sorted({layer for layer, _ in cut})}
    own = sum(count[a] * count[b] for a, b in pairwise(count))
    every = sum(layers[a].channels * layers[b].channels for a, b in pairwise(count))
    channels = max((n / layers[layer].channels for layer, n in count.items()), default=0.0)
    return own / every if every else 0.0, channels


def _channels(cut: Collection[Node], layer: int) -> list[int]:
    return sorted({channel for at, channel in cut if at == layer})


def _zero(channels: list[int], axis: int) -> Edit:
    def edit(value: Tensor) -> Tensor:
        changed = value.clone()
        changed.movedim(axis, 1)[:, channels] = 0
        return changed

    return edit
