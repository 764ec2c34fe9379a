"""From a module to one pure FX graph: every module and operation named, nothing in place, every shape known.

The traced copy shares the parameters of its module and nothing else: the module's modes, hooks and
``inplace`` flags stay as they were. Two things that PyTorch hides inside one call are opened, so that layers
can be put there: the heads of ``nn.MultiheadAttention`` (``….heads``) and the class token of a ViT block
(``….cls``).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from torchvision.models.vision_transformer import EncoderBlock

from atlas.errors import ModelError
from ingest.exporting import export
from ingest.functionalise import drop_unused, functionalise
from ingest.operations import called
from ingest.probing import kind_of, shapes_of
from ingest.untraced import WHOLE, blame, one_input


@dataclass(frozen=True)
class TracedGraph:
    """A module's graph and what is known of its nodes. ``shape`` leaves the batch axis out."""

    module: nn.Module
    graph: fx.Graph
    names: Mapping[str, str]
    """Traced name (module call or operation) → node."""
    modules: Mapping[str, nn.Module]
    """Name of a module call → its module, leaves and containers."""
    owners: Mapping[str, str]
    """Node → name of the innermost module call it was made in."""
    shapes: Mapping[str, tuple[int, ...]]
    """Node → shape of one image's tensor, for nodes with the batch in axis 0 and in no other."""
    output: str
    """The node of the logits."""


class OpenAttention(nn.Module):
    """Self-attention with the weights of an ``nn.MultiheadAttention``, its heads visible as ``heads``.

    A call that is no plain self-attention (masks, weights wanted, other keys) goes to the original as a
    whole.
    """

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        super().__init__()
        self.whole = whole
        self.heads = nn.Identity()
        self.plain = whole.batch_first and whole.bias_k is None and not whole.add_zero_attn
        self.plain = self.plain and whole.in_proj_weight is not None

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        masks = [kwargs.get(name) for name in ("key_padding_mask", "attn_mask")]
        wanted = kwargs.get("need_weights", True) or kwargs.get("is_causal", False)
        if not self.plain or args or wanted or masks != [None, None] or not (query is key is value):
            whole: tuple[Tensor, Tensor | None] = self.whole(query, key, value, *args, **kwargs)
            return whole
        qkv = linear(query, self.whole.in_proj_weight, self.whole.in_proj_bias)
        parts = torch.unflatten(qkv, -1, (3, self.whole.num_heads, self.whole.head_dim))
        qkv = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        joined = self.heads(mixed.transpose(1, 2).flatten(2))
        return linear(joined, self.whole.out_proj.weight, self.whole.out_proj.bias), None


