"""An image file's bytes → an upright 8-bit RGB picture, or the reason why not."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"])
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What a file that is no image, or a broken one, may raise while it is decoded."""


def to_rgb(data: bytes) -> Image.Image:
    """The picture in a file's bytes.

    EXIF orientation is applied, transparency laid on white, 16-bit greyscale scaled (not clipped) to 8 bit; of an
    animation the first frame. Raises one of :data:`UNREADABLE`.
    """
    with Image.open(io.BytesIO(data)) as opened:
        _check_mode(opened)
        image = ImageOps.exif_transpose(opened)
    if image.mode in _SIXTEEN_BIT:
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")


def measure(data: bytes) -> tuple[int, int]:
    """(width, height) of :func:`to_rgb`'s picture; reads the file to its end. Raises one of :data:`UNREADABLE`."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        sideways = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        _check_mode(image)
        # A JPEG is decoded at an eighth of its size, which reads it to the end all the same.
        image.draft(image.mode, (1, 1))
        image.load()
    return (height, width) if sideways else (width, height)


def reason(error: BaseException) -> str:
    """Why a file cannot be used, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, UnicodeError):
        return "its name is not UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _check_mode(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose white is unknown")
