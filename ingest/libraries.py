"""Models of timm, open_clip and Hugging Face, each behind an extra: weights, transform and class names by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from atlas.errors import ModelError
from ingest.builds import RANDOM, Built, ModelSpec, one_of, random_seed
from ingest.checkpoints import load_into, read_checkpoint
from ingest.factories import Transform, seeded
from ingest.zero_shot import build_clip


def missing(library: str, extra: str, where: object) -> ModelError:
    """The error for an extra that is not installed."""
    line = f"`pip install 'circuit-atlas[{extra}]'`"
    return ModelError(f"{library} is not installed", where=where, next_step=line)


def build_timm(spec: ModelSpec) -> Built:
    """A classifier of timm, ``timm:ARCH`` or ``timm:ARCH.TAG``.

    Raises ModelError without timm, for an unknown name or tag, a failed download, or a checkpoint that does not fit.
    """
    name = spec.model.partition(":")[2]
    try:
        import timm
    except ImportError as error:
        raise missing("timm", "timm", spec.model) from error
    arch, _, tag = name.partition(".")
    if not timm.is_model(arch):
        close = difflib.get_close_matches(arch, timm.list_models(), n=3)
        raise ModelError(
            "no timm model of this name", where=name, next_step=f"closest: {', '.join(close) or 'none'}"
        )
    if spec.checkpoint is not None:
        one_of(spec)
        state = read_checkpoint(spec.checkpoint)
        module = seeded(lambda: _timm(arch, spec, **_classes_of(arch, state)), 0)
        load_into(module, state, where=spec.checkpoint.name)
        return Built(module, _timm_transform(module, spec), f"checkpoint:{spec.checkpoint.name}")
    seed = random_seed(spec)
    if seed is not None:
        module = seeded(lambda: _timm(arch, spec), seed)
        return Built(module, _timm_transform(module, spec), f"{RANDOM}:{seed}")
    wanted = tag if spec.weights in (None, "DEFAULT") else str(spec.weights)
    full = f"{arch}.{wanted}" if wanted else arch
    try:
        module = _timm(full, spec, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        known = timm.list_pretrained(f"{arch}.*")
        raise ModelError(
            "timm cannot load these weights",
            where=full,
            expected=f"one of {', '.join(known[:4]) or 'none: it has no weights'}, or random:SEED",
            got=_first_line(error),
            next_step="check the network, or pass the file as --checkpoint",
        ) from error
    return Built(module, _timm_transform(module, spec), f"timm:{full}", _imagenet_names(module))


def _timm(name: str, spec: ModelSpec, **arguments: Any) -> nn.Module:
    import timm

    if spec.image_size is not None:
        try:
            sized: nn.Module = timm.create_model(name, img_size=spec.image_size, **arguments)
        except TypeError:  # convolutional models take any size, and no such argument
            pass
        else:
            return sized
    module: nn.Module = timm.create_model(name, **arguments)
    return module


def _classes_of(arch: str, state: Mapping[str, Tensor]) -> dict[str, int]:
    """The number of classes of a checkpoint's head."""
    import timm

    head = timm.get_pretrained_cfg_value(arch, "classifier")
    weight = state.get(f"{head}.weight") if isinstance(head, str) else None
    return {} if weight is None else {"num_classes": int(weight.shape[0])}


def _timm_transform(module: nn.Module, spec: ModelSpec) -> Transform:
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({}, model=module)
    if spec.image_size is not None:
        config["input_size"] = (config["input_size"][0], *spec.image_size)
    transform: Transform = create_transform(**config, is_training=False)
    return transform


def _imagenet_names(module: nn.Module) -> tuple[str, ...] | None:
    """ImageNet's names where that is what a timm model tells apart."""
    from timm.data import infer_imagenet_subset

    names = tuple(ResNet50_Weights.DEFAULT.meta["categories"])
    outputs = getattr(module, "num_classes", 0)
    config = getattr(module, "pretrained_cfg", {})
    known = "1k" in str(config.get("tag", "")) or infer_imagenet_subset(config) in (
        "imagenet-1k",
        "imagenet1k",
    )
    return names if outputs == len(names) and known else None