class PathTracer(fx.Tracer):
    """Tracer that remembers which node each module call returned and where each operation was made."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        self.modules: dict[str, nn.Module] = {}
        self.owners: dict[str, str] = {}
        self.innermost = ""
        """The module that was traced last, where tracing stopped if it did."""
        self._calls: list[str] = [""]
        self._taken: set[str] = set()

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        self._taken = {""}
        graph = super().trace(root, concrete_args)
        self.name_operations(graph, root)
        return graph

    def name_operations(self, graph: fx.Graph, root: nn.Module) -> None:
        """Name what is no module call after its function, below the module it was made in."""
        modules = {name for name, _ in root.named_modules()}
        self._taken |= {"", *self.names}
        for node in graph.nodes:
            if node.op not in ("call_function", "call_method", "get_attr"):
                continue
            owner = self.owners.get(node.name, "")
            own = (str(node.target) if node.op == "get_attr" else called(node)).rsplit(".", 1)[-1].strip("_")
            name = self._unused(f"{owner}.{own}" if owner else own, modules)
            self.names.setdefault(name, node.name)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """PyTorch's own modules, and those whose class asks to be kept whole."""
        return bool(getattr(m, WHOLE, False)) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = self._unused(self.path_of_module(m), set())
        self._calls.append(name)
        self.innermost = name
        out = super().call_module(m, forward, args, kwargs)
        self._calls.pop()
        self.innermost = self._calls[-1]
        self.modules[name] = m
        first = out[0] if isinstance(out, (tuple, list)) and out else out
        if isinstance(first, fx.Proxy):
            self.names[name] = first.node.name
        return out

    def create_proxy(self, kind: str, *args: Any, **kwargs: Any) -> fx.Proxy:
        proxy = super().create_proxy(kind, *args, **kwargs)
        inside = kind == "call_module" and len(self._calls) > 1
        self.owners[proxy.node.name] = self._calls[-2 if inside else -1]
        return proxy

    def _unused(self, name: str, modules: set[str]) -> str:
        base, count = name, 0
        while name in self._taken or (count and name in modules):
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def trace(module: nn.Module, input_shape: tuple[int, int, int]) -> TracedGraph:
    """Trace a module in evaluation mode. The module itself is not touched.

    Parameters
    ----------
    module : takes (B, *input_shape), returns (B, outputs).
    input_shape : channels, height, width.

    Raises
    ------
    ModelError : the module cannot be traced, writes into views, or does not return one (B, outputs) tensor.
    """
    inner = _twin(module)
    one_input(inner)
    tracer = PathTracer()
    try:
        graph = tracer.trace(inner)
    except Exception as error:  # noqa: BLE001 - whatever stops tracing, a real run may not
        graph = _exported(inner, tracer, input_shape, error)
    functionalise(inner, graph, {node: name for name, node in tracer.names.items()})
    drop_unused(graph)
    _open_class_tokens(graph, tracer)
    output = next(n for n in graph.nodes if n.op == "output").args[0]
    shapes = shapes_of(inner, graph, input_shape)
    if not isinstance(output, fx.Node) or len(shapes.get(output.name, ())) != 1:
        got = (
            shapes.get(output.name, "no such tensor")
            if isinstance(output, fx.Node)
            else type(output).__name__.removeprefix("immutable_")
        )
        raise ModelError(
            "the model does not return logits",
            where=type(module).__name__,
            expected="one tensor (B, outputs)",
            got=got,
            next_step="wrap it in a module whose forward returns the logits alone",
        )
    alive = _ancestors(output)
    names = {name: node for name, node in tracer.names.items() if node in alive}
    modules = {name: m for name, m in tracer.modules.items() if name in names}
    return TracedGraph(inner, graph, names, modules, tracer.owners, shapes, output.name)


def _exported(
    inner: nn.Module, tracer: PathTracer, input_shape: tuple[int, int, int], error: Exception
) -> fx.Graph:
    """The graph by one real run; ``error`` is why there is none by symbolic tracing."""
    dtype, device = kind_of(inner)
    example = torch.zeros(2, *input_shape, dtype=dtype, device=device)
    try:
        found = export(inner, example)
    except Exception as second:
        raise blame(inner, tracer.innermost, error) from second
    tracer.names, tracer.modules = dict(found.names), dict(found.modules)
    tracer.owners = dict(found.owners)
    tracer.name_operations(found.graph, inner)
    return found.graph


def _ancestors(node: fx.Node) -> set[str]:
    """Names of a node and of all that it is computed from."""
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        if here.name not in found:
            found.add(here.name)
            stack += here.all_input_nodes
    return found


def _twin(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares all tensors; forward hooks stay with the original.

    Pre-hooks are kept, for weight normalisation computes its weights in one.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        tensors = [*part._parameters.values(), *part._buffers.values(), *vars(part).values()]
        memo.update({id(t): t for t in tensors if isinstance(t, Tensor)})
    twin = copy.deepcopy(module, memo)
    for part in twin.modules():
        part._forward_hooks.clear()
        part._backward_hooks.clear()
        part._backward_pre_hooks.clear()
    for name, part in list(twin.named_modules()):
        if isinstance(part, nn.MultiheadAttention) and name:
            parent, _, child = name.rpartition(".")
            setattr(twin.get_submodule(parent), child, OpenAttention(part))
    return twin.eval()


def _open_class_tokens(graph: fx.Graph, tracer: PathTracer) -> None:
    """After each ViT block: ``block.cls`` (B, 1, C), its own node, put back before the remaining tokens."""
    for name in [name for name, part in tracer.modules.items() if isinstance(part, EncoderBlock)]:
        node = next(n for n in graph.nodes if n.name == tracer.names[name])
        with graph.inserting_after(node):
            first = graph.call_function(operator.getitem, (node, (slice(None), slice(None, 1))))
        with graph.inserting_after(first):
            rest = graph.call_function(operator.getitem, (node, (slice(None), slice(1, None))))
        with graph.inserting_after(rest):
            joined = graph.call_function(torch.cat, ([first, rest], 1))
        node.replace_all_uses_with(joined, delete_user_cb=lambda user, own=(first, rest): user not in own)
        tracer.names[f"{name}.cls"] = first.name
