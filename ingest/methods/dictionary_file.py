"""A dictionary made elsewhere, ``--set gig.dictionary=file:PATH``: a safetensors file with a tensor (K, C) a layer."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import normalize

from atlas.errors import DataError

PREFIX = "file:"


def dictionary_path(name: str) -> Path | None:
    """The file that a dictionary's name (``file:PATH``) points to, None for a name of the registry."""
    return Path(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None


def read_dictionary(path: Path, layer: str, channels: int) -> Tensor:
    """The concepts of one layer at unit length, (K, C) float32 on the CPU; other layers of the file are not read.

    Raises DataError if the file cannot be read, has no tensor of the layer's name, or one that is not K × ``channels``
    finite numbers without zero rows.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            names = list(opened.keys())
            found = opened.get_tensor(layer) if layer in names else None
    except (OSError, SafetensorError) as error:
        raise DataError("the dictionary cannot be read", where=path, got=type(error).__name__) from error
    if found is None:
        raise DataError(
            "the dictionary file has no such layer",
            where=path,
            expected=f"a tensor named {layer}",
            got=", ".join(sorted(names)[:5]) or "no tensor",
            next_step="name the tensors as `atlas layers` does",
        )
    if found.dim() != 2 or found.shape[1] != channels or not len(found):
        raise DataError(
            "a dictionary of another layer",
            where=f"{path}, {layer}",
            expected=f"K × {channels}",
            got=" × ".join(str(size) for size in found.shape) or "a single number",
        )
    rows = found.to(torch.float32)
    norms = rows.norm(dim=1)
    if not bool(norms.isfinite().all()) or not bool((norms > 0).all()):
        raise DataError(
            "a concept has no direction", where=f"{path}, {layer}", expected="finite rows, none of them zero"
        )
    return normalize(rows, dim=1)