class Processed:
    """An image processor of transformers as a transform: RGB image → (C, H, W)."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, image: Image.Image) -> Tensor:
        pixels: Tensor = self._processor(image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def __repr__(self) -> str:
        return json.dumps(self._processor.to_dict(), sort_keys=True, default=str)


def build_hf(spec: ModelSpec) -> Built:
    """An image classifier of transformers from a local folder, ``hf:FOLDER``; nothing is downloaded.

    Raises ModelError without transformers, or for a folder that is no image classifier with safetensors weights.
    """
    folder = Path(spec.model.partition(":")[2]).expanduser()
    try:
        import transformers
    except ImportError as error:
        raise missing("transformers", "hf", spec.model) from error
    if not (folder / "config.json").is_file():
        raise ModelError(
            "no Hugging Face model in this folder",
            where=folder,
            expected="config.json and model.safetensors",
            next_step="download the repository first, or save_pretrained into a folder",
        )
    transformers.utils.logging.disable_progress_bar()
    local, auto = {"local_files_only": True}, transformers.AutoModelForImageClassification
    seed = random_seed(spec) if spec.checkpoint is None else 0
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        if seed is not None:
            module = seeded(lambda: auto.from_config(config), seed)
        else:
            module, facts = auto.from_pretrained(
                folder, **local, use_safetensors=True, output_loading_info=True
            )
            _all_there(facts, folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            "not an image classifier of transformers",
            where=folder,
            expected="a configuration with a class for image classification, and model.safetensors",
            got=_first_line(error),
        ) from error
    source = f"hf:{folder.name}" if seed is None else f"{RANDOM}:{seed}"
    if spec.checkpoint is not None:
        one_of(spec)
        load_into(module, read_checkpoint(spec.checkpoint), where=spec.checkpoint.name)
        source = f"checkpoint:{spec.checkpoint.name}"
    return Built(_logits_alone(module), _processor(folder, spec), source, _labels(config))


def _all_there(facts: Mapping[str, Any], folder: Path) -> None:
    """Refuse weights that leave parameters as they were made, as a classifier's head of a bare encoder."""
    absent = sorted(map(str, facts.get("missing_keys", ())))
    if absent:
        raise ModelError(
            "the folder's weights are not all of this classifier's",
            where=folder,
            expected="weights of the head too",
            got=f"{len(absent)} missing: {', '.join(absent[:3])}",
            next_step="use a folder that was trained as a classifier",
        )


def _logits_alone(module: nn.Module) -> nn.Module:
    """The same module, its forward pass from images to logits."""
    own = type(module)

    def forward(self: nn.Module, pixels: Tensor) -> Tensor:
        logits: Tensor = own.forward(self, pixel_values=pixels).logits
        return logits

    module.__class__ = type(own.__name__, (own,), {"forward": forward, "__module__": own.__module__})
    return module


def _processor(folder: Path, spec: ModelSpec) -> Transform | None:
    """The folder's image processor; None where there is none, the images then are taken as they are."""
    import transformers

    if not (folder / "preprocessor_config.json").is_file():
        return None
    changes: dict[str, Any] = {}
    if spec.image_size is not None:
        size = dict(zip(("height", "width"), spec.image_size, strict=True))
        changes = {"size": size, "crop_size": size}
    processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, **changes)
    return Processed(processor)


def _labels(config: Any) -> tuple[str, ...] | None:
    """Class names of a configuration; None where it only numbers them."""
    names = tuple(str(config.id2label[i]) for i in sorted(config.id2label))
    return None if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:240]


BUILDERS: dict[str, Callable[[ModelSpec], Built]] = {"timm": build_timm, "hf": build_hf, "clip": build_clip}
