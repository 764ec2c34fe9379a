"""torchvision's classifiers by name: their builders, weights and transforms."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from atlas.errors import ModelError
from ingest.builds import RANDOM, Built, ModelSpec, one_of, random_seed
from ingest.checkpoints import load_into, read_checkpoint
from ingest.factories import Transform, seeded


def build_torchvision(spec: ModelSpec) -> Built:
    """A classifier of torchvision.

    Raises ModelError for an unknown name or weights, a failed download, a checkpoint that does not fit, or an input
    size that the network, or its weights, cannot take.
    """
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
        one_of(spec)
        state = read_checkpoint(spec.checkpoint)
        fitting = _fitting(spec.model, state) | _input_arguments(spec)
        module = seeded(lambda: _made(spec, lambda: _bare(spec.model, **fitting)), 0)
        load_into(module, state, where=spec.checkpoint.name)
        return Built(module, transform, f"checkpoint:{spec.checkpoint.name}")
    seed = random_seed(spec)
    if seed is not None:
        module = seeded(lambda: _made(spec, lambda: _bare(spec.model, **_input_arguments(spec))), seed)
        return Built(module, transform, f"{RANDOM}:{seed}")
    weights = _weights(enum, spec)
    try:
        module = _made(spec, lambda: get_model(spec.model, weights=weights, **_input_arguments(spec)))
    except (OSError, RuntimeError, HTTPException) as error:
        raise ModelError(
            "the weights could not be downloaded",
            where=weights.url,
            got=f"{type(error).__name__}: {error}",
            expected=f"the file or a copy of it in {torch.hub.get_dir()}/checkpoints",
            next_step="check the network, or download the file elsewhere and pass it as --checkpoint",
        ) from error
    names = tuple(weights.meta.get("categories", ())) or None
    return Built(module, _sized(weights.transforms, spec), f"torchvision:{weights}", names)


def _made(spec: ModelSpec, build: Callable[[], nn.Module]) -> nn.Module:
    """A network, made for the input size that is asked for: a ViT's weights, say, are of one size."""
    try:
        return build()
    except (ValueError, AssertionError) as error:
        if spec.image_size is None:
            raise
        raise ModelError(
            "the model cannot take images of this size",
            where=f"{spec.model} {spec.weights or ''}".strip(),
            expected="another --image-size, or none",
            got=f"{'x'.join(map(str, spec.image_size))}: {str(error).splitlines()[0]}",
        ) from error


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
