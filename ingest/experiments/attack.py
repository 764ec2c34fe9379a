"""A defence against attacks that plant a sign in the picture: find the circuit that carries the sign, and prune it.

Given are clean images and attacked ones, both in a folder per true class, and the class that each attack is for. On one
half of the images the CLA scores of attacked images, less those of clean ones, clipped at zero, give the circuit; on
the other half the attack is tried again with it pruned, beside as many random and most activated neurons per layer.

After the text-attack experiment of Automatic Discovery of Visual Circuits (arXiv 2404.14349). The backbone, k and how
the attack's score is contrasted are not given there; see docs/methods/interventions.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.classes import map_classes
from ingest.clip import ClipSpec, load_clip
from ingest.images import ImageBatches, ImageSet, common_size, halves, scan_images
from ingest.job import JUDGING, Sides
from ingest.layers import LayerSpec, choose_layers
from ingest.models import ModelSpec, VisionModel, load_model

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AttackSpec:
    """What `atlas defend` was asked to do.

    targets : the class every attack is for; a JSON file {path: class}; or ``/regex/`` whose group 1, found in an
        attacked image's path, is its class.
    sides : which half and which sources an image has, by its path below either folder; equal paths, equal half.
    sizes : shares of each layer's channels to try; the smallest one is taken that brings the attack down to ``goal``
        on the first half, the largest if none does.
    scored : attacked images, and as many clean ones, that the scores are averaged over; the same ones where a clean
        image has the path of the attacked one.
    kind : how the circuit is cut (see :mod:`ingest.methods.circuit_pruning`).
    clip : an open_clip image tower in place of ``model``, of which only the device is read then.
    """

    model: ModelSpec
    clean: Path
    attacked: Path
    targets: str
    layers: str | None = None
    classes: Path | None = None
    sides: Sides = field(default_factory=Sides)
    sizes: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1)
    goal: float = 0.1
    scored: int = 20
    kind: str = "circuit"
    draws: int = 10
    seed: int = 0
    batch: int = 32
    chunk_bytes: int = 256 * 2**20
    clip: ClipSpec | None = None


@dataclass(frozen=True)
class Pictures:
    """One folder's images: true output and target output (−1 where there is none) of each, whether it judges."""

    images: ImageSet
    label: Ints
    target: Ints
    judging: Bools
    sources: tuple[tuple[str, ...], ...]

    def rows(self, *, judging: bool) -> Ints:
        """Rows of one half."""
        return np.flatnonzero(self.judging == judging)


@dataclass(frozen=True)
class Case:
    """An attack at hand: the model, its layers, and both folders. ``attacked`` holds no image whose target is what it
    shows: there is nothing to attack.
    """

    spec: AttackSpec
    model: VisionModel
    layers: tuple[LayerSpec, ...]
    names: Mapping[int, str]
    clean: Pictures
    attacked: Pictures

    def batches(self, side: Pictures, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Images of some rows of a folder, on the model's device."""
        loaded = ImageBatches(side.images, self.model.transform, batch=self.spec.batch, indices=rows)
        for indices, x in loaded:
            yield [int(i) for i in indices], x.to(self.spec.model.device)


def prepare_case(spec: AttackSpec) -> Case:
    """Load the model and list both folders.

    Raises
    ------
    DataError : an image without a class or a target, an unknown class, or no image in some half.
    ModelError : as :func:`ingest.models.load_model` and :func:`ingest.clip.load_clip`.
    """
    clean, attacked = scan_images(spec.clean), scan_images(spec.attacked)
    if spec.clip is not None:
        model = load_clip(spec.clip)
    else:
        model = load_model(spec.model, lambda: common_size((*clean.images, *attacked.images)))
    found = {}
    names: dict[int, str] = {}
    for name, images in (("clean", clean), ("attacked", attacked)):
        classes = map_classes(model, images, spec.classes)
        names |= dict(zip(classes.outputs, classes.names, strict=True))
        known = {image.path: classes.label(image) for image in images.images}
        bare = [path for path, k in known.items() if k is None]
        if bare:
            raise DataError("an image lies in no class folder", where=spec.clean.parent / bare[0])
        label = np.array([classes.outputs[k] for k in known.values() if k is not None], np.int64)
        of_name = {k: output for output, k in names.items()}
        target = (
            _targets(spec.targets, images, of_name)
            if name == "attacked"
            else np.full(len(label), -1, np.int64)
        )
        found[name] = _pictures(images, label, target, spec.sides)
    found["attacked"] = _kept(found["attacked"], found["attacked"].label != found["attacked"].target)
    for name, side in found.items():
        for judging in (False, True):
            if not len(side.rows(judging=judging)):
                half = "second" if judging else "first"
                raise DataError(f"no {name} image in the {half} half", next_step="more images, or --groups")
    return Case(spec, model, choose_layers(model, spec.layers), names, found["clean"], found["attacked"])


def _pictures(images: ImageSet, label: Ints, target: Ints, sides: Sides) -> Pictures:
    paths = [image.path for image in images.images]
    if sides.halves is not None:
        missing = [path for path in paths if path not in sides.halves]
        if missing:
            raise DataError("an image belongs to no half", where=missing[0], next_step="name it in --groups")
        judging = np.array([sides.halves[path] == JUDGING for path in paths])
    else:
        judging = halves(images.images, sides.judge_share, key=lambda image: image.path)
    sources = tuple((path,) if sides.sources is None else sides.sources.get(path, (path,)) for path in paths)
    return Pictures(images, label, target, judging, sources)


def _kept(side: Pictures, keep: Bools) -> Pictures:
    images = tuple(image for image, kept in zip(side.images.images, keep, strict=True) if kept)
    sources = tuple(own for own, kept in zip(side.sources, keep, strict=True) if kept)
    return Pictures(
        replace(side.images, images=images), side.label[keep], side.target[keep], side.judging[keep], sources
    )


def _targets(text: str, images: ImageSet, outputs: Mapping[str, int]) -> Ints:
    """(N,) output that each attack is for. Raises DataError for a class that is none, or an image without one."""
    paths = [image.path for image in images.images]
    if len(text) > 2 and text.startswith("/") and text.endswith("/") and not Path(text).exists():
        named = [_matched(text[1:-1], path) for path in paths]
    elif text.endswith(".json") or Path(text).is_file():
        told = _read(Path(text))
        missing = [path for path in paths if path not in told]
        if missing:
            raise DataError(
                "the target of an attack is not named", where=missing[0], expected=f"a line in {text}"
            )
        named = [told[path] for path in paths]
    else:
        named = [text] * len(paths)
    unknown = sorted(set(named) - set(outputs))
    if unknown:
        raise DataError("an attack for no class of the model", where=unknown[0], expected="a class's name")
    return np.array([outputs[name] for name in named], np.int64)


def _matched(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, path)
        if found is None:
            raise DataError("the rule finds no target in a path", where=path, expected=pattern)
        return str(found.group(1))
    except (re.error, IndexError) as error:
        raise DataError(
            "not a rule for targets", where=pattern, expected="a regex with a group", got=error
        ) from error


def _read(path: Path) -> dict[str, str]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(own) for name, own in told.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            "not a file of targets", where=path, expected="JSON {path: class}", got=type(error).__name__
        ) from error
