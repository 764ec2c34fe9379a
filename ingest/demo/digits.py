"""The digit-pair world: two real handwritten digits on one canvas, class = the unordered pair.

Built as CatFish joins two ImageNet images (Automatic Discovery of Visual Circuits, arXiv 2404.14349), from
the 1,797 8×8 digits bundled with scikit-learn, so what classes share is known: ``4-5`` and ``4-6`` share the
digit 4 and nothing else, and the place of each digit is known to the pixel.

Every number is an integer from a seeded generator and the PNG bytes are written here uncompressed, so the
same seed gives the same bytes, hence the same image ids, with every version of the image libraries.

Notation
--------
n scenes; two digits a scene, the smaller one first; canvas 64×64 RGB; digit 24×24 (8×8 magnified three
times); ink in 0..144, the exact bilinear magnification of scikit-learn's 0..16; corner = (x, y) of the upper
left pixel.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from atlas.errors import DataError

CANVAS = 64
DIGIT = 24
INK = 144
SPLITS = {"train": 4, "lists": 1, "judging": 1}
"""Shares of the source digits: networks learn on ``train``, lists are made on ``lists``, the rest judges."""

PAIRS: tuple[tuple[int, int], ...] = tuple(
    sorted((min(d, e), max(d, e)) for d in range(10) for e in ((d + 1) % 10, (d + 2) % 10))
)
"""Each digit in four of the twenty pairs; the look-alikes 3 and 8, and 4 and 9, have no partner in common."""

CLASSES: tuple[str, ...] = tuple(f"{a}-{b}" for a, b in PAIRS)

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenes:
    """What stands on n canvases: label (n,), source (n, 2) in scikit-learn's digits, corner (n, 2, 2) in
    pixels, tint (n, 2, 3) and background (n, 3) in 0..255.
    """

    label: Ints
    source: Ints
    corner: Ints
    tint: Ints
    background: Ints

    def __len__(self) -> int:
        return len(self.label)


@cache
def ink() -> Ints:
    """All source digits magnified, (1797, 24, 24), 0..144: exact, because the bilinear weights are thirds."""
    row = np.zeros((DIGIT, 8), dtype=np.int64)
    for i in range(DIGIT):
        at = i - 1  # three times the source coordinate (i + 1/2) / 3 - 1/2
        low, part = at // 3, at % 3
        row[i, max(low, 0)] += 3 - part
        row[i, min(low + 1, 7)] += part
    small = load_digits().images.astype(np.int64)
    drawn: Ints = row @ small @ row.T
    drawn.setflags(write=False)
    return drawn


def split_sources() -> dict[str, tuple[Ints, ...]]:
    """Split → per digit 0..9 the source indices of that split, sorted; no source is in two splits.

    There is one split, without a seed: a canvas of any seed stays held out from the committed weights.
    """
    rng = np.random.default_rng([0, 1])
    target = load_digits().target
    total = sum(SPLITS.values())
    split: dict[str, list[Ints]] = {name: [] for name in SPLITS}
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(target == digit))
        start = 0
        for name, parts in SPLITS.items():
            stop = len(own) if name == "judging" else start + len(own) * parts // total
            split[name].append(np.sort(own[start:stop]))
            start = stop
    return {name: tuple(own) for name, own in split.items()}


def draw_scenes(sources: tuple[Ints, ...], n: int, rng: np.random.Generator) -> Scenes:
    """Draw n scenes from the sources of one split: the classes in turn, all else independent of the class."""
    label = np.arange(n, dtype=np.int64) % len(PAIRS)
    digit = np.array(PAIRS, dtype=np.int64)[label]
    source = np.empty((n, 2), dtype=np.int64)
    for value in range(10):
        here = digit == value
        source[here] = sources[value][rng.integers(0, len(sources[value]), int(here.sum()))]
    corner = rng.integers(0, CANVAS - DIGIT + 1, (n, 2, 2))
    while (overlapping := (np.abs(corner[:, 0] - corner[:, 1]) < DIGIT).all(axis=1)).any():
        corner[overlapping] = rng.integers(0, CANVAS - DIGIT + 1, (int(overlapping.sum()), 2, 2))
    tint = rng.integers(128, 256, (n, 2, 3))
    background = rng.integers(0, 25, (n, 3))
    return Scenes(label, source, corner, tint, background)


def render(scenes: Scenes, drawn: Ints | None = None) -> Bytes:
    """Canvases (n, 64, 64, 3). ``drawn`` (n, 2, 24, 24), 0..144, replaces the scenes' own digits."""
    patches = ink()[scenes.source] if drawn is None else drawn
    n = len(scenes)
    canvas = np.broadcast_to(scenes.background[:, None, None, :], (n, CANVAS, CANVAS, 3)).copy()
    image = np.arange(n)[:, None, None]
    step = np.arange(DIGIT)
    for side in (0, 1):
        x = scenes.corner[:, side, 0, None, None] + step[None, None, :]
        y = scenes.corner[:, side, 1, None, None] + step[None, :, None]
        alpha = patches[:, side, :, :, None]
        tint = scenes.tint[:, side, None, None, :]
        mixed = scenes.background[:, None, None, :] * (INK - alpha) + tint * alpha
        canvas[image, y, x] = (mixed + INK // 2) // INK
    return canvas.astype(np.uint8)


def png(pixels: Bytes) -> bytes:
    """One RGB canvas (h, w, 3) as PNG bytes that depend on the pixels only: a single stored deflate block.

    Raises DataError for a canvas too large for one block (65,535 bytes).
    """
    height, width, _ = pixels.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    if len(raw) > 0xFFFF:
        raise DataError("canvas too large for a stored PNG block", expected="≤ 65535 bytes", got=len(raw))
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw
    stored += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stored), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def side_file(root: Path) -> Path:
    """Where the answers of the data set at ``root`` are: beside the folder, so that no listing meets them."""
    return root.with_name(root.name + ".json")


