"""Models that symbolic tracing cannot follow, through ``torch.export``: the same kind of graph, from one real run.

Symbolic tracing (torch.fx) stops at Python that asks a tensor for its size or its kind; export runs such Python with
example numbers and keeps what was computed. The graph is brought into the form of a traced one: calls of PyTorch's own
modules are module calls again, and every value has the name of the module that returned it.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from ingest.operations import called

# Operators with the arguments of a Python form that rules for plain graphs know.
_PLAIN: Mapping[str, Callable[..., Any]] = {
    **{"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv},
    **{"relu": torch.relu, "flatten": torch.flatten, "cat": torch.cat},
    **{"reshape": torch.reshape, "view": torch.reshape, "_unsafe_view": torch.reshape},
}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class Exported:
    """A graph over a module's own parameters, and where its nodes come from."""

    graph: fx.Graph = field(default_factory=fx.Graph)
    names: dict[str, str] = field(default_factory=dict)
    """Module call → the node of what it returned."""
    modules: dict[str, nn.Module] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Node → innermost module call it was made in."""


@torch.no_grad()
def export(module: nn.Module, x: Tensor) -> Exported:
    """The graph of a module in evaluation mode, its batch free.

    Parameters
    ----------
    module : constants of its forward pass are registered with it as buffers.
    x : (2, C, H, W), an example.

    Raises whatever ``torch.export`` raises for a forward pass that it cannot follow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(module, (x,), dynamic_shapes=free, strict=False).module()
    if not isinstance(program, fx.GraphModule):
        raise TypeError("torch.export gave no graph")
    found = _copied(program, module)
    _near_sizes(found.graph)
    if x.device.type != "meta":
        _keep_true_names(found, module, x)
    return found


def _copied(program: fx.GraphModule, module: nn.Module) -> Exported:
    found, new = Exported(), dict[fx.Node, fx.Node]()
    whole = _whole_calls(program, module)
    for node in program.graph.nodes:
        if node.op == "call_module":  # the check that an input has the exported size
            continue
        stack = _stack(node)
        if node.op == "output":
            result = node.args[0]
            ends = [new[n] for n in result] if isinstance(result, (list, tuple)) else new[result]
            found.graph.output(ends[0] if isinstance(ends, list) and len(ends) == 1 else ends)
            break
        if node in whole:
            new[node] = found.graph.call_module(whole[node], (new[node.args[0]],))
        elif node.op == "get_attr":
            new[node] = found.graph.get_attr(_attribute(program, module, str(node.target)))
        else:
            new[node] = found.graph.node_copy(node, new.__getitem__)
            if not node.kwargs and (len(node.all_input_nodes) == 2 or called(node) not in ("add", "sub")):
                new[node].target = _PLAIN.get(called(node), new[node].target)
        new[node].meta["val"] = node.meta.get("val")
        calls = stack[:-1] if node in whole else stack
        found.owners[new[node].name] = calls[-1] if calls else ""
        if node.op != "get_attr":
            for name in stack:
                found.names[name] = new[node].name
                found.modules[name] = module.get_submodule(_path(name))
    return found


def _whole_calls(program: fx.GraphModule, module: nn.Module) -> dict[fx.Node, str]:
    """Nodes that are all of one call of one of PyTorch's modules on one tensor → the module's path."""
    members: dict[str, list[fx.Node]] = defaultdict(list)
    for node in program.graph.nodes:
        stack = _stack(node)
        if node.op == "call_function" and stack:
            members[stack[-1]].append(node)
    found = {}
    for name, nodes in members.items():
        part = module.get_submodule(_path(name))
        own = type(part).__module__.startswith("torch.nn.modules") and not isinstance(part, _CONTAINERS)
        if own and len(nodes) == 1 and _given(nodes[0]):
            found[nodes[0]] = _path(name)
    return found


