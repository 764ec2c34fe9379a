"""Where a layer's feature vectors are read, and what they are centred by.

GIG's vectors are taken *before* the last activation of a block, in a residual network the sum of branch and shortcut.
For other families that is the input of the layer's activation, and where a layer ends in none, its own value.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from atlas.errors import DataError
from ingest.blocks import activates, called, leaf_module
from ingest.layers import LayerSpec
from ingest.segments import Trace

SPACES = ("pre", "post")
_PASSES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_PASSING_NAMES = frozenset(("dropout", "clone", "contiguous", "stochastic_depth"))


@dataclass(frozen=True)
class FeatureSpace:
    """One layer's feature vectors: the node they are read at and the centre (C,) that is taken off them."""

    layer: LayerSpec
    node: str
    centre: Tensor


def feature_space(trace: Trace, layer: LayerSpec, space: str = "pre") -> FeatureSpace:
    """The feature space of a layer.

    Parameters
    ----------
    space : ``pre``: before the layer's activation, centred by μ_BN; ``post``: the layer's own value, not centred.

    Raises DataError for another space.
    """
    if space not in SPACES:
        raise DataError("no such feature space", where="--set gig.space", expected="pre or post", got=space)
    if space == "post":
        return FeatureSpace(layer, layer.node, torch.zeros(layer.channels))
    node = pre_activation(trace, layer)
    return FeatureSpace(layer, node, batch_norm_centre(trace, node, layer))


def pre_activation(trace: Trace, layer: LayerSpec) -> str:
    """Node of the value that the layer's activation is applied to; the layer's own node where there is none."""
    nodes = {node.name: node for node in trace.graph.graph.nodes}
    node = nodes[layer.node]
    while _passes(trace, node):
        node = node.all_input_nodes[0]
    before = node.all_input_nodes
    shape = trace.graph.shapes.get(layer.node)
    if activates(trace, node) and len(before) == 1 and trace.graph.shapes.get(before[0].name) == shape:
        return str(before[0].name)
    return layer.node


def batch_norm_centre(trace: Trace, name: str, layer: LayerSpec) -> Tensor:
    """μ_BN (C,): Σ (β − γ · mean / √(variance + ε)) over the batch norms that a node is, or is the sum of.

    That is what the value is for an input of zero to these norms: the last one of a branch and that of a projected
    shortcut; an identity shortcut adds none. Zero where there is no batch norm, as in transformers.
    """
    nodes = {node.name: node for node in trace.graph.graph.nodes}
    total = torch.zeros(layer.channels, dtype=torch.float64)
    stack = [nodes[name]]
    while stack:
        node = stack.pop()
        module = leaf_module(trace, node)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_features == layer.channels:
            total += _shift(module)
        elif called(node) == "add" or _passes(trace, node):
            stack += node.all_input_nodes
    return total.float()


def _shift(norm: nn.modules.batchnorm._BatchNorm) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return torch.zeros(norm.num_features, dtype=torch.float64)
    scale = torch.ones_like(mean) if norm.weight is None else norm.weight
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
    moved = shift.double() - scale.double() * mean.double() / (variance.double() + norm.eps).sqrt()
    return moved.detach().cpu()


def _passes(trace: Trace, node: fx.Node) -> bool:
    module = leaf_module(trace, node)
    if module is not None:
        return isinstance(module, _PASSES)
    return called(node) in _PASSING_NAMES and len(node.all_input_nodes) == 1
