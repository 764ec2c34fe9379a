"""Operations that keep every channel by itself, and what lies between two nodes of a traced model."""

from __future__ import annotations

from torch import fx, nn

from ingest.blocks import leaf_module
from ingest.segments import Trace

_ALONE = (
    *(nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
    *(nn.Identity, nn.Dropout, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)
_ALONE_NAMES = frozenset(
    ("add", "relu", "relu6", "gelu", "silu", "hardswish", "dropout", "clone", "contiguous")
)


def channelwise(trace: Trace, node: fx.Node) -> bool:
    """Whether an operation keeps every channel by itself."""
    module = leaf_module(trace, node)
    if module is not None:
        return isinstance(module, _ALONE)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _ALONE_NAMES


def nodes_between(source: fx.Node, target: fx.Node) -> list[fx.Node]:
    """Nodes on paths from source to target, the target among them."""
    ahead, stack = {source}, [source]
    while stack:
        for user in stack.pop().users:
            if user not in ahead:
                ahead.add(user)
                stack.append(user)
    found, stack = {target}, [target]
    while stack:
        for before in stack.pop().all_input_nodes:
            if before in ahead and before not in found and before is not source:
                found.add(before)
                stack.append(before)
    return list(found)


def reaches(source: fx.Node, target: fx.Node, without: fx.Node) -> bool:
    """Whether a path from source to target avoids a node."""
    seen, stack = {source}, [source]
    while stack:
        for user in stack.pop().users:
            if user is target and user is not without:
                return True
            if user not in seen and user is not without:
                seen.add(user)
                stack.append(user)
    return False
