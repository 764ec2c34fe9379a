"""open_clip's image towers, with or without a zero-shot head made by the text tower beside them.

Notation: K classes; D width of the joint space; t_k unit mean of the embeddings of class k's prompts; s logit scale.
Logit k of an image x is s · ⟨v(x) / ‖v(x)‖, t_k⟩ (Radford et al. 2021, arXiv 2103.00020, section 3.1.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from atlas.errors import ModelError
from ingest.builds import RANDOM, Built, ModelSpec, random_seed
from ingest.checkpoints import load_into, read_checkpoint
from ingest.factories import Transform, seeded

INSTALL = "pip install 'circuit-atlas[clip]'"


@dataclass(frozen=True)
class Head:
    """Text embeddings (K, D), unit rows, their class names, and the logit scale."""

    text: Tensor
    classes: tuple[str, ...]
    scale: float


class ZeroShot(nn.Module):
    """An image tower with a fixed head; images (B, 3, H, W) → logits (B, K)."""

    def __init__(self, visual: nn.Module, head: Head) -> None:
        super().__init__()
        self.visual = visual
        self.head = nn.Linear(head.text.shape[1], head.text.shape[0], bias=False)
        self.head.weight = nn.Parameter(head.scale * head.text, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        v = self.visual(x)
        logits: Tensor = self.head(v / v.norm(dim=-1, keepdim=True))
        return logits


def build_clip(spec: ModelSpec) -> Built:
    """``clip:ARCH``: the image tower, with a logit a class where ``spec.texts`` names classes, else its embedding.

    Raises ModelError without open_clip, for a name or weights it does not know, or where class names are given and the
    architecture's tokenizer cannot be had.
    """
    name = spec.model.partition(":")[2]
    seed = None if spec.checkpoint is not None else random_seed(spec)
    if seed is not None:
        model, transform = seeded(lambda: load_whole(name, None), seed)
        source = f"{RANDOM}:{seed}"
    elif spec.checkpoint is not None:
        model, transform = seeded(lambda: load_whole(name, None), 0)
        load_into(model, read_checkpoint(spec.checkpoint), where=spec.checkpoint.name)
        source = f"checkpoint:{spec.checkpoint.name}"
    else:
        tag = default_tag(name) if spec.weights in (None, "DEFAULT") else str(spec.weights)
        model, transform = load_whole(name, tag)
        source = f"open_clip:{name}:{tag}"
    model = model.eval().requires_grad_(False)
    if not spec.texts:
        return Built(model.visual, transform, source)
    head = text_head(name, model, spec.texts)
    return Built(ZeroShot(model.visual, head), transform, source, head.classes)


def load_whole(name: str, pretrained: str | None) -> tuple[Any, Transform]:
    """An open_clip model, both towers, and the transform of its images.

    Parameters
    ----------
    pretrained : a tag of open_clip, a file of weights, or None for random ones.

    Raises ModelError without open_clip, or for a name or weights it does not know.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("open_clip is not installed", where=name, next_step=f"`{INSTALL}`") from error
    try:
        with _silent():
            model, _, transform = open_clip.create_model_and_transforms(name, pretrained=pretrained)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelError(
            "open_clip cannot load this model",
            where=f"{name} {pretrained}",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            next_step="`python -c 'import open_clip; print(open_clip.list_pretrained())'`",
        ) from error
    return model, transform


def default_tag(name: str) -> str:
    """The first of an architecture's weights, OpenAI's where it has them. Raises ModelError where there are none."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("open_clip is not installed", where=name, next_step=f"`{INSTALL}`") from error
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        raise ModelError(
            "open_clip has no weights for this model",
            where=name,
            next_step="name a file with --weights FILE, or take random:SEED",
        )
    return str(tags[0])


@torch.no_grad()
def text_head(name: str, model: Any, classes: Sequence[str]) -> Head:
    """The zero-shot head of class names: open_clip's seven prompts, encoded by the text tower, their mean a class.

    Raises ModelError where the tokenizer of the architecture cannot be had.
    """
    import open_clip

    try:
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            "this architecture's tokenizer is not here and cannot be downloaded",
            where=name,
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200],
            next_step="take a folder of images without classes: the outputs are then the embedding's dimensions",
        ) from error
    weights = open_clip.build_zero_shot_classifier(
        model, tokenizer, list(classes), open_clip.SIMPLE_IMAGENET_TEMPLATES, num_classes_per_batch=16
    )
    text = weights.T.float().contiguous()
    return Head(text / text.norm(dim=1, keepdim=True), tuple(classes), float(model.logit_scale.exp()))


@contextmanager
def _silent() -> Iterator[None]:
    """open_clip says in its log that weights are random, which is what was asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
