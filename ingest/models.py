"""Models: a torchvision classifier by name, or your own by ``package.module:factory`` and a checkpoint."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from atlas.errors import ModelError
from ingest.checkpoints import check_finite, load_into, read_checkpoint, weights_digest
from ingest.factories import Transform, UnitScale, call_factory, seeded, unit_scale
from ingest.segments import OUTPUT, Trace

Built = tuple[nn.Module, Transform | None, str, tuple[str, ...] | None]
RANDOM = "random"


@dataclass(frozen=True)
class ModelSpec:
    """Which model, with which weights, where."""

    model: str
    """Name of a torchvision classifier, or ``package.module:factory``."""
    weights: str | None = None
    """Name in the model's weights enum, ``DEFAULT``, or ``random:SEED``."""
    checkpoint: Path | None = None
    seed: int = 0
    """Of the random weights where neither ``weights`` nor ``checkpoint`` is given."""
    device: str = "cpu"
    image_size: tuple[int, int] | None = None
    """(height, width) of the model's input: for a factory without a transform, or where a model of a library
    shall see other sizes than it was made for."""


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

    On a GPU TensorFloat-32 is switched off for the process: differences of activations need all of float32.

    Raises
    ------
    ModelError : unknown name or weights, failed download, a factory, checkpoint or device that cannot be
        used, weights that are not finite, or a module that cannot be traced.
    """
    device = _device(spec.device)
    own = ":" in spec.model
    module, transform, source, categories = _build_own(spec) if own else _build_torchvision(spec)
    check_finite(module, where=source)
    module = module.eval().requires_grad_(False)
    digest = weights_digest(module)
    if transform is None:
        known = spec.image_size or (size() if size else None)
        transform = unit_scale(module, known, spec.model)
    shape = _input_shape(transform, spec)
    trace = Trace(module.to(device), shape)
    if own:
        _check_trace(module, trace, shape, spec)
    return VisionModel(
        name=spec.model.rpartition(":")[2],
        module=module,
        transform=transform,
        transform_text=" ".join(repr(transform).split()),
        digest=digest,
        source=source,
        categories=categories,
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
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _build_torchvision(spec: ModelSpec) -> Built:
    known = list_models(module=torchvision.models)
    if spec.model not in known:
        close = difflib.get_close_matches(spec.model, known, n=3)
        raise ModelError(
            "no torchvision classifier of this name",
            where=spec.model,
            next_step=f"closest: {', '.join(close) or 'none'}; your own is --model package.module:factory",
        )
    enum = get_model_weights(spec.model)
    transform = _sized(enum.DEFAULT.transforms, spec)
    if spec.checkpoint is not None:
        if spec.weights is not None:
            raise ModelError("both weights and a checkpoint", where=spec.model, next_step="give one of them")
        state = read_checkpoint(spec.checkpoint)
        fitting = _fitting(spec.model, state) | _input_arguments(spec)
        module = seeded(lambda: _bare(spec.model, **fitting), 0)
        load_into(module, state, where=spec.checkpoint.name)
        return module, transform, f"checkpoint:{spec.checkpoint.name}", None
    seed = _random_seed(spec)
    if seed is not None:
        module = seeded(lambda: _bare(spec.model, **_input_arguments(spec)), seed)
        return module, transform, f"{RANDOM}:{seed}", None
    weights = _weights(enum, spec)
    try:
        module = get_model(spec.model, weights=weights, **_input_arguments(spec))
    except (OSError, RuntimeError, HTTPException) as error:
        raise ModelError(
            "the weights could not be downloaded",
            where=weights.url,
            got=f"{type(error).__name__}: {error}",
            expected=f"the file or a copy of it in {torch.hub.get_dir()}/checkpoints",
            next_step="check the network, or download the file elsewhere and pass it as --checkpoint",
        ) from error
    names = tuple(weights.meta.get("categories", ())) or None
    return module, _sized(weights.transforms, spec), f"torchvision:{weights}", names


def _sized(transforms: Callable[..., Any], spec: ModelSpec) -> Transform:
    """The transform of torchvision weights, for another input size where one is asked for."""
    made = transforms()
    if spec.image_size is not None:
        made.resize_size = [round(max(spec.image_size) * made.resize_size[0] / made.crop_size[0])]
        made.crop_size = list(spec.image_size)
    transform: Transform = made
    return transform


def _input_arguments(spec: ModelSpec) -> dict[str, Any]:
    """What a torchvision builder must know of an input size: ViT one number, MaxViT both."""
    if spec.image_size is None:
        return {}
    if spec.model.startswith("vit_"):
        return {"image_size": spec.image_size[0]}
    return {"input_size": spec.image_size} if spec.model.startswith("maxvit") else {}


def _random_seed(spec: ModelSpec) -> int | None:
    """The seed of random weights, or None where weights are named."""
    if spec.weights is None:
        return spec.seed
    kind, _, seed = spec.weights.partition(":")
    if kind != RANDOM:
        return None
    if not seed:
        return spec.seed
    if not seed.isdecimal():
        raise ModelError("not a seed", where=spec.weights, expected="random:SEED", got=repr(seed))
    return int(seed)


def _weights(enum: type[WeightsEnum], spec: ModelSpec) -> WeightsEnum:
    name = str(spec.weights).rpartition(".")[2]
    if name not in enum.__members__:
        raise ModelError(
            "no such weights",
            where=f"{spec.model} {spec.weights}",
            expected=", ".join([*enum.__members__, "random:SEED"]),
            got=spec.weights,
        )
    member: WeightsEnum = enum[name]
    return member


def _bare(name: str, **kwargs: Any) -> nn.Module:
    with warnings.catch_warnings():
        # GoogLeNet and Inception announce a change of their default initialisation.
        warnings.simplefilter("ignore", FutureWarning)
        module: nn.Module = get_model(name, weights=None, **kwargs)
    return module


def _fitting(name: str, state: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments with which a torchvision builder fits a checkpoint: classes of the head, auxiliary heads."""
    with torch.device("meta"):
        model = _bare(name)
    head, size = [(n, p.shape[0]) for n, p in model.named_parameters() if p.dim() == 1][-1]
    found: dict[str, Any] = {}
    if head in state and state[head].dim() == 1 and state[head].shape[0] != size:
        found["num_classes"] = state[head].shape[0]
    if "aux_logits" in inspect.signature(type(model)).parameters:
        found["aux_logits"] = any(n.lower().startswith("aux") for n in state)
    return found


def _build_own(spec: ModelSpec) -> Built:
    if spec.weights is not None and not spec.weights.startswith(RANDOM):
        raise ModelError(
            "weights by name belong to torchvision models",
            where=spec.model,
            expected="--checkpoint FILE, or the factory's own weights",
            got=spec.weights,
        )
    module, transform = call_factory(spec.model, _random_seed(spec) or 0)
    if spec.checkpoint is None:
        return module, transform, f"factory:{spec.model}", None
    load_into(module, read_checkpoint(spec.checkpoint), where=spec.checkpoint.name)
    return module, transform, f"checkpoint:{spec.checkpoint.name}", None


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
