"""The cut: for nodes a → b of a traced model, the function F_ab, all its other inputs frozen at clean values.

Notation: x (B, 3, H, W) images; a, b nodes; a batch of interventions is B tensors at ``a`` of one image. One
object serves GCC's ablation, CLA's gradients, PURE's relevance and GIG's path integral (the graph is
torch.fx's, Reed et al. 2022; the cut is ours).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from atlas.errors import ModelError
from ingest.tracing import TracedGraph, trace

OUTPUT = "output"
Edit = Callable[[Tensor], Tensor]


class Trace:
    """The graph of a whole model, out-of-place, one forward for many nodes. The module itself is not touched.

    Parameters
    ----------
    module : takes (B, *input_shape), returns logits (B, outputs). Move it to its device and dtype first.
    input_shape : channels, height, width.

    Raises
    ------
    ModelError : the module cannot be traced.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, int, int]) -> None:
        self.graph: TracedGraph = trace(module, input_shape)
        self._nodes = {n.name: n for n in self.graph.graph.nodes}
        self._order = {n: i for i, n in enumerate(self.graph.graph.nodes)}
        self._input = next(n for n in self.graph.graph.nodes if n.op == "placeholder")
        self._varying = _descendants(self._input) | {self._input}
        self._programs: dict[tuple[str, ...], fx.GraphModule] = {}

    @property
    def names(self) -> Mapping[str, str]:
        """Traced name (module call or operation) → node."""
        return self.graph.names

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return self.graph.shapes[self.graph.output][0]

    def shape(self, node: str) -> tuple[int, ...]:
        """Shape of one image's tensor at a node, without the batch axis.

        Raises ModelError if the node is unknown or carries no tensor with the batch in front.
        """
        name = self._node(node).name
        if name not in self.graph.shapes:
            raise ModelError("no batch of tensors at this node", where=node)
        return self.graph.shapes[name]

    def position(self, node: str) -> int:
        """Place of a node in the order of execution."""
        return self._order[self._node(node)]

    def depends(self, b: str, a: str) -> bool:
        """Whether node b is computed from node a."""
        return self._node(b) in _descendants(self._node(a))

    def values(
        self, x: Tensor, nodes: Sequence[str], edits: Mapping[str, Edit] | None = None
    ) -> dict[str, Tensor]:
        """One forward pass that keeps some nodes and stops after the last of them.

        Parameters
        ----------
        x : (B, *input_shape).
        nodes : node names; "output" is the logits.
        edits : node → function applied to its value; later nodes read, and the result holds, what it returns.

        Returns
        -------
        node → its tensor, batch axis first.

        Raises
        ------
        ModelError : an unknown node.
        """
        edits = edits or {}
        edited = sorted(edits, key=self.position)
        key = (*nodes, "|", *edited)
        if key not in self._programs:
            self._programs[key] = self._program(nodes, edited)
        found = self._programs[key](x, *(edits[name] for name in edited))
        return dict(zip(nodes, found, strict=True))

    def fan(self, a: str, ends: Sequence[str]) -> Fan:
        """The smallest subgraph from node a to several nodes, each a itself or computed from it.

        Raises ModelError if a node is unknown.
        """
        start = self._node(a)
        moved = _descendants(start)
        inside, held = self._needed([self._node(end) for end in ends], {start}, moved)
        program = self._copy([start, *held], inside, [self._node(end) for end in ends], [])
        return Fan(tuple(n.name for n in held), program)

    def tail(self, cuts: Sequence[str], b: str) -> Fan:
        """Node b as a function of several nodes before it, given in this order before what is held."""
        starts = [self._node(cut) for cut in cuts]
        moved = set().union(*(_descendants(start) for start in starts))
        inside, held = self._needed([self._node(b)], set(starts), moved)
        program = self._copy([*starts, *held], inside, [self._node(b)], [])
        return Fan(tuple(n.name for n in held), program)

    def _needed(
        self, ends: Sequence[fx.Node], starts: set[fx.Node], moved: set[fx.Node]
    ) -> tuple[set[fx.Node], list[fx.Node]]:
        """Nodes computed on the way from the starts to the ends, and those held, in order of execution."""
        inside: set[fx.Node] = set()
        frozen: set[fx.Node] = set()
        stack = list(ends)
        while stack:
            node = stack.pop()
            if node in starts or node in inside or node in frozen:
                continue
            if node in self._varying and node not in moved and self._freezable(node):
                frozen.add(node)
            else:
                inside.add(node)
                stack += node.all_input_nodes
        return inside, sorted(frozen, key=self._order.__getitem__)

    def segment(self, a: str, b: str) -> Segment:
        """F_ab, the smallest subgraph from node a to node b ("output" allowed).

        Raises ModelError if a node is unknown or b does not depend on a.
        """
        start, end = self._node(a), self._node(b)
        moved = _descendants(start)
        if end not in moved:
            raise ModelError(
                "no path between these nodes", where=f"{a} → {b}", expected=f"{b} computed from {a}"
            )
        inside, held = self._needed([end], {start}, moved)
        program = self._copy([start, *held], inside, [end], [])
        return Segment(a, b, tuple(n.name for n in held), program)

    def _freezable(self, node: fx.Node) -> bool:
        """Sizes, and tensors whose batch axis is not the first, are computed again from what made them."""
        return node is self._input or node.name in self.graph.shapes

    def _program(self, nodes: Sequence[str], edited: Sequence[str]) -> fx.GraphModule:
        ends = [self._node(name) for name in nodes]
        inside: set[fx.Node] = set()
        stack = list(ends)
        while stack:
            node = stack.pop()
            if node is not self._input and node not in inside:
                inside.add(node)
                stack += node.all_input_nodes
        return self._copy([self._input], inside, ends, [self._node(name) for name in edited])

    def _copy(
        self,
        inputs: Sequence[fx.Node],
        inside: Iterable[fx.Node],
        ends: Sequence[fx.Node],
        edited: Sequence[fx.Node],
    ) -> fx.GraphModule:
        """A program of some nodes: arguments are the inputs, then one function per edited node."""
        graph = fx.Graph()
        new = {node: graph.placeholder(f"in_{i}") for i, node in enumerate(inputs)}
        functions = {node: graph.placeholder(f"edit_{i}") for i, node in enumerate(edited)}
        for node in sorted({*inputs, *inside}, key=self._order.__getitem__):
            if node not in new:
                new[node] = graph.node_copy(node, new.__getitem__)
            if node in functions:
                new[node] = graph.call_function(_apply, (functions[node], new[node]))
        graph.output(tuple(new[node] for node in ends))
        return fx.GraphModule(self.graph.module, graph)

    def _node(self, name: str) -> fx.Node:
        node: fx.Node | None = self._nodes.get(self.graph.output if name == OUTPUT else name)
        if node is None:
            close = difflib.get_close_matches(name, self._nodes, n=3)
            raise ModelError(
                "no such node in the traced model",
                where=name,
                next_step=f"closest: {', '.join(close) or 'none'}",
            )
        return node