def _given(node: fx.Node) -> bool:
    """Whether a node's first argument is all it reads but parameters."""
    if not node.args or not isinstance(node.args[0], fx.Node) or node.args[0].op == "get_attr":
        return False
    return all(n is node.args[0] or n.op == "get_attr" for n in node.all_input_nodes)


def _stack(node: fx.Node) -> list[str]:
    """Module calls around a node, the outermost first; the second call of a module ends in ``_1``."""
    names = [entry[0] for entry in (node.meta.get("nn_module_stack") or {}).values()]
    if any("metadata_hook" in name for name in names):
        return []
    return [_call_name(name) for name in names if name]


def _call_name(path: str) -> str:
    times = re.findall(r"@(\d+)", path)
    return re.sub(r"@\d+", "", path) + (f"#{times[-1]}" if times else "")


def _path(name: str) -> str:
    return name.partition("#")[0]


def _attribute(program: fx.GraphModule, module: nn.Module, target: str) -> str:
    """The path of a parameter, or of a constant that becomes a buffer of the module."""
    try:
        module.get_parameter(target)
    except AttributeError:
        try:
            module.get_buffer(target)
        except AttributeError:
            value: Any = program
            for part in target.split("."):
                value = getattr(value, part)
            target = "constant_" + re.sub(r"\W", "_", target)
            module.register_buffer(target, value, persistent=False)
    return target


def _near_sizes(graph: fx.Graph) -> None:
    """Let each operation read the batch size from its own input where that has it, not from the images."""
    for node in list(graph.nodes):
        if called(node) != "sym_size" or node.args[1] != 0:
            continue
        size = node.meta.get("val")
        for user in list(node.users):
            for other in user.all_input_nodes:
                value = other.meta.get("val")
                if isinstance(value, Tensor) and value.dim() and str(value.shape[0]) == str(size):
                    with graph.inserting_before(user):
                        near = graph.call_function(node.target, (other, 0))
                    user.replace_input_with(node, near)
                    break


def _keep_true_names(found: Exported, module: nn.Module, x: Tensor) -> None:
    """Drop the name of each module call whose node does not hold what the module returned.

    A module's last operation is as a rule what it returns; this looks at both on one image.
    """
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)[:1]
    returned: dict[str, tuple[float, ...]] = {}
    times: Counter[str] = Counter()

    def hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(part: nn.Module, given: Any, out: Any) -> None:
            first = out[0] if isinstance(out, (tuple, list)) and out else out
            name = f"{path}#{times[path]}" if times[path] else path
            times[path] += 1
            if isinstance(first, Tensor):
                returned[name] = _marks(first)

        return read

    handles = [part.register_forward_hook(hook(path)) for path, part in module.named_modules() if path]
    try:
        module(noise)
    finally:
        for handle in handles:
            handle.remove()
    held = dict(_values(found.graph, module, noise, set(found.names.values())))
    for name, node in list(found.names.items()):
        same = name in returned and node in held and _close(returned[name], held[node])
        if not same:
            del found.names[name], found.modules[name]


def _values(
    graph: fx.Graph, module: nn.Module, x: Tensor, wanted: set[str]
) -> Iterator[tuple[str, tuple[float, ...]]]:
    marks: dict[str, tuple[float, ...]] = {}

    class Reader(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n.name in wanted and isinstance(value, Tensor):
                marks[n.name] = _marks(value)
            return value

    Reader(fx.GraphModule(module, graph)).run(x)
    yield from marks.items()


def _marks(value: Tensor) -> tuple[float, ...]:
    """Shape, sum, sum of magnitudes, and a sum weighted by place."""
    flat = value.detach().double().flatten()
    places = torch.linspace(0, 1, len(flat), dtype=torch.float64, device=flat.device)
    sums = (float(flat.sum()), float(flat.abs().sum()), float((flat * places).sum()))
    return (*map(float, value.shape), *sums)


def _close(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    scale = max(1e-6, abs(a[-2])) if a else 1.0
    return len(a) == len(b) and all(abs(x - y) <= 1e-4 * scale for x, y in zip(a, b, strict=True))
