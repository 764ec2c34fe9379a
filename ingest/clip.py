"""CLIP image encoders as classifiers: an open_clip image tower and text embeddings that you bring.

Notation: K classes; D width of the joint space; t_k unit text embedding of class k; s logit scale.
Logit k of an image x is s · ⟨v(x) / ‖v(x)‖, t_k⟩ (Radford et al. 2021, arXiv 2103.00020, section 3.1.2).

No text encoder runs here. The head is a safetensors file: ``text_features`` (K, D), optionally ``logit_scale`` (one
number, the factor itself; 100 if left out), and in its metadata ``classes``, a JSON list of K names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import nn

from atlas.errors import ModelError
from ingest.checkpoints import check_finite, weights_digest
from ingest.devices import exact_float32
from ingest.factories import Transform
from ingest.models import VisionModel
from ingest.segments import Trace
from ingest.zero_shot import Head, ZeroShot, load_whole

SCALE = 100.0


@dataclass(frozen=True)
class ClipSpec:
    """Which CLIP.

    name : of open_clip, such as ``ViT-B-32``.      pretrained : its tag, or a file of weights.
    head : the text embeddings.
    """

    name: str
    pretrained: str
    head: Path
    device: str = "cpu"


def load_clip(spec: ClipSpec) -> VisionModel:
    """An open_clip image tower with the head of a file.

    Raises ModelError without open_clip, for a name or weights it does not know, or a head that does not fit.
    """
    visual, transform = load_tower(spec.name, spec.pretrained)
    return assemble(spec, visual, transform, read_head(spec.head))


def load_tower(name: str, pretrained: str | None) -> tuple[nn.Module, Transform]:
    """The image tower (B, 3, H, W) → (B, D) of an open_clip model, and its transform.

    Parameters and errors as :func:`ingest.zero_shot.load_whole`.
    """
    model, transform = load_whole(name, pretrained)
    return model.visual.eval().requires_grad_(False), transform


def read_head(path: Path) -> Head:
    """The head in a safetensors file. Raises ModelError for anything else."""
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call, unused-ignore]
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        classes = tuple(str(name) for name in json.loads(metadata["classes"]))
        text = tensors["text_features"].float()
        scale = float(tensors["logit_scale"]) if "logit_scale" in tensors else SCALE
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(
            "not a zero-shot head",
            where=path,
            expected="safetensors with text_features (K, D), and a JSON list `classes` in its metadata",
            got=f"{type(error).__name__}: {error}",
        ) from error
    if text.dim() != 2 or len(classes) != len(text) or not bool((text.norm(dim=1) > 0).all()):
        raise ModelError(
            "the head's classes and embeddings do not fit",
            where=path,
            expected=f"({len(classes)}, D), no row of zeros",
            got=tuple(text.shape),
        )
    return Head(text / text.norm(dim=1, keepdim=True), classes, scale)


def assemble(spec: ClipSpec, visual: nn.Module, transform: Transform, head: Head) -> VisionModel:
    """The classifier of an image tower (B, 3, H, W) → (B, D) and a head.

    Raises ModelError if the tower cannot be traced, or gives another width than the head's.
    """
    sample = transform(Image.new("RGB", (300, 360)))
    shape = (int(sample.shape[0]), int(sample.shape[1]), int(sample.shape[2]))
    with torch.no_grad():
        width: Any = visual.eval()(sample.unsqueeze(0)).shape
    if tuple(width) != (1, head.text.shape[1]):
        raise ModelError(
            "the head is made for another tower",
            where=spec.head,
            expected=f"embeddings of width {width[-1]}",
            got=head.text.shape[1],
        )
    module = ZeroShot(visual, head).eval().requires_grad_(False)
    check_finite(module, where=spec.name)
    digest = weights_digest(module)
    exact_float32()
    trace = Trace(module.to(torch.device(spec.device)), shape)
    return VisionModel(
        name=spec.name,
        module=module,
        transform=transform,
        transform_text=" ".join(repr(transform).split()),
        digest=digest,
        source=f"open_clip:{spec.name}:{spec.pretrained}",
        categories=head.classes,
        outputs=trace.outputs,
        input_shape=shape,
        trace=trace,
    )
