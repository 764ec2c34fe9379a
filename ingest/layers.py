"""Layers of a traced model: which ones, how they are called, and how their tensors become units.

Notation: raw is a layer's tensor with the batch in front; units are (B, C, P), channels by positions.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx, nn

from atlas.errors import ModelError
from ingest.blocks import CHANNELS_FIRST, CHANNELS_LAST, CHOSEN, called, default_layers, is_a
from ingest.segments import Trace

if TYPE_CHECKING:
    from ingest.models import VisionModel


_RESHAPES = ("view", "reshape", "unflatten", "flatten")


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
    return units.reshape(*units.shape[:2], *rest).movedim(1, layer.channel_axis)


def choose_layers(model: VisionModel, globs: str | None) -> tuple[LayerSpec, ...]:
    """Layers of a model in order of execution.

    Parameters
    ----------
    model : only its trace and name are read.
    globs : None for the default layers, or comma-separated patterns on traced names. A lone ``*`` is all default
        layers. Any other pattern takes the first of these that is not empty: the traced value of exactly this
        name; default layers, ``*`` staying within one part of a name; all traced modules and operations, the
        same; default layers, ``*`` crossing dots; all, the same.

    Raises
    ------
    ModelError : no default layers are found, a pattern matches nothing (with the closest names), or a value
        has no channels with the batch in front.
    """
    trace = model.trace
    defaults = default_layers(trace)
    if globs is None:
        if not defaults:
            raise ModelError(
                "no blocks or convolutions found to take as layers",
                where=model.name,
                next_step=f"name layers with --layers 'PATTERN,…', such as {_examples(trace)}",
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
    if pattern == "*":
        return list(defaults)
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


def _examples(trace: Trace, most: int = 6) -> str:
    """Some traced values that have channels, spread over the model."""
    usable = [name for name in trace.names if len(trace.graph.shapes.get(trace.names[name], ())) in (2, 3)]
    return ", ".join(usable[:: max(1, len(usable) // most)][:most]) or "none: no value has channels"


def _fits(name: str, pattern: str, crossing: bool) -> bool:
    if crossing:
        return fnmatch.fnmatchcase(name, pattern)
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _usable(trace: Trace, name: str) -> bool:
    return len(trace.graph.shapes.get(trace.names[name], ())) in (1, 2, 3)


def _channel_axis(trace: Trace, start: fx.Node, dims: int) -> int:
    """Axis of the channels among ``dims`` (batch included), fixed by the nearest operation upstream that has one."""
    queue: list[tuple[fx.Node, tuple[tuple[int, ...], ...]]] = [(start, ())]
    seen = {start}
    while queue:
        node, moves = queue.pop(0)
        first, last = is_a(trace, node, CHANNELS_FIRST), is_a(trace, node, CHANNELS_LAST)
        if first or last:
            axis = 1 if first else dims - 1
            for move in reversed(moves):
                axis = move.index(axis)
            return axis
        moved = _moved(node, dims)
        shape = sorted(trace.graph.shapes[node.name])
        for before in node.all_input_nodes:
            same = sorted(trace.graph.shapes.get(before.name, ())) == shape
            if same and before not in seen and not (called(node) in _RESHAPES and dims == 4):
                seen.add(before)
                queue.append((before, (*moves, moved) if moved else moves))
    return 1 if dims == 4 else dims - 1


def _moved(node: fx.Node, dims: int) -> tuple[int, ...] | None:
    """The axes of a node's input, in the order the node puts them; None where it moves none."""
    if called(node) == "permute":
        axes: Any = node.args[1:] if len(node.args) > 2 else node.args[1]
        return tuple(int(a) % dims for a in axes)
    if called(node) in ("transpose", "swapaxes", "movedim") and len(node.args) == 3:
        given: Any = node.args[1:]
        a, b = (int(axis) % dims for axis in given)
        order = list(range(dims))
        if called(node) == "movedim":
            order.insert(b, order.pop(a))
        else:
            order[a], order[b] = b, a
        return tuple(order)
    return None


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
    """Height and width of the positions, and the tokens in front; a row of tokens takes the grid upstream."""
    if len(rest) == 2:
        return (rest[0], rest[1]), 0
    count = math.prod(rest)
    if count == 1:
        return None, 0
    seen, stack = {node}, [node]
    while stack:
        here = stack.pop(0)
        shape = trace.graph.shapes.get(here.name, ())
        if len(shape) == 3 and is_a(trace, here, CHANNELS_FIRST):
            height, width = shape[1:]
            if height * width <= count:
                return (height, width), count - height * width
        for before in here.all_input_nodes:
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return None, 0
