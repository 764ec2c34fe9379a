"""Layers of a traced model: which ones, how they are called, and how their tensors become units.

Notation: raw is a layer's tensor with the batch in front; units are (B, C, P), channels by positions.
Default layers are found by the class of a module, then, for other people's models, by the structure of the trace;
never by a model's name.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, fx, nn
from torchvision.models.convnext import CNBlock
from torchvision.models.densenet import _DenseBlock
from torchvision.models.efficientnet import FusedMBConv, MBConv
from torchvision.models.googlenet import Inception
from torchvision.models.inception import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE
from torchvision.models.maxvit import MaxVitLayer
from torchvision.models.mnasnet import _InvertedResidual as MnasBlock
from torchvision.models.mobilenetv2 import InvertedResidual as MobileV2Block
from torchvision.models.mobilenetv3 import InvertedResidual as MobileV3Block
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.shufflenetv2 import InvertedResidual as ShuffleBlock
from torchvision.models.squeezenet import Fire
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.vision_transformer import EncoderBlock

from atlas.errors import ModelError
from ingest.segments import Trace

if TYPE_CHECKING:
    from ingest.models import VisionModel

BLOCK = "channel of a block's output"
HIDDEN = "hidden unit of an encoder block's MLP, after its activation"
ACTIVATION = "channel after a convolution's activation"
CHOSEN = "channel of a traced value"

# Blocks whose layer is the hidden activation of their MLP, and blocks that are layers; a block inside one is none.
_HIDDEN_OF = (EncoderBlock, SwinTransformerBlock)
_BLOCKS = (
    *(BasicBlock, Bottleneck, ResBottleneckBlock, CNBlock, MBConv, FusedMBConv, MnasBlock, MobileV2Block),
    *(MobileV3Block, ShuffleBlock, Fire, MaxVitLayer, _DenseBlock),
    *(Inception, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE),
)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CHANNELS_FIRST = (
    *_CONVOLUTIONS,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.modules.pooling._AvgPoolNd,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type) and kind is not nn.MultiheadAttention
)
_ACTIVATION_NAMES = frozenset(
    "relu relu6 gelu silu elu selu leaky_relu hardswish hardtanh mish tanh sigmoid".split()
)


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a traced model at the model's input size."""

    name: str
    """Traced name, such as ``layer3.2`` or ``encoder.layers.encoder_layer_3.mlp.1``."""
    node: str
    """Node of the trace."""
    ordinal: int
    """Place among the chosen layers, in order of execution, from 0."""
    kind: str
    """"conv" (channels in front of a grid) or "tokens"."""
    unit: str
    """What one unit of it is."""
    channels: int
    positions: int
    grid: tuple[int, int] | None
    """(height, width) of the positions behind ``tokens_before``; None where they lie on no grid."""
    tokens_before: int
    """Tokens in front of the grid (the class token of a ViT: 1)."""
    channel_axis: int
    """Axis of the channels in the raw tensor, whose axis 0 is the batch."""


def to_units(raw: Tensor, layer: LayerSpec) -> Tensor:
    """(B, C, P) of a layer's raw tensor, a view where the strides allow it."""
    return raw.movedim(layer.channel_axis, 1).flatten(2) if raw.dim() > 2 else raw.unsqueeze(-1)


def from_units(units: Tensor, raw_like_shape: Sequence[int], layer: LayerSpec) -> Tensor:
    """Undo :func:`to_units`: the raw tensor of ``units`` (B, C, P), its other axes as in ``raw_like_shape``.

    The batch may differ from that shape's.
    """
    if len(raw_like_shape) == 2:
        return units.squeeze(-1)
    rest = [size for axis, size in enumerate(raw_like_shape) if axis not in (0, layer.channel_axis)]
    return units.unflatten(2, rest).movedim(1, layer.channel_axis)


