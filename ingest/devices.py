"""What computes: devices by name, how images get there, and how much memory a stage may take of them.

A score that is stored is computed in float32 or float64 throughout: TensorFloat-32 is off, nothing is autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from atlas.errors import ModelError

if TYPE_CHECKING:
    from ingest.job import Prepared

SHARE = 0.125
"""Of the free memory, for one ``chunk_bytes``: it counts a segment's ends, and a segment holds several maps beside."""
BUDGETED = ("gcc", "cla", "gig", "pure")


def pick_devices(text: str) -> tuple[str, ...]:
    """Devices by name, one for each process: ``auto``, ``cpu``, ``cuda`` (all that are visible), or a list.

    ``cuda:0,cuda:1`` names two, ``cpu,cpu`` two processes on the CPU. Raises ModelError for ``cuda`` without any.
    """
    visible = tuple(f"cuda:{n}" for n in range(torch.cuda.device_count()))
    if text == "auto":
        return visible or ("cpu",)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or ("cuda" in names and not visible):
        raise ModelError(
            "device cannot be used",
            where=text,
            expected="cpu, cuda, cuda:N, or several with commas",
            got="no GPU that CUDA can see" if names else "none",
            next_step="leave --device out, or check the driver with nvidia-smi",
        )
    return tuple(device for name in names for device in (visible if name == "cuda" else (name,)))


def pick_device(text: str) -> str:
    """The one device of a command that computes on one: the first that ``auto`` or ``cuda`` means, or the one named.

    Raises ModelError for several by name, or as :func:`pick_devices` does.
    """
    first, *others = pick_devices(text)
    if others and "," in text:
        raise ModelError(
            "device cannot be used",
            where=text,
            expected="one: auto, cpu, cuda or cuda:N",
            got=f"{1 + len(others)} devices",
        )
    return first


def to_device(batch: Tensor, device: torch.device | str, *, channels_last: bool | None = None) -> Tensor:
    """Images (B, C, H, W) on a device.

    On a GPU they lie channels last, which its convolutions read fastest, and do not wait for a copy from pinned
    memory; on a CPU they stay as they are.

    channels_last : True or False decides for any device.
    """
    cuda = torch.device(device).type == "cuda"
    moved = batch.to(device, non_blocking=cuda)
    last = cuda if channels_last is None else channels_last
    return moved.contiguous(memory_format=torch.channels_last) if last and moved.dim() == 4 else moved


def exact_float32() -> None:
    """Switch TensorFloat-32 off for this process: differences of activations need all of float32.

    Called wherever a model comes to a device.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def free_bytes(device: str) -> int | None:
    """Bytes that are free on a GPU now; None for a CPU."""
    found = torch.device(device)
    return torch.cuda.mem_get_info(found)[0] if found.type == "cuda" else None


def budget(free: Sequence[int]) -> int | None:
    """Bytes for one chunk, given the free bytes of each GPU; None without one."""
    return int(SHARE * min(free)) if free else None


def with_budget(prepared: Prepared) -> Prepared:
    """The job, its chunks as large as the GPU's free memory allows; a number that the user set is kept.

    How the work is chunked is no part of what a run is.
    """
    free = free_bytes(prepared.spec.model.device)
    return prepared if free is None else chunked(prepared, budget([free]))


def chunked(prepared: Prepared, size: int | None) -> Prepared:
    """The job with chunks of so many bytes in every method whose number is the default and smaller."""
    spec = prepared.spec
    changes = {}
    for method in BUDGETED:
        own = getattr(spec, method)
        default = type(own)().chunk_bytes
        if size is not None and own.chunk_bytes == default < size:
            changes[method] = replace(own, chunk_bytes=size)
    return replace(prepared, spec=replace(spec, **changes))
