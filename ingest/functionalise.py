"""A traced graph without in-place operations: what was written into a tensor is read from the result."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from atlas.errors import ModelError
from ingest.operations import called

_OPERATORS: dict[object, Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.ipow: operator.pow,
    operator.iand: operator.and_,
    operator.ior: operator.or_,
}
_ASSERTIONS = ("_assert", "_assert_scalar", "_assert_tensor_metadata", "_assert_async")
_VIEWS = frozenset(
    [
        *(
            "getitem",
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
            "expand",
            "contiguous",
            "to",
            "alias",
            "slice",
        ),
        *("transpose", "t", "permute", "movedim", "swapaxes", "chunk", "split", "unbind", "narrow", "select"),
        *("detach", "dropout", "stochastic_depth"),
    ]
)
_VIEW_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def functionalise(module: nn.Module, graph: fx.Graph, names: Mapping[str, str]) -> None:
    """Make each in-place node of a graph out-of-place, and each ``view`` a ``reshape``.

    ``reshape`` equals ``view`` and also takes the strides of an expanded tensor, as frozen inputs are.

    Parameters
    ----------
    module : the traced copy; its ``inplace`` flags become False.
    graph : changed.
    names : node → name, for messages.

    Raises
    ------
    ModelError : an in-place write into a tensor that shares memory with another one read later.
    """
    inplace = {name for name, part in module.named_modules() if getattr(part, "inplace", False)}
    nodes = list(graph.nodes)
    order = {node: i for i, node in enumerate(nodes)}
    roots: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        roots[node] = roots[node.all_input_nodes[0]] if _is_view(module, node) else node
        values = any(isinstance(a, torch.dtype) for a in node.args)
        if node.op == "call_method" and node.target == "view" and not values:
            node.target = "reshape"
        written = node.op == "call_module" and node.target in inplace
        if not (written or _rewrite(node)):
            continue
        operand = node.all_input_nodes[0]
        now = order[node]
        for other, root in roots.items():
            shares = root is roots[operand] and other not in (operand, node)
            if shares and any(order.get(user, -1) > now for user in other.users):
                raise ModelError(
                    "the model writes in place into memory that it reads again under another name",
                    where=names.get(node.name, node.name),
                    next_step="use the out-of-place form there",
                )
        later = [user for user in operand.users if order.get(user, -1) > now]
        for user in later:
            user.replace_input_with(operand, node)
    for name in inplace:
        module.get_submodule(name).inplace = False  # type: ignore[assignment]


def drop_unused(graph: fx.Graph) -> None:
    """Take assertions out of a graph without in-place operations, and whatever else leads nowhere."""
    for node in reversed(list(graph.nodes)):
        if node.op not in ("placeholder", "output") and (not node.users or called(node) in _ASSERTIONS):
            graph.erase_node(node)


def _is_view(module: nn.Module, node: fx.Node) -> bool:
    if not node.all_input_nodes:
        return False
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), _VIEW_MODULES)
    if node.op not in ("call_function", "call_method"):
        return False
    return called(node) in _VIEWS


def _rewrite(node: fx.Node) -> bool:
    """Give an in-place function or method its out-of-place target; whether it was one."""
    if node.op == "call_method" and _is_inplace_name(str(node.target)):
        node.target = str(node.target)[:-1]
        return True
    if node.op != "call_function" or isinstance(node.target, str):
        return False
    if isinstance(node.target, OpOverload):
        return _rewrite_operator(node, node.target)
    if node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
        return True
    name = getattr(node.target, "__name__", "")
    if _is_inplace_name(name) and hasattr(torch, name[:-1]):
        node.target = getattr(torch, name[:-1])
        return True
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        return False
    if not bound.arguments.get("inplace", False):
        return False
    bound.arguments["inplace"] = False
    node.args, node.kwargs = bound.args, bound.kwargs
    return True


def _rewrite_operator(node: fx.Node, target: OpOverload) -> bool:
    """The out-of-place form of an ATen operator that writes into its first argument."""
    packet = called(node)
    if not (target._schema.is_mutable and _is_inplace_name(packet)):
        return False
    pure = getattr(torch.ops.aten, packet[:-1])
    node.target = getattr(pure, target._overloadname)
    return True


def _is_inplace_name(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and hasattr(Tensor, name[:-1])
