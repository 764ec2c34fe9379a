"""CatFish: two images of two classes on one canvas, class = the unordered pair, from any folder of images.

Notation: canvas 300×300, images 100×100 (shorter side resized, centre cut out), anywhere on the canvas, disjoint.

As in Automatic Discovery of Visual Circuits (arXiv 2404.14349): classes that share a base class must share its circuit,
and which class holds which is known. Background: the mean colour of ImageNet, or of the two images; each base class
is paired with two random partners. How many base classes there are, and the size of the sets, is not given there.
Images are split by what they are made of: no source image is in two splits.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atlas.errors import DataError
from ingest.images import ImageRecord, ImageSet, decode, scan_images

CANVAS = 300
SIDE = 100
PARTNERS = 2
IMAGENET_MEAN = (124, 116, 104)
JOIN = "+"
SPLITS = ("train", "lists", "judging")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CatFishSpec:
    """What to make.

    bases : base classes, drawn from the folders by seed.
    each : canvases per class in the training set, and in each half of the other one.
    train_share : share of every base class's images that the training set is made of; the rest is halved.
    background : ``imagenet``, or ``mean`` of the two images.
    """

    bases: int = 10
    each: int = 50
    train_share: float = 0.5
    background: str = "imagenet"
    seed: int = 0


def pairs_of(bases: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """Unordered pairs, sorted: each base class draws two partners, and a pair drawn twice is one.

    Raises DataError with fewer than three base classes.
    """
    if len(bases) <= PARTNERS:
        raise DataError("too few classes to pair", expected=f"> {PARTNERS}", got=len(bases))
    rng = np.random.default_rng([seed, 0])
    found = set()
    for own in bases:
        others = [base for base in bases if base != own]
        for place in rng.choice(len(others), PARTNERS, replace=False).tolist():
            found.add((min(own, others[place]), max(own, others[place])))
    return sorted(found)


def draw_corners(n: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(n, 2, 2) upper left pixels (x, y) of two images that do not touch each other."""
    corner = rng.integers(0, CANVAS - SIDE + 1, (n, 2, 2))
    while (over := (np.abs(corner[:, 0] - corner[:, 1]) < SIDE).all(axis=1)).any():
        corner[over] = rng.integers(0, CANVAS - SIDE + 1, (int(over.sum()), 2, 2))
    return corner


def compose(images: Sequence[Image.Image], corners: Sequence[Sequence[int]], background: str) -> Image.Image:
    """Two RGB images on a canvas, each brought to 100×100, at corners (x, y)."""
    small = [_square(image) for image in images]
    if background == "mean":
        colour = tuple(int(c) for c in np.stack([np.asarray(s) for s in small]).mean(axis=(0, 1, 2)).round())
    elif background == "imagenet":
        colour = IMAGENET_MEAN
    else:
        raise DataError("no such background", where=background, expected="imagenet or mean")
    canvas = Image.new("RGB", (CANVAS, CANVAS), colour)
    for image, (x, y) in zip(small, corners, strict=True):
        canvas.paste(image, (int(x), int(y)))
    return canvas


def _square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def write_catfish(source: Path, out: Path, spec: CatFishSpec, progress: Progress = lambda *_: None) -> Path:
    """Write ``out/train`` and ``out/val`` (a folder per pair) and ``out/val.json``, a groups file for `atlas ingest`.

    The groups file names for every image of ``val`` its half, sources, concepts (base classes) and boxes; ``concepts``
    in it names the classes of every base class. The folder appears whole or not at all.

    Returns the groups file. Raises DataError if the folder is there already, the source has too few classes, or a
    base class has too few images.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError("the folder already holds files", where=out, next_step="name an empty folder")
    images = scan_images(source)
    if spec.bases > len(images.folders):
        raise DataError("too few class folders", where=source, expected=spec.bases, got=len(images.folders))
    drawn = np.random.default_rng([spec.seed, 1]).choice(len(images.folders), spec.bases, replace=False)
    bases = [images.folders[i] for i in sorted(drawn.tolist())]
    split = _split(images, bases, spec)
    pairs = pairs_of(bases, spec.seed)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    files: dict[str, dict[str, Any]] = {}
    total = len(pairs) * len(SPLITS) * spec.each
    for count, (half, name, picture, facts) in enumerate(_canvases(images, pairs, split, spec), start=1):
        path = part / ("train" if half == "train" else "val") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
        if half != "train":
            files[name] = {"half": half, **facts}
        progress("canvases", count, total)
    concepts = {base: [JOIN.join(pair) for pair in pairs if base in pair] for base in bases}
    text = json.dumps(
        {"world": "catfish", **asdict(spec), "concepts": concepts, "files": files}, sort_keys=True
    )
    (part / "val.json").write_text(text + "\n", encoding="utf-8")
    if out.exists():
        out.rmdir()
    part.replace(out)
    return out / "val.json"


def _split(
    images: ImageSet, bases: Sequence[str], spec: CatFishSpec
) -> dict[str, dict[str, list[ImageRecord]]]:
    """Split -> base class -> its source images."""
    if not 0 <= spec.train_share < 1:
        raise DataError("not a share", where="train_share", expected="[0, 1)", got=spec.train_share)
    rng = np.random.default_rng([spec.seed, 2])
    found: dict[str, dict[str, list[ImageRecord]]] = {name: {} for name in SPLITS}
    for base in bases:
        own = [image for image in images.images if image.label == images.folders.index(base)]
        order = [own[i] for i in rng.permutation(len(own)).tolist()]
        first = int(spec.train_share * len(order))
        middle = first + (len(order) - first) // 2
        for name, few in zip(SPLITS, (order[:first], order[first:middle], order[middle:]), strict=True):
            if not few and not (name == "train" and spec.train_share == 0):
                raise DataError(
                    "too few images of a class", where=base, expected="some for each split", got=len(own)
                )
            found[name][base] = few
    return found


def _canvases(
    images: ImageSet,
    pairs: Sequence[tuple[str, str]],
    split: Mapping[str, Mapping[str, Sequence[ImageRecord]]],
    spec: CatFishSpec,
) -> Iterator[tuple[str, str, Image.Image, dict[str, Any]]]:
    """Split, path below its root, canvas, and what stands on it."""
    for stream, (half, bases) in enumerate(split.items()):
        rng = np.random.default_rng([spec.seed, 3, stream])
        for pair in pairs:
            if not all(bases[base] for base in pair):
                continue
            corners = draw_corners(spec.each, rng)
            for n in range(spec.each):
                own = [bases[base][int(rng.integers(len(bases[base])))] for base in pair]
                pictures = [decode(images.root / record.path) for record in own]
                boxes = [[x, y, x + SIDE, y + SIDE] for x, y in corners[n].tolist()]
                facts = {"sources": [record.id for record in own], "concepts": list(pair), "boxes": boxes}
                yield (
                    half,
                    f"{JOIN.join(pair)}/{half}-{n:04d}.png",
                    compose(pictures, corners[n].tolist(), spec.background),
                    facts,
                )