def choose_layers(model: VisionModel, globs: str | None) -> tuple[LayerSpec, ...]:
    """Layers of a model in order of execution.

    Parameters
    ----------
    model : only its trace and name are read.
    globs : None for the default layers, or comma-separated patterns on traced names. Each pattern takes the first of
        these that is not empty: the traced value of exactly this name; default layers, ``*`` staying within one part
        of a name; all traced modules and operations, the same; default layers, ``*`` crossing dots; all, the same.

    Raises
    ------
    ModelError : no default layers are found, a pattern matches nothing (with the closest names), or a value has no
        channels with the batch in front.
    """
    trace = model.trace
    defaults = _default_layers(trace)
    if globs is None:
        if not defaults:
            raise ModelError(
                "no blocks or convolutions found to take as layers",
                where=model.name,
                next_step="name layers with --layers 'PATTERN,…'",
            )
        chosen = defaults
    else:
        chosen = {}
        for pattern in filter(None, (part.strip() for part in globs.split(","))):
            chosen |= {
                name: defaults.get(name, CHOSEN) for name in _match(trace, defaults, pattern, model.name)
            }
        if not chosen:
            raise ModelError("no layer named", where=repr(globs), next_step="see `atlas layers --model …`")
    unique: dict[str, str] = {}
    for name in chosen:
        unique.setdefault(trace.names[name], name)
    ordered = sorted(unique.items(), key=lambda item: trace.position(item[0]))
    return tuple(_spec(trace, name, node, i, chosen[name]) for i, (node, name) in enumerate(ordered))


def _match(trace: Trace, defaults: Iterable[str], pattern: str, model: str) -> list[str]:
    if pattern in trace.names:
        return [pattern]
    modules = trace.graph.modules
    every = [n for n in trace.names if not isinstance(modules.get(n), nn.Sequential) and _usable(trace, n)]
    for names, crossing in ((defaults, False), (every, False), (defaults, True), (every, True)):
        found = [name for name in names if _fits(name, pattern, crossing)]
        if found:
            return found
    close = difflib.get_close_matches(pattern, [*defaults, *every], n=3, cutoff=0.3)
    raise ModelError(
        "no such layer",
        where=f"{pattern} of {model}",
        next_step=f"closest: {', '.join(dict.fromkeys(close)) or 'none'}; `atlas layers` lists the layers",
    )


def _fits(name: str, pattern: str, crossing: bool) -> bool:
    if crossing:
        return fnmatch.fnmatchcase(name, pattern)
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _usable(trace: Trace, name: str) -> bool:
    return len(trace.graph.shapes.get(trace.names[name], ())) in (1, 2, 3)


def _default_layers(trace: Trace) -> dict[str, str]:
    """Name → meaning of its unit."""
    for find in (_table_blocks, _residual_blocks, _activated):
        found = dict(find(trace))
        if found:
            return found
    return {}


def _table_blocks(trace: Trace) -> Iterator[tuple[str, str]]:
    outer = ""
    for name, module in sorted(trace.graph.modules.items()):
        if outer and name.startswith(outer + "."):
            continue
        if isinstance(module, (*_HIDDEN_OF, *_BLOCKS)):
            outer = name
            yield (f"{name}.mlp.1", HIDDEN) if isinstance(module, _HIDDEN_OF) else (name, BLOCK)


def _residual_blocks(trace: Trace) -> Iterator[tuple[str, str]]:
    """Modules that add two tensors of their output's shape; of a block of tokens, its MLP's hidden activation."""
    graph = trace.graph
    for name, module in graph.modules.items():
        shape = graph.shapes.get(graph.names[name])
        if not name or isinstance(module, nn.Sequential) or shape is None or len(shape) < 2:
            continue
        if not any(
            _adds(trace, node, shape) for node in graph.graph.nodes if graph.owners.get(node.name) == name
        ):
            continue
        hidden = [n for n in _activation_names(trace, nn.Linear) if n.startswith(name + ".")]
        if len(shape) == 2 and hidden:
            yield hidden[-1], HIDDEN
        else:
            yield name, BLOCK


def _adds(trace: Trace, node: fx.Node, shape: tuple[int, ...]) -> bool:
    same = [n for n in node.all_input_nodes if trace.graph.shapes.get(n.name) == shape]
    return _called(node) == "add" and len(same) == 2


