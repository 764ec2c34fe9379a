"""Your own models: calling ``package.module:factory`` from the environment or the current folder."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from atlas.errors import DataError, ModelError

Transform = Callable[[Image.Image], Tensor]


class UnitScale:
    """The transform of a model that brings none: the image as it is, in [0, 1], (C, H, W) float32.

    Raises DataError for an image of another size (height, width).
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        self.channels = channels
        self.size = size

    def __call__(self, image: Image.Image) -> Tensor:
        if (image.height, image.width) != self.size:
            raise DataError(
                "an image of another size, and the model brings no transform",
                expected=f"{self.size[1]}x{self.size[0]}",
                got=f"{image.width}x{image.height}",
                next_step="resize it, or return (module, transform) from the model's factory",
            )
        pixels: Tensor = pil_to_tensor(image.convert("L" if self.channels == 1 else "RGB"))
        return pixels.float() / 255

    def __repr__(self) -> str:
        return f"UnitScale(channels={self.channels}, size={self.size[0]}x{self.size[1]})"


def seeded(build: Callable[[], Any], seed: int) -> Any:
    """Call with the global generator at a seed, and put the generator back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def call_factory(name: str, seed: int) -> tuple[nn.Module, Transform | None]:
    """The module that ``package.module:factory`` returns, and its transform if it returns one.

    Parameters
    ----------
    name : the current folder is importable while it is imported and called.
    seed : of the global generator during the call.

    Raises
    ------
    ModelError : no such module or function, the factory fails, or returns something else.
    """
    with _working_directory_importable():
        factory = _find(name)
        try:
            built = seeded(factory, seed)
        except Exception as error:
            raise ModelError(
                "the model factory fails",
                where=name,
                expected="a module",
                got=f"{type(error).__name__}: {error}",
            ) from error
    module, transform = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if not isinstance(module, nn.Module) or not (transform is None or callable(transform)):
        raise ModelError(
            "the model factory returns something else",
            where=name,
            expected="a torch.nn.Module, or (module, transform)",
            got=type(built).__name__,
        )
    return module, transform


def unit_scale(module: nn.Module, size: tuple[int, int] | None, where: str) -> UnitScale:
    """The transform of a module that brings none, for images of one size (height, width).

    Raises ModelError if the size is unknown.
    """
    if size is None:
        raise ModelError(
            "the model has no transform and its input size is unknown",
            where=where,
            expected="(module, transform) from the factory, or images of one size",
            got="a module alone",
            next_step="name the images with --data, or return a transform",
        )
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    return UnitScale(3 if first is None else first.in_channels, size)


def _find(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            "the model's module cannot be imported",
            where=module_name,
            expected="a module of this environment or of the current folder",
            got=f"{type(error).__name__}: {error}",
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        close = difflib.get_close_matches(attribute, vars(module), n=3)
        raise ModelError("no such factory", where=name, next_step=f"closest: {', '.join(close) or 'none'}")
    made: Callable[[], Any] = factory
    return made


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)
