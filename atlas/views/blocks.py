"""Thumbnails for a terminal with 24-bit colour: each character is two pixels, one above the other.

The upper half block is drawn in the colour of the upper pixel, on a ground of the colour of the lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from atlas.views.markup import clean, columns, shorten

TILE = 18
GAP = 2
HALF = "▀"
RESET = "\x1b[0m"


@dataclass(frozen=True)
class Thumb:
    """A picture and what is written below it; ``path`` None where there is none."""

    path: Path | None
    caption: str


def sheet(thumbs: Sequence[Thumb], width: int, tile: int = TILE) -> str:
    """Thumbnails side by side, ``tile`` columns each, in as many rows as ``width`` columns need."""
    across = max(1, (width + GAP) // (tile + GAP))
    parts = []
    for start in range(0, len(thumbs), across):
        row = thumbs[start : start + across]
        blocks = [[*picture(thumb.path, tile), _padded(thumb.caption, tile)] for thumb in row]
        parts.append(
            "\n".join((" " * GAP).join(line).rstrip(" ") for line in zip(*blocks, strict=True)) + "\n"
        )
    return "\n".join(parts)


def picture(path: Path | None, tile: int = TILE) -> list[str]:
    """The lines of one picture, fitted into ``tile`` × ``tile`` pixels; a plain box if it cannot be read."""
    try:
        if path is None:
            return _box(tile)
        with Image.open(path) as opened:
            pixels = _fitted(opened.convert("RGB"), tile)
    except (OSError, UnidentifiedImageError):
        return _box(tile)
    return ["".join(_cells(pixels, y, tile)) + RESET for y in range(0, tile, 2)]


def _fitted(opened: Image.Image, tile: int) -> Image.Image:
    scale = tile / max(opened.size)
    size = max(1, round(opened.width * scale)), max(1, round(opened.height * scale))
    resized = opened.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    square = Image.new("RGB", (tile, tile))
    square.paste(resized, ((tile - size[0]) // 2, (tile - size[1]) // 2))
    return square


def _cells(pixels: Image.Image, y: int, tile: int) -> list[str]:
    cells, last = [], ""
    for x in range(tile):
        top, low = pixels.getpixel((x, y)), pixels.getpixel((x, y + 1))
        colour = f"\x1b[38;2;{_numbers(top)};48;2;{_numbers(low)}m"
        # Colours that stay are not said again.
        cells.append(HALF if colour == last else colour + HALF)
        last = colour
    return cells


def _numbers(pixel: object) -> str:
    return ";".join(map(str, pixel)) if isinstance(pixel, tuple) else "0;0;0"


def _box(tile: int) -> list[str]:
    inner = [f"│{' ' * (tile - 2)}│" for _ in range(tile // 2 - 2)]
    inner[len(inner) // 2] = f"│{'no picture':^{tile - 2}}│"
    return [f"┌{'─' * (tile - 2)}┐", *inner, f"└{'─' * (tile - 2)}┘"]


def _padded(caption: str, tile: int) -> str:
    short = shorten(clean(" ".join(caption.split())), tile)
    return short + " " * (tile - columns(short))
