"""Shapes of all values of a graph, without computing them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from atlas.errors import ModelError
from ingest.untraced import WHOLE


def kind_of(module: nn.Module) -> tuple[torch.dtype, torch.device]:
    """Precision and place of a module's numbers."""
    first = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return first.dtype, first.device


def shapes_of(
    module: nn.Module, graph: fx.Graph, input_shape: tuple[int, int, int]
) -> dict[str, tuple[int, ...]]:
    """Node → shape without the batch axis, for values with the batch in axis 0 and in no other.

    Two runs on fake tensors (batches of 2 and 3, no arithmetic); on real ones where a module is kept whole, for that
    may ask for values. Raises ModelError if the forward pass fails.
    """
    dtype, device = kind_of(module)
    fake = not any(getattr(part, WHOLE, False) for part in module.modules())
    found = []
    for batch in (2, 3):
        probe = _Probe(fx.GraphModule(module, graph))
        try:
            with FakeTensorMode(allow_non_fake_inputs=True) if fake else nullcontext(), torch.no_grad():
                probe.run(torch.zeros(batch, *input_shape, dtype=dtype, device=device))
        except Exception as error:  # any failure of the user's forward
            raise ModelError(
                "the model's forward pass fails",
                where=type(module).__name__,
                expected=f"it takes an input of shape (B, {', '.join(map(str, input_shape))})",
                got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                next_step="check the input size against the model",
            ) from error
        found.append(probe.shapes)
    two, three = found
    return {
        name: tuple(shape[1:])
        for name, shape in two.items()
        if len(shape) and shape[0] == 2 and three.get(name) == torch.Size((3, *shape[1:]))
    }


class _Probe(fx.Interpreter):
    """A run that notes shapes."""

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program)
        self.shapes: dict[str, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n.name] = value.shape
        return value
