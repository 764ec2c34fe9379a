"""Layer-wise relevance propagation through a segment, by zennit: the extra ``lrp``.

Notation as in `ingest.numerics.pure`; relevance starts as relu(h) on the neuron's map, as gradient × activation does.

``lrp-epsilon`` : the ε rule (1e-6) on convolutions and linear layers (Bach et al. 2015).
``lrp-flat`` : zennit's EpsilonPlusFlat (z⁺ on convolutions, ε on linear layers). Its flat rule is that of the network's
first layer, which lies below every segment and has no say in the relevance of a layer above it.

Batch norms are folded into the convolutions before them, sums become modules that share relevance in proportion to
their terms, activation functions pass it on (the canonical form that these rules need). zennit is GPL and LGPL, LRP is
patented: neither is part of circuit-atlas, and this file imports zennit only when it is called.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atlas.errors import ModelError
from ingest.numerics.pure import Look, l1_unit, relevance
from ingest.segments import Segment

_ADDS = (operator.add, torch.add, "add")
_RELUS = (torch.relu, nn.functional.relu, "relu")
_SHAPES = (torch.flatten, torch.cat, "flatten", "contiguous", "size", "view", "reshape")
_MODULES = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.ReLU, nn.ReLU6, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)


def lrp_vectors(segment: Segment, variant: str) -> Callable[[Look], Tensor]:
    """Vectors (n, C_lo), L1 norm 1, of a variant's rules.

    Raises ModelError without zennit, or where the segment holds operations that these rules say nothing of (attention,
    layer norms, products of activations).
    """
    zennit = _zennit()
    program = canonical(segment, zennit.layer.Sum)
    _composite(zennit, variant).register(program)

    def run(a: Tensor, frozen: Mapping[str, Tensor]) -> Tensor:
        held = [frozen[name] for name in segment.frozen]
        end: Tensor = program(a, *(value.expand(len(a), *value.shape[1:]) for value in held))[0]
        return end

    def vectors(look: Look) -> Tensor:
        if look.through is None:
            raise ModelError("relevance needs a segment to go through", where=variant)
        return l1_unit(relevance(replace(look, forward=look.through(run)), times_input=False))

    return vectors


def _zennit() -> Any:
    try:
        import zennit.composites
        import zennit.layer
        import zennit.rules
        import zennit.types
    except ImportError as error:
        raise ModelError(
            "LRP needs zennit, which is not installed",
            where="pure.variant",
            expected="pip install 'circuit-atlas[lrp]'",
            got=str(error),
        ) from error
    return zennit


def _composite(zennit: Any, variant: str) -> Any:
    if variant == "lrp-flat":
        return zennit.composites.EpsilonPlus()
    rules = zennit.composites.layer_map_base()
    linear = (*zennit.types.Convolution.__subclass__, nn.Linear)
    return zennit.composites.LayerMapComposite([*rules, (linear, zennit.rules.Epsilon())])


def canonical(segment: Segment, summed: Callable[[], nn.Module]) -> fx.GraphModule:
    """A copy of a segment's program in the form the rules need; ``summed`` makes the module that adds a last axis.

    Raises ModelError for operations without a rule.
    """
    program = copy.deepcopy(segment.program)
    if not isinstance(program, fx.GraphModule):
        raise ModelError("no graph to put rules on", where=f"{segment.a} → {segment.b}")
    calls: dict[str, int] = {}
    for node in program.graph.nodes:
        _check(program, node, segment)
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for node in list(program.graph.nodes):
        if node.op == "call_module":
            _fold(program, node, calls)
        elif node.op in ("call_function", "call_method") and node.target in _ADDS:
            with program.graph.inserting_before(node):
                both = program.graph.call_function(torch.stack, (list(node.args[:2]),), {"dim": -1})
                _module(program, node, summed(), both)
        elif node.op in ("call_function", "call_method") and node.target in _RELUS:
            with program.graph.inserting_before(node):
                _module(program, node, nn.ReLU(), node.args[0])
    program.graph.lint()
    program.recompile()
    return program.eval().requires_grad_(False)


def _check(program: fx.GraphModule, node: fx.Node, segment: Segment) -> None:
    if node.op in ("placeholder", "output", "get_attr"):
        return
    if node.op == "call_module":
        known = isinstance(program.get_submodule(str(node.target)), _MODULES)
    else:
        known = node.target in (*_ADDS, *_RELUS, *_SHAPES)
        if node.target in _ADDS:
            known = all(isinstance(arg, fx.Node) for arg in node.args[:2]) and not node.kwargs
    if not known:
        raise ModelError(
            "no LRP rule for an operation of this segment",
            where=f"{segment.a} → {segment.b}: {node.name}",
            expected="convolutions, linear layers, batch norms, ReLUs, poolings and sums",
            next_step="use another variant",
        )


def _fold(program: fx.GraphModule, node: fx.Node, calls: Mapping[str, int]) -> None:
    """A batch norm into the convolution before it, where that convolution feeds nothing else."""
    norm = program.get_submodule(str(node.target))
    before = node.args[0]
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or not isinstance(before, fx.Node):
        return
    if before.op != "call_module" or len(before.users) > 1 or calls[str(before.target)] > 1:
        return
    conv = program.get_submodule(str(before.target))
    if isinstance(conv, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        parent, _, name = str(before.target).rpartition(".")
        setattr(program.get_submodule(parent), name, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(before)
        program.graph.erase_node(node)


def _module(program: fx.GraphModule, node: fx.Node, module: nn.Module, argument: Any) -> None:
    """Put a call of a new module in a node's place."""
    name = f"canonical_{node.name}"
    program.add_submodule(name, module)
    node.replace_all_uses_with(program.graph.call_module(name, (argument,)))
    program.graph.erase_node(node)