class Segment:
    """F_ab of a traced model: b's tensor as a function of a's, what a does not reach given from outside."""

    def __init__(self, a: str, b: str, frozen: tuple[str, ...], program: nn.Module) -> None:
        self.a = a
        self.b = b
        self.frozen = frozen
        """Nodes that do not depend on a and feed the segment."""
        self._program = program

    @property
    def program(self) -> nn.Module:
        """(a, frozen inputs in the order of ``self.frozen``) -> (b,), as a rule a graph. Copy it before a change."""
        return self._program

    def __call__(self, a: Tensor, frozen: Mapping[str, Tensor]) -> Tensor:
        """b's tensor for a's.

        Parameters
        ----------
        a : (B, …), B interventions.
        frozen : for each name in ``self.frozen`` its clean tensor, (1, …) for all of them or (B, …).

        Raises
        ------
        ModelError : a frozen tensor is missing or has another batch size.
        """
        held = []
        for name in self.frozen:
            if name not in frozen:
                raise ModelError(
                    "a frozen input is missing", where=f"{self.a} → {self.b}", expected=name, got="nothing"
                )
            value = frozen[name]
            if value.shape[0] not in (1, a.shape[0]):
                raise ModelError(
                    "batch sizes differ", where=name, expected=f"1 or {a.shape[0]}", got=value.shape[0]
                )
            held.append(value.expand(a.shape[0], *value.shape[1:]))
        end: Tensor = self._program(a, *held)[0]
        return end

    def bind(self, clean: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """F_ab with its frozen inputs held at clean values; ``clean`` may hold others too."""
        held = {name: clean[name] for name in self.frozen if name in clean}
        return lambda a: self(a, held)

    def with_tensors(self, change: Callable[[str, Tensor], Tensor]) -> Segment:
        """The same function with other weights and buffers; ``change`` gives each by name and value."""
        own = self._program
        tensors = {
            name: change(name, tensor) for name, tensor in (*own.named_parameters(), *own.named_buffers())
        }
        return Segment(self.a, self.b, self.frozen, _Changed(own, tensors))


@dataclass(frozen=True)
class Fan:
    """Several nodes as functions of one, or one of several: inputs first, then what is held, give a tuple."""

    frozen: tuple[str, ...]
    """Nodes that the inputs do not reach and that feed it."""
    program: nn.Module

    def __call__(self, inputs: Sequence[Tensor], clean: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Values at the ends; held inputs at their clean values (1, …)."""
        rows = inputs[0].shape[0]
        held = [clean[name].expand(rows, *clean[name].shape[1:]) for name in self.frozen]
        found: tuple[Tensor, ...] = self.program(*inputs, *held)
        return found


class _Changed(nn.Module):
    """A program run with other weights and buffers than its own."""

    def __init__(self, program: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._own = program
        self._tensors = dict(tensors)

    def forward(self, *inputs: Tensor) -> Any:
        return functional_call(self._own, self._tensors, inputs)


def _apply(edit: Edit, value: Tensor) -> Tensor:
    return edit(value)


def _descendants(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    stack = list(node.users)
    while stack:
        user = stack.pop()
        if user not in found and user.op != "output":
            found.add(user)
            stack += user.users
    return found
