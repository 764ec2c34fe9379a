"""The end of a link taken apart, so that a target's gradient begins behind the last linear layer.

Behind it lie operations on single channels (batch norm, rectifier, residual sum), so the cotangent of target n reaches
the layer's output in channel n alone, for all targets by one pass; and what one channel of its output gives its input
is an outer product with one row of weights, where a dense product would multiply zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import conv_transpose2d

from ingest.blocks import leaf_module
from ingest.layers import LayerSpec
from ingest.methods.channelwise import channelwise, nodes_between
from ingest.numerics.cla import Ending, one_channel
from ingest.segments import Fan, Trace


@dataclass(frozen=True)
class Cut:
    """Where the end begins: a linear layer's output, with the layer and its input, or any other value."""

    node: str
    module: nn.Conv2d | nn.Linear | None
    input: str


@dataclass(frozen=True)
class LinkEnding:
    """The cuts of a link, the way from its source to their inputs, and from their outputs to the target."""

    cuts: tuple[Cut, ...]
    inner: Fan
    tail: Fan
    axis: int

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes whose clean values it needs."""
        return (
            *(cut.node for cut in self.cuts),
            *(cut.input for cut in self.cuts),
            *self.inner.frozen,
            *self.tail.frozen,
        )

    def bind(self, clean: Mapping[str, Tensor]) -> Ending:
        """It with its other inputs held at clean values (1, …)."""
        kept: list[tuple[Tensor, tuple[Tensor, ...]]] = []

        def seeds(cotangent: Tensor, targets: Tensor) -> list[Tensor]:
            if not kept or kept[0][0] is not cotangent:
                kept[:] = [(cotangent, self._slopes(cotangent, clean))]
            return [
                one_channel(s, targets, self.axis)
                if cut.module is None
                else _back(cut.module, s, targets, clean[cut.input])
                for cut, s in zip(self.cuts, kept[0][1], strict=True)
            ]

        return Ending(lambda a: self.inner([a], clean), seeds)

    def _slopes(self, cotangent: Tensor, clean: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Cotangents (1, …) at the cuts, of all targets at once."""
        with torch.enable_grad():
            starts = [clean[cut.node].detach().clone().requires_grad_() for cut in self.cuts]
            (b,) = self.tail(starts, clean)
        return torch.autograd.grad(b, starts, cotangent)


def ending_of(trace: Trace, source: LayerSpec, target: LayerSpec) -> LinkEnding | None:
    """The end of a link, None where no linear layer stands behind nothing but operations on single channels."""
    nodes = {node.name: node for node in trace.graph.graph.nodes}
    start, end = nodes[source.node], nodes[target.node]
    between = set(nodes_between(start, end)) | {start}
    cuts: dict[str, Cut] = {}
    seen: set[fx.Node] = set()
    stack = [end]
    while stack:
        node = stack.pop()
        if node in seen or node not in between:
            continue
        seen.add(node)
        module = _linear(trace, node, target.channel_axis)
        if module is None and node is not start and channelwise(trace, node):
            stack += node.all_input_nodes
            continue
        shape = trace.graph.shapes.get(node.name, ())
        if len(shape) < target.channel_axis or shape[target.channel_axis - 1] != target.channels:
            return None
        given = node.name if module is None or node is start else node.all_input_nodes[0].name
        cuts[node.name] = Cut(node.name, None if node is start else module, given)
    if not any(cut.module is not None for cut in cuts.values()):
        return None
    chosen = tuple(sorted(cuts.values(), key=lambda cut: trace.position(cut.node)))
    inner = trace.fan(source.node, [cut.input for cut in chosen])
    return LinkEnding(
        chosen, inner, trace.tail([cut.node for cut in chosen], target.node), target.channel_axis
    )


def _linear(trace: Trace, node: fx.Node, axis: int) -> nn.Conv2d | nn.Linear | None:
    module = leaf_module(trace, node)
    if isinstance(module, nn.Linear) and axis == len(trace.graph.shapes.get(node.name, ())):
        return module
    plain = isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros"
    if isinstance(module, nn.Conv2d) and plain and axis == 1 and not isinstance(module.padding, str):
        return module
    return None


def _back(module: nn.Conv2d | nn.Linear, s: Tensor, targets: Tensor, given: Tensor) -> Tensor:
    """(R, …) cotangents at a linear layer's input (1, …), row r of s's channel targets[r] alone."""
    rows = module.weight.detach()[targets]
    if isinstance(module, nn.Linear):
        own = s[0].movedim(-1, 0)[targets]
        return own.unsqueeze(-1) * rows.reshape(len(targets), *[1] * (own.dim() - 1), -1)
    own = s[0, targets]
    if module.kernel_size == (1, 1) and module.stride == (1, 1) and module.padding == (0, 0):
        return own[:, None] * rows
    sizes = zip(given.shape[2:], own.shape[1:], range(2), strict=True)
    extra = [
        size - ((out - 1) * module.stride[i] - 2 * int(module.padding[i]) + _reach(module, i))
        for size, out, i in sizes
    ]
    found = conv_transpose2d(
        own[None], rows, None, module.stride, _paddings(module), extra, len(targets), module.dilation
    )
    return found.reshape(len(targets), *given.shape[1:])


def _reach(module: nn.Conv2d, i: int) -> int:
    return module.dilation[i] * (module.kernel_size[i] - 1) + 1


def _paddings(module: nn.Conv2d) -> Sequence[int]:
    return [int(p) for p in module.padding]