def _activated(trace: Trace) -> Iterator[tuple[str, str]]:
    """Convolutions, or without any the fully connected layers, each after its norm and activation."""
    for kind in (_CONVOLUTIONS, nn.Linear):
        found = list(_activation_names(trace, kind))
        if found:
            yield from ((name, ACTIVATION) for name in found)
            return


def _activation_names(trace: Trace, kinds: type[nn.Module] | tuple[type[nn.Module], ...]) -> Iterator[str]:
    names: dict[str, str] = {}
    for name, node_name in trace.names.items():
        if not isinstance(trace.graph.modules.get(name), nn.Sequential):
            names.setdefault(node_name, name)
    for node in trace.graph.graph.nodes:
        if node.name not in names or not isinstance(_module(trace, node), kinds):
            continue
        while len(node.users) == 1 and isinstance(_module(trace, next(iter(node.users))), _NORMS):
            node = next(iter(node.users))
        after = [user for user in node.users if _activates(trace, user)]
        if len(after) == 1:
            yield names[after[0].name]


def _activates(trace: Trace, node: fx.Node) -> bool:
    module = _module(trace, node)
    if module is not None:
        return isinstance(module, _ACTIVATIONS)
    return _called(node) in _ACTIVATION_NAMES


def _called(node: fx.Node) -> str:
    """Name of the function or method of a node, or nothing."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _module(trace: Trace, node: fx.Node) -> nn.Module | None:
    return trace.graph.module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _channel_axis(trace: Trace, start: fx.Node, dims: int) -> int:
    """Axis of the channels among ``dims`` (batch included), from the nearest module upstream that fixes it."""
    axis, node = -1, start
    moves: list[Sequence[int]] = []
    while True:
        module = _module(trace, node)
        if isinstance(module, _CHANNELS_FIRST):
            axis = 1
            break
        if isinstance(module, _CHANNELS_LAST) or _called(node) == "linear":
            axis = dims - 1
            break
        if _called(node) == "permute":
            moves.append([int(a) % dims for a in (node.args[1:] if len(node.args) > 2 else node.args[1])])
        shape = sorted(trace.graph.shapes[node.name])
        before = [n for n in node.all_input_nodes if sorted(trace.graph.shapes.get(n.name, ())) == shape]
        if not before:
            axis = 1 if dims == 4 else dims - 1
            break
        node = before[0]
    for move in reversed(moves):
        axis = list(move).index(axis)
    return axis


def _spec(trace: Trace, name: str, node_name: str, ordinal: int, unit: str) -> LayerSpec:
    shape = trace.graph.shapes.get(node_name, ())
    if len(shape) not in (1, 2, 3):
        raise ModelError(
            "this value has no channels",
            where=name,
            expected="(B, C), (B, P, C), (B, C, H, W) or (B, H, W, C)",
        )
    node = next(n for n in trace.graph.graph.nodes if n.name == node_name)
    axis = 1 if len(shape) == 1 else _channel_axis(trace, node, len(shape) + 1)
    rest = tuple(size for i, size in enumerate(shape, start=1) if i != axis)
    grid, before = _grid(trace, node, rest)
    return LayerSpec(
        name=name,
        node=node_name,
        ordinal=ordinal,
        kind="conv" if len(shape) == 3 and axis == 1 else "tokens",
        unit=unit,
        channels=shape[axis - 1],
        positions=math.prod(rest),
        grid=grid,
        tokens_before=before,
        channel_axis=axis,
    )


def _grid(trace: Trace, node: fx.Node, rest: tuple[int, ...]) -> tuple[tuple[int, int] | None, int]:
    """Height and width of the positions and the tokens in front of them; a row of tokens takes the grid upstream."""
    if len(rest) == 2:
        return (rest[0], rest[1]), 0
    count = math.prod(rest)
    if count == 1:
        return None, int(len(rest) == 1)
    seen, stack = {node}, [node]
    while stack:
        here = stack.pop(0)
        if len(shape := trace.graph.shapes.get(here.name, ())) == 3:
            axis = _channel_axis(trace, here, 4)
            height, width = (size for i, size in enumerate(shape, start=1) if i != axis)
            if height * width <= count:
                return (height, width), count - height * width
        for before in here.all_input_nodes:
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return None, 0
