"""What stops a model from being traced: which operation, on which line, and what its author can do."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlas.errors import ModelError

WHOLE = "atlas_whole"
"""Class attribute: a module with it is one operation, whatever Python its forward pass runs."""
_LIBRARIES = (Path(torch.__file__).parent, Path(__file__).parent)


def blame(module: nn.Module, innermost: str, error: Exception) -> ModelError:
    """The error for a module that cannot be traced.

    Parameters
    ----------
    innermost : the module call in which tracing stopped, empty for the outermost.
    error : what tracing raised.
    """
    part = _part(module, innermost)
    where, line = _place(error)
    text = str(error).splitlines()[0] if str(error) else ""
    name = f"{type(part).__name__} ({innermost})" if innermost else type(module).__name__
    return ModelError(
        "the model cannot be traced",
        where=f"{name}{where}",
        expected="a forward pass without branches on tensor values",
        got=f"`{line}`: {type(error).__name__}: {text}" if line else f"{type(error).__name__}: {text}",
        next_step=(
            "write it with torch.where, call it through torch.fx.wrap, or keep that module whole with the class "
            f"attribute `{WHOLE} = True`; then --layers names it and what lies around it"
        ),
    )


def one_input(module: nn.Module) -> None:
    """Fix all arguments of a forward pass but the images at their defaults.

    Raises ModelError if the module needs more than images.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p.name for p in positional if p.default is p.empty]
    if len(wanted) > 1:
        raise ModelError(
            "the model takes several inputs",
            where=type(module).__name__,
            expected="forward(images)",
            got=f"forward({', '.join(wanted)})",
            next_step="wrap it in a module whose forward takes images alone and fills in the rest",
        )
    if len(parameters) > 1:
        own = type(module)

        def forward(self: nn.Module, x: Any) -> Any:
            return own.forward(self, x)

        module.__class__ = type(own.__name__, (own,), {"forward": forward, "__module__": own.__module__})


def _part(module: nn.Module, name: str) -> nn.Module:
    """The submodule of a call's name, which counts from its second call on."""
    for path in (name, name.rpartition("_")[0]):
        try:
            return module.get_submodule(path)
        except AttributeError:
            continue
    return module


def _place(error: Exception) -> tuple[str, str]:
    """File and line of the author's code that stopped tracing, and that line; nothing where there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(library) for library in _LIBRARIES)
        and not frame.filename.startswith("<")
    ]
    if not frames:
        return "", ""
    last = frames[-1]
    return f" at {Path(last.filename).name}:{last.lineno}", (last.line or "").strip()
