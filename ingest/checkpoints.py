"""Weights: reading a checkpoint, fitting it to a module, its digest. Only tensors are ever unpickled."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from atlas.errors import ModelError

_NESTS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU.

    ``*.safetensors`` is read as such, anything else by ``torch.load(weights_only=True)``. Nesting under
    ``state_dict``, ``model_state_dict`` or ``model`` is undone, and the prefixes of DataParallel and
    ``torch.compile``.

    Raises
    ------
    ModelError : the file is missing, corrupt, or holds something else than named tensors.
    """
    if not path.is_file():
        raise ModelError("no such checkpoint", where=path, next_step="check --checkpoint")
    try:
        if path.suffix == ".safetensors":
            return _unprefixed(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        raise ModelError(
            "the checkpoint cannot be read",
            where=path,
            expected="safetensors, or a file of torch.save that loads with weights_only=True",
            got=_first_sentence(error),
            next_step="save the state_dict again",
        ) from error
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    named = isinstance(content, Mapping) and all(isinstance(k, str) for k in content)
    if not named or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(
            "the checkpoint holds no state dict",
            where=path,
            expected="names → tensors, plain or under " + ", ".join(_NESTS),
            got=type(content).__name__,
            next_step="save model.state_dict()",
        )
    return _unprefixed(content)


def load_into(module: nn.Module, state: Mapping[str, Tensor], where: object) -> None:
    """Load a state dict that fits a module exactly.

    Raises
    ------
    ModelError : missing or unexpected names, or other shapes, all in one line.
    """
    expected = module.state_dict()
    shapes = [
        f"{name} {tuple(expected[name].shape)} got {tuple(value.shape)}"
        for name, value in state.items()
        if name in expected and expected[name].shape != value.shape
    ]
    faults = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "other shape": shapes,
    }
    found = "; ".join(f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names)
    if found:
        raise ModelError(
            "the checkpoint does not fit the model",
            where=where,
            expected=f"{len(expected)} tensors of {type(module).__name__}",
            got=found,
            next_step="use the checkpoint's own architecture and number of classes",
        )
    module.load_state_dict(state)


def check_finite(module: nn.Module, where: object) -> None:
    """Refuse weights that are NaN or infinite.

    Raises ModelError that names the tensors.
    """
    bad = [
        name for name, t in module.state_dict().items() if t.is_floating_point() and not t.isfinite().all()
    ]
    if bad:
        raise ModelError(
            "weights that are NaN or infinite",
            where=where,
            expected="finite weights",
            got=f"{len(bad)} tensors with others: {_some(bad)}",
            next_step="use an earlier checkpoint of that training",
        )


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names (sorted), dtypes, shapes and bytes of a state dict, 64 hex digits."""
    h = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        h.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        h.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return h.hexdigest()


def _unprefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = dict(state)
    for prefix in _PREFIXES * 2:
        if found and all(name.startswith(prefix) for name in found):
            found = {name[len(prefix) :]: value for name, value in found.items()}
    return found


def _some(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _first_sentence(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].split('. ')[0]}"[:160]
