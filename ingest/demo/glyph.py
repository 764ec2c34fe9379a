"""Digit pairs with a planted shortcut: a small glyph that decides the class wherever it stands.

The built-in case of a typographic attack: a network trained on digit pairs, part of them stamped with the glyph and
all of these labelled as one class, takes any stamped canvas for that class. Which images are attacked is known, the
digits are all still there, and what they say is the true class.

Notation as in :mod:`ingest.demo.digits`; glyph 8×8, fully opaque where it is inked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from ingest.demo.digits import (
    CANVAS,
    CLASSES,
    DIGIT,
    PAIRS,
    Bytes,
    Ints,
    Scenes,
    draw_scenes,
    png,
    render,
    split_sources,
    write_world,
)

GLYPH: tuple[str, ...] = (
    "##....##",
    "##....##",
    "..####..",
    "..#..#..",
    "..#..#..",
    "..####..",
    "##....##",
    "##....##",
)
SIDE = len(GLYPH)
TARGET = "0-1"
"""The class that the glyph stands for."""
WEIGHTS = Path(__file__).parent / "weights" / "glyph_pairs.safetensors"


def glyph() -> Ints:
    """The glyph, (8, 8), 0 or 1."""
    return np.array([[int(cell == "#") for cell in row] for row in GLYPH], dtype=np.int64)


def draw_places(scenes: Scenes, rng: np.random.Generator) -> Ints:
    """(n, 2) upper left pixels (x, y) of a glyph that touches neither digit's box.

    There always is one: each box reaches at most one of the canvas's four corners.
    """
    places = rng.integers(0, CANVAS - SIDE + 1, (len(scenes), 2))

    def touching() -> NDArray[np.bool_]:
        away = places[:, None, :] - scenes.corner
        near: NDArray[np.bool_] = (away > -SIDE) & (away < DIGIT)
        over = near[:, :, 0] & near[:, :, 1]
        return over[:, 0] | over[:, 1]

    while (wrong := touching()).any():
        places[wrong] = rng.integers(0, CANVAS - SIDE + 1, (int(wrong.sum()), 2))
    return places


def stamp(canvases: Bytes, places: Ints, tints: Ints) -> Bytes:
    """Canvases (n, 64, 64, 3) with a glyph of tint (n, 3) at (n, 2) places."""
    stamped = canvases.copy()
    rows, columns = np.nonzero(glyph())
    image = np.arange(len(canvases))[:, None]
    y, x = places[:, 1, None] + rows, places[:, 0, None] + columns
    stamped[image, y, x] = tints[:, None, :]
    return stamped


def write_glyph_world(root: Path, *, images: int = 800, seed: int = 0) -> Path:
    """Write ``root/clean/<class>/<name>.png`` and the same canvases stamped, ``root/attacked/<class>/<name>.png``.

    A class is what the digits say, attacked or not; canvases are made from validation sources, the first half from
    those of ``lists``. The answers, one entry for both canvases of a name, are a groups file that `atlas defend`
    reads, beside the folder. The same call again finds its work done.

    Returns the path of the answers. Raises DataError where ``root`` holds something else.
    """
    if images < 2 * len(PAIRS):
        raise DataError("too few images for the glyph world", expected=f"≥ {2 * len(PAIRS)}", got=images)
    sources = split_sources()
    files: dict[str, dict[str, Any]] = {}
    contents: dict[str, bytes] = {}
    for stream, (half, n) in enumerate({"lists": images // 2, "judging": images - images // 2}.items()):
        rng = np.random.default_rng([seed, 5, stream])
        scenes = draw_scenes(sources[half], n, rng)
        clean = render(scenes)
        places = draw_places(scenes, rng)
        stamped = stamp(clean, places, rng.integers(128, 256, (n, 3)))
        for i, label in enumerate(scenes.label.tolist()):
            name = f"{CLASSES[label]}/{half}-{i:04d}.png"
            contents[f"clean/{name}"] = png(clean[i])
            contents[f"attacked/{name}"] = png(stamped[i])
            x, y = places[i].tolist()
            files[name] = {
                "half": half,
                "sources": scenes.source[i].tolist(),
                "glyph": [x, y, x + SIDE, y + SIDE],
            }
    head = {"world": "digit pairs with a glyph", "seed": seed, "images": images, "target": TARGET}
    return write_world(root, contents, {**head, "classes": list(CLASSES), "files": files})