def write_dataset(root: Path, *, images: int = 1200, seed: int = 0) -> Path:
    """Write ``root/<class>/<half>-<number>.png`` from validation sources, the answers in :func:`side_file`.

    The first half of the images is made from the sources of ``lists``, the second from those of ``judging``.
    The same call again finds its work done. The folder appears whole or not at all.

    Returns the path of the answers. Raises DataError where ``root`` holds something else.
    """
    if images < 2 * len(PAIRS):
        raise DataError("too few images for the digit-pair world", expected=f"≥ {2 * len(PAIRS)}", got=images)
    answers, contents = _dataset(images, seed)
    return write_world(root, contents, answers)


def write_world(root: Path, contents: Mapping[str, bytes], answers: Mapping[str, Any]) -> Path:
    """Write files below ``root`` and the answers in :func:`side_file`; the folder appears whole or not at all.

    The same call again finds its work done. Returns the path of the answers. Raises DataError where ``root`` holds
    something else.
    """
    text = json.dumps(answers, separators=(",", ":"), sort_keys=True) + "\n"
    side = side_file(root)
    if root.is_dir() and any(root.iterdir()):
        known = side.is_file() and side.read_text(encoding="utf-8") == text
        if known and all((root / name).is_file() for name in contents):
            return side
        raise DataError("the folder already holds other files", where=root, next_step="name an empty folder")
    part = root.with_name(root.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    for name, data in contents.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_bytes(data)
    beside = side.with_name(side.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(side)
    part.replace(root)
    return side


def _dataset(images: int, seed: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    sources = split_sources()
    files: dict[str, dict[str, Any]] = {}
    contents: dict[str, bytes] = {}
    for stream, (half, n) in enumerate({"lists": images // 2, "judging": images - images // 2}.items()):
        scenes = draw_scenes(sources[half], n, np.random.default_rng([seed, 2, stream]))
        for i, pixels in enumerate(render(scenes)):
            name = f"{CLASSES[scenes.label[i]]}/{half}-{i:04d}.png"
            contents[name] = png(pixels)
            files[name] = {
                "half": half,
                "digits": list(PAIRS[scenes.label[i]]),
                "sources": scenes.source[i].tolist(),
                "boxes": [[x, y, x + DIGIT, y + DIGIT] for x, y in scenes.corner[i].tolist()],
                "tints": scenes.tint[i].tolist(),
                "background": scenes.background[i].tolist(),
            }
    head = {"world": "digit pairs", "seed": seed, "images": images, "classes": list(CLASSES)}
    return {**head, "files": files}, contents


def read_answers(side: Path) -> dict[str, dict[str, Any]]:
    """Path below the root → half, digits, sources, boxes (x0, y0, x1, y1; ends out), tints, background."""
    try:
        answers = json.loads(side.read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = answers["files"]
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError("no answers of a digit-pair data set", where=side, got=cause) from cause
    return files


def digit_masks(answer: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Where the two digits of one image are inked, (2, 64, 64)."""
    masks = np.zeros((2, CANVAS, CANVAS), dtype=np.bool_)
    for side, (source, (x0, y0, x1, y1)) in enumerate(zip(answer["sources"], answer["boxes"], strict=True)):
        masks[side, y0:y1, x0:x1] = ink()[source] > 0
    return masks
