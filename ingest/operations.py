"""What a node of a traced graph does, whether it was written as a method, a function or an ATen operator."""

from __future__ import annotations

from torch import fx
from torch._ops import OpOverload


def called(node: fx.Node) -> str:
    """Name of the function, method or operator of a node without overload, or nothing for other nodes."""
    if node.op not in ("call_function", "call_method"):
        return ""
    if isinstance(node.target, OpOverload):
        return str(node.target.overloadpacket.__name__)
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
