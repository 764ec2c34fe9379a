"""Adjacent layers and the segments that join them: what every method asks its questions of.

Notation: L layers in execution order, pair l joins layer l to l + 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, fx, nn
from torchvision.ops import StochasticDepth

from atlas.errors import ModelError
from ingest.layers import LayerSpec
from ingest.segments import Segment, Trace

_PASSES = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Identity, nn.Dropout, StochasticDepth)
_PASSING_NAMES = frozenset(
    ("add", "relu", "relu6", "gelu", "silu", "hardswish", "dropout", "stochastic_depth", "clone")
)


@dataclass(frozen=True)
class Pair:
    """Two adjacent layers. ``identity``: channel c goes on to channel c by sums and activations alone."""

    source: LayerSpec
    target: LayerSpec
    segment: Segment
    identity: bool


def make_pairs(trace: Trace, layers: Sequence[LayerSpec]) -> tuple[Pair | None, ...]:
    """The L − 1 pairs of adjacent layers; None where the next layer does not depend on the one before.

    Raises ModelError with fewer than two layers: there is nothing to join.
    """
    if len(layers) < 2:
        raise ModelError("a circuit needs two layers", expected=">= 2", got=len(layers))
    return tuple(
        Pair(a, b, trace.segment(a.node, b.node), identity_path(trace, a, b))
        if trace.depends(b.node, a.node)
        else None
        for a, b in pairwise(layers)
    )


def identity_path(trace: Trace, a: LayerSpec, b: LayerSpec) -> bool:
    """Whether b is a plus something, up to activation functions: the shortcut of a residual block.

    A path from a to b along additions, pointwise activations and dropouts carries channel c to channel c. A
    projection on the way (a stage's first block) ends it, and so do layers of unequal width.
    """
    nodes = {node.name: node for node in trace.graph.graph.nodes}
    if a.channels != b.channels or a.channel_axis != b.channel_axis:
        return False
    stack, seen = [nodes[b.node]], set()
    while stack:
        node = stack.pop()
        if node.name == a.node:
            return True
        if node not in seen and _passes(trace, node):
            seen.add(node)
            stack += node.all_input_nodes
    return False


def _passes(trace: Trace, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(trace.graph.module.get_submodule(str(node.target)), _PASSES)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _PASSING_NAMES


def clean_values(
    trace: Trace,
    layers: Sequence[LayerSpec],
    pairs: Sequence[Pair | None],
    x: Tensor,
    *,
    logits: bool = True,
) -> Mapping[str, Tensor]:
    """One forward of x (B, 3, H, W): layers, frozen inputs of the pairs, and the logits ("output").

    logits : without them the forward ends at the last of the layers.
    """
    frozen = [name for pair in pairs if pair is not None for name in pair.segment.frozen]
    ends = ["output"] if logits else []
    nodes = list(dict.fromkeys([*(layer.node for layer in layers), *frozen, *ends]))
    return trace.values(x, nodes)
