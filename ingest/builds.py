"""What a model is asked for by, and what building one gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from atlas.errors import ModelError
from ingest.factories import Transform

RANDOM = "random"
LIBRARIES = ("timm", "clip", "hf")
"""Prefixes of models that a library makes; any other ``package.module:factory`` is the user's own."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model, with which weights, where."""

    model: str
    """Name of a torchvision classifier, ``timm:NAME``, ``clip:ARCH``, ``hf:FOLDER``, or ``package.module:factory``."""
    weights: str | None = None
    """Name in the model's weights enum or of the library's tag, ``DEFAULT``, or ``random:SEED``."""
    checkpoint: Path | None = None
    seed: int = 0
    """Of the random weights where neither ``weights`` nor ``checkpoint`` is given."""
    device: str = "cpu"
    image_size: tuple[int, int] | None = None
    """(height, width) of the model's input: for a factory without a transform, or where a model of a library
    shall see other sizes than it was made for."""
    texts: tuple[str, ...] | None = None
    """Class names of the data, which a CLIP tower's outputs stand for."""


@dataclass(frozen=True)
class Built:
    """A module as it was made. ``transform`` None: images as they are; ``categories`` None: outputs without names."""

    module: nn.Module
    transform: Transform | None
    source: str
    categories: tuple[str, ...] | None = None


def library_of(model: str) -> str | None:
    """The library that a model's name asks for, None for torchvision's and the user's own."""
    head, colon, _ = model.partition(":")
    return head if colon and head in LIBRARIES else None


def found_from_anywhere(model: str) -> str:
    """A model's name that means the same in another working folder: a Hugging Face folder by its whole path."""
    if library_of(model) != "hf":
        return model
    return f"hf:{Path(model.partition(':')[2]).expanduser().absolute()}"


def default_weights(model: str) -> str | None:
    """The weights that a command takes when none are named: a library's default ones, or the factory's own."""
    return "DEFAULT" if ":" not in model or library_of(model) else None


def random_seed(spec: ModelSpec) -> int | None:
    """The seed of random weights, or None where weights are named.

    Raises ModelError for ``random:`` with something else than a number.
    """
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


def one_of(spec: ModelSpec) -> None:
    """Refuse weights by name beside a checkpoint."""
    if spec.checkpoint is not None and spec.weights is not None:
        raise ModelError("both weights and a checkpoint", where=spec.model, next_step="give one of them")
