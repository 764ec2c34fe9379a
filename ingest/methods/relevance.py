"""Relevance of every position of every layer for the output, and what part of the image one feature vector sees.

Notation as in `ingest.numerics.srd`. Relevance goes from a layer to the nearest lower one that feeds it, and starts at
the logits; each step is one vector-Jacobian product of the segment between the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ingest.layers import from_units, to_units
from ingest.methods.feature_space import FeatureSpace
from ingest.numerics.srd import cotangent, draw_positions, pulled_back, relevance
from ingest.segments import OUTPUT, Segment, Trace

Clean = Mapping[str, Tensor]


@dataclass(frozen=True)
class Sampled:
    """One position per image of one layer: (B,) positions, (B,) whether SRD chose it (else |grad × act| did)."""

    positions: Tensor
    by_srd: Tensor


class RelevanceChain:
    """The layers of a model with the segments that relevance goes down.

    Parameters
    ----------
    trace : of the model.
    spaces : feature space of each layer, in order.
    """

    def __init__(self, trace: Trace, spaces: Sequence[FeatureSpace]) -> None:
        self._trace = trace
        self.spaces = spaces
        self._above: list[int | None] = []
        self._segments: list[Segment] = []
        for ordinal, space in enumerate(spaces):
            a = space.layer.node
            above = (n for n in range(ordinal + 1, len(spaces)) if trace.depends(spaces[n].node, a))
            found = next(above, None)
            self._above.append(found)
            self._segments.append(trace.segment(a, OUTPUT if found is None else spaces[found].node))

    @cached_property
    def nodes(self) -> list[str]:
        """All nodes whose clean values are read: layers, feature spaces, frozen inputs, logits."""
        frozen = [
            name for segment in [*self._segments, *self._whole, *self._below] for name in segment.frozen
        ]
        own = [name for space in self.spaces for name in (space.layer.node, space.node)]
        return [*dict.fromkeys([*own, *frozen, OUTPUT])]

    @cached_property
    def _whole(self) -> list[Segment]:
        """Layer → logits."""
        return [self._trace.segment(space.layer.node, OUTPUT) for space in self.spaces]

    @cached_property
    def _below(self) -> list[Segment]:
        """Image → feature space."""
        return [self._trace.segment(self._input, space.node) for space in self.spaces]

    @cached_property
    def _input(self) -> str:
        return next(str(node.name) for node in self._trace.graph.graph.nodes if node.op == "placeholder")

    def clean(self, x: Tensor) -> dict[str, Tensor]:
        """Values of :attr:`nodes` on images (B, 3, H, W)."""
        with torch.no_grad():
            return self._trace.values(x, self.nodes)

    def relevances(self, clean: Clean) -> list[Tensor]:
        """R (B, P) of each layer, signed."""
        found: dict[int, Tensor] = {}
        for ordinal in reversed(range(len(self.spaces))):
            above = self._above[ordinal]
            if above is None:
                logits = clean[OUTPUT]
                h = cotangent(logits[..., None], logits.new_ones(len(logits), 1)).squeeze(2)
            else:
                h = self._cotangent(above, clean, found[above])
            found[ordinal] = self._step(ordinal, clean, h)
        return [found[ordinal] for ordinal in range(len(self.spaces))]

    def _cotangent(self, ordinal: int, clean: Clean, weights: Tensor) -> Tensor:
        """h in raw layout at a layer's feature space, for R (B, P)."""
        space = self.spaces[ordinal]
        value = clean[space.node]
        return from_units(cotangent(to_units(value, space.layer), weights), value.shape, space.layer)

    def _step(self, ordinal: int, clean: Clean, h: Tensor) -> Tensor:
        """R (B, P) of a layer, from h at what it feeds."""
        layer = self.spaces[ordinal].layer
        a = clean[layer.node]
        g = pulled_back(self._segments[ordinal].bind(clean), a, h)
        return relevance(to_units(a, layer), to_units(g, layer))

    def sampled(self, ordinal: int, weights: Tensor, clean: Clean, uniform: Tensor) -> Sampled:
        """One position per image, drawn by R ≥ 0; where no R is positive, by |gradient × activation| of the
        predicted logit.

        weights : (B, P) R.      uniform : (B,) in [0, 1).
        """
        positions, sound = draw_positions(weights, uniform)
        if bool(sound.all()):
            return Sampled(positions, sound)
        layer, logits = self.spaces[ordinal].layer, clean[OUTPUT]
        a = clean[layer.node]
        predicted = torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
        g = pulled_back(self._whole[ordinal].bind(clean), a, predicted)
        strength = relevance(to_units(a, layer).abs(), to_units(g, layer).abs())
        return Sampled(torch.where(sound, positions, draw_positions(strength, uniform)[0]), sound)

    def fields(self, x: Tensor, clean: Clean, ordinal: int, positions: Tensor) -> Tensor:
        """Effective receptive fields of one position per image as input maps (B, H, W), non-negative.

        R is one-hot at ``positions`` (B,). Relevance goes down to the image in one step: h = v / ‖v‖² at the
        position, g its gradient with respect to the image, and the map is the L2 norm of g over colours. Input ×
        gradient would make a dark pixel unseen.
        """
        space = self.spaces[ordinal]
        count = to_units(clean[space.node], space.layer).shape[2]
        one_hot = torch.nn.functional.one_hot(positions, count).to(x.dtype)
        h = self._cotangent(ordinal, clean, one_hot)
        g = pulled_back(self._below[ordinal].bind(clean), x, h)
        field: Tensor = torch.linalg.vector_norm(g, dim=1)
        return field


def uniforms(seed: int, images: Sequence[str], layer: str) -> Tensor:
    """(B,) float64 in [0, 1): a number for each image and layer, whatever batch it comes in."""
    numbers = []
    for image in images:
        digest = hashlib.sha256(f"{seed}\0{layer}\0{image}".encode()).digest()
        numbers.append((int.from_bytes(digest[:8], "big") >> 11) / 2.0**53)
    return torch.tensor(numbers, dtype=torch.float64)
