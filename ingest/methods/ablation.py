"""Interventions: neurons set to zero at all their blocks in one forward, what they are compared with, and targets.

Notation: Q queries; R rows, each one query under one cut; L layers, C_l channels; a node is (layer, channel).

Ablation zeroes a node everywhere in its map; everything behind it is computed from what is left, so nodes of
several layers fall together (methods 1.3, open choice 7).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec
from ingest.numerics.traversal import Node
from ingest.segments import OUTPUT, Edit, Trace

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
BATCH = 64


def node_masks(cuts: Sequence[Collection[Node]], layers: Sequence[LayerSpec]) -> list[Bools]:
    """Per layer (R, C_l): which channels each of R cuts zeroes."""
    masks = [np.zeros((len(cuts), layer.channels), np.bool_) for layer in layers]
    for row, nodes in enumerate(cuts):
        for layer, channel in nodes:
            masks[layer][row, channel] = True
    return masks


@torch.inference_mode()
def ablated_logits(
    trace: Trace,
    layers: Sequence[LayerSpec],
    x: Tensor,
    rows: Sequence[int],
    cuts: Sequence[Collection[Node]],
    batch: int = BATCH,
) -> Floats:
    """(R, outputs) logits of image rows[i] of x (Q, 3, H, W) with the nodes of cuts[i] at zero."""
    masks = node_masks(cuts, layers)
    found = []
    for start in range(0, len(cuts), batch):
        part = slice(start, start + batch)
        edits = {}
        for layer, mask in zip(layers, masks, strict=True):
            if mask[part].any():
                edits[layer.node] = _zeroing(torch.from_numpy(mask[part]).to(x.device), layer.channel_axis)
        chosen = x[torch.as_tensor(list(rows[part]), device=x.device)]
        found.append(trace.values(chosen, [OUTPUT], edits)[OUTPUT].float().cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, trace.outputs), np.float32)


def _zeroing(mask: Tensor, axis: int) -> Edit:
    """value -> value with the marked channels (B, C) at zero."""

    def edit(value: Tensor) -> Tensor:
        shape = [1] * value.dim()
        shape[0], shape[axis] = mask.shape
        return value.masked_fill(mask.view(shape), 0.0)

    return edit


@dataclass(frozen=True)
class Control:
    """What a circuit's neurons are compared with; the same number per layer, as far as a layer has that many.

    kind : circuit, random, matched, top or complement.      nodes : what is zeroed.
    """

    kind: str
    nodes: frozenset[Node]


def controls(
    nodes: Collection[Node], activations: Sequence[Floats], draws: int, seed: Sequence[int]
) -> list[Control]:
    """A circuit and its controls.

    Parameters
    ----------
    nodes : the circuit's.
    activations : per layer (C_l,) ranking activations on the query.
    draws : random and complement are drawn so often.
    seed : of the draws.

    Kinds: ``random`` any neurons, ``matched`` those outside the circuit nearest to its neurons in activation on the
    query (an assignment of least total distance), ``top`` the most activated ones whether in the circuit or not,
    ``complement`` random ones outside the circuit.
    """
    rng = np.random.default_rng(list(seed))
    by_layer: dict[int, list[int]] = {}
    for layer, channel in sorted(nodes):
        by_layer.setdefault(layer, []).append(channel)
    sides = [_Side(layer, np.array(own), activations[layer]) for layer, own in by_layer.items()]
    found = [
        Control("circuit", frozenset(nodes)),
        Control("matched", _joined(side.matched() for side in sides)),
        Control("top", _joined(side.top() for side in sides)),
    ]
    for _ in range(draws):
        found.append(Control("random", _joined(side.random(rng) for side in sides)))
        found.append(Control("complement", _joined(side.complement(rng) for side in sides)))
    return found


@dataclass(frozen=True)
class _Side:
    """A circuit's neurons ``own`` in one layer, and all activations (C,) there."""

    layer: int
    own: Ints
    activations: Floats

    @property
    def outside(self) -> Ints:
        return np.setdiff1d(np.arange(len(self.activations)), self.own)

    def nodes(self, channels: Ints) -> set[Node]:
        return {(self.layer, int(c)) for c in channels}

    def random(self, rng: np.random.Generator) -> set[Node]:
        return self.nodes(rng.choice(len(self.activations), len(self.own), replace=False))

    def complement(self, rng: np.random.Generator) -> set[Node]:
        outside = self.outside
        return self.nodes(rng.choice(outside, min(len(self.own), len(outside)), replace=False))

    def top(self) -> set[Node]:
        return self.nodes(np.argsort(-self.activations, kind="stable")[: len(self.own)])

    def matched(self) -> set[Node]:
        outside = self.outside
        distance = np.abs(self.activations[self.own][:, None] - self.activations[outside][None, :])
        return self.nodes(outside[linear_sum_assignment(distance)[1]])


def _joined(parts: Iterable[set[Node]]) -> frozenset[Node]:
    return frozenset().union(*parts)


def target_weights(text: str, logits: Floats, label: int | None, names: Mapping[str, int]) -> Array:
    """(outputs,) weights w of ``--target``: what is looked at is w · logits.

    Parameters
    ----------
    text : ``predicted``, ``label``, or ``A-B`` for the logit of class A less that of class B: which circuits push
        the model towards A rather than B is why an image of B is taken for an A. Class names may hold a ``-``.
    logits : (outputs,) of the untouched model.
    label : output of the image's own class, None where it is unknown.
    names : class name -> output.

    Raises DataError if the label is unknown or the text names no pair of classes.
    """
    weights = np.zeros(len(logits))
    if text == "predicted":
        weights[int(np.argmax(logits))] = 1.0
        return weights
    if text == "label":
        if label is None:
            raise DataError("the image has no label", next_step="use --target predicted, or A-B")
        weights[label] = 1.0
        return weights
    cuts = [(text[:i], text[i + 1 :]) for i, c in enumerate(text) if c == "-"]
    pairs = [(a, b) for a, b in cuts if a in names and b in names]
    if len(pairs) != 1:
        raise DataError(
            "not a target",
            where=text,
            expected="predicted, label, or A-B with two class names",
            got=f"{len(pairs)} ways to read it",
            next_step="`atlas classes` lists the classes",
        )
    weights[names[pairs[0][0]]] += 1.0
    weights[names[pairs[0][1]]] -= 1.0
    return weights


def circuit_drops(
    trace: Trace, layers: Sequence[LayerSpec], x: Tensor, cuts: Sequence[Collection[Node]], weights: Array
) -> Array:
    """(R,) w · (logits − logits with the nodes of a cut at zero), for one image x (1, 3, H, W).

    A circuit's attribution to a target is this measured effect, no estimate: positive where the circuit holds the
    target up, negative where it holds it down. Effects of circuits that share neurons do not add up.
    """
    logits = ablated_logits(trace, layers, x, [0] * (len(cuts) + 1), [(), *cuts]).astype(np.float64)
    drops: Array = (logits[0] - logits[1:]) @ weights
    return drops
