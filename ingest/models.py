"""Models: by a library's name, or your own by ``package.module:factory`` and a checkpoint; loaded, checked, traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from atlas.errors import ModelError
from ingest.builds import RANDOM, Built, library_of, random_seed
from ingest.builds import ModelSpec as ModelSpec
from ingest.checkpoints import check_finite, load_into, read_checkpoint, weights_digest
from ingest.devices import exact_float32
from ingest.factories import Transform, UnitScale, call_factory, unit_scale
from ingest.libraries import BUILDERS
from ingest.segments import OUTPUT, Trace
from ingest.torchvision_models import build_torchvision


@dataclass(frozen=True)
class VisionModel:
    """A classifier in evaluation mode, without gradients on its weights, and its trace.

    ``module`` is as its factory built it; only the traced copy is free of in-place operations.
    """

    name: str
    module: nn.Module
    transform: Transform
    transform_text: str
    digest: str
    """SHA-256 of the weights, 64 hex digits."""
    source: str
    """``torchvision:ResNet50_Weights.IMAGENET1K_V2``, ``checkpoint:file``, ``random:seed``, ``factory:f``."""
    categories: tuple[str, ...] | None
    outputs: int
    input_shape: tuple[int, int, int]
    trace: Trace


def load_model(spec: ModelSpec, size: Callable[[], tuple[int, int]] | None = None) -> VisionModel:
    """Build a model, load its weights, trace it.

    Parameters
    ----------
    spec : which model.
    size : asked for the images' common (height, width) if a factory brings no transform and ``spec`` no size.

    TensorFloat-32 is switched off for the process.

    Raises
    ------
    ModelError : unknown name or weights, failed download, a factory, checkpoint or device that cannot be
        used, an input size that it cannot take, weights that are not finite, or a module that cannot be traced.
    """
    device = _device(spec.device)
    built = _build(spec)
    check_finite(built.module, where=built.source)
    module, transform = built.module.eval().requires_grad_(False), built.transform
    digest = weights_digest(module)
    if transform is None:
        known = spec.image_size or (size() if size else None)
        transform = unit_scale(module, known, spec.model)
    shape = _input_shape(transform, spec)
    trace = Trace(module.to(device), shape)
    if ":" in spec.model:
        _check_trace(module, trace, shape, spec)
    return VisionModel(
        name=spec.model.rpartition(":")[2].rstrip("/").rpartition("/")[2],
        module=module,
        transform=transform,
        transform_text=" ".join(repr(transform).split()),
        digest=digest,
        source=built.source,
        categories=built.categories,
        outputs=trace.outputs,
        input_shape=shape,
        trace=trace,
    )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            "device cannot be used",
            where=name,
            got=str(error).splitlines()[0],
            expected="cpu, cuda or cuda:N",
        ) from error
    exact_float32()
    return device


def _build(spec: ModelSpec) -> Built:
    library = library_of(spec.model)
    if library is None:
        return _build_own(spec) if ":" in spec.model else build_torchvision(spec)
    return BUILDERS[library](spec)


def _build_own(spec: ModelSpec) -> Built:
    if spec.weights is not None and not spec.weights.startswith(RANDOM):
        raise ModelError(
            "weights by name belong to models of a library",
            where=spec.model,
            expected="--checkpoint FILE, or the factory's own weights",
            got=spec.weights,
        )
    module, transform = call_factory(spec.model, random_seed(spec) or 0)
    if spec.checkpoint is None:
        return Built(module, transform, f"factory:{spec.model}")
    load_into(module, read_checkpoint(spec.checkpoint), where=spec.checkpoint.name)
    return Built(module, transform, f"checkpoint:{spec.checkpoint.name}")


def _input_shape(transform: Transform, spec: ModelSpec) -> tuple[int, int, int]:
    height, width = transform.size if isinstance(transform, UnitScale) else (300, 360)
    try:
        sample = transform(Image.new("RGB", (width, height)))
    except Exception as error:  # whatever the user's transform raises
        raise ModelError(
            "the transform fails",
            where=spec.model,
            got=f"{type(error).__name__}: {error}",
            expected="(C, H, W)",
        ) from error
    if not isinstance(sample, Tensor) or sample.dim() != 3:
        got = tuple(sample.shape) if isinstance(sample, Tensor) else type(sample).__name__
        raise ModelError(
            "the transform returns something else", where=spec.model, expected="a tensor (C, H, W)", got=got
        )
    channels, rows, columns = sample.shape
    if spec.image_size is not None and spec.image_size != (rows, columns):
        raise ModelError(
            "the model's transform makes images of its own size",
            where=spec.model,
            expected="x".join(map(str, spec.image_size)),
            got=f"{rows}x{columns}",
            next_step="leave --image-size out, or return a transform of that size from the model's factory",
        )
    return channels, rows, columns


@torch.no_grad()
def _check_trace(module: nn.Module, trace: Trace, shape: tuple[int, int, int], spec: ModelSpec) -> None:
    """A factory may branch on values or hook its outputs; the traced graph must compute the same."""
    parameter = next(module.parameters(), torch.empty(0))
    noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(parameter.device, parameter.dtype)
    expected, got = module(x), trace.values(x, [OUTPUT])[OUTPUT]
    if not torch.allclose(expected, got, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ModelError(
            "the traced model departs from the model",
            where=spec.model,
            expected="equal logits",
            got=f"a difference of {(expected - got).abs().max().item():.3g}",
            next_step="move branches on values, random numbers and forward hooks out of the model",
        )
    alone = trace.values(x[:1], [OUTPUT])[OUTPUT]
    if not torch.allclose(alone, got[:1], rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ModelError(
            "the result of an image depends on the others of its batch",
            where=spec.model,
            expected="equal logits alone and beside another image",
            got=f"a difference of {(alone - got[:1]).abs().max().item():.3g}",
            next_step="take statistics over the batch out of the forward pass",
        )
