"""Thumbnails of images: small WebP files named by the image's id, made once, never stored in the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from atlas.errors import DataError
from atlas.spool import Values
from ingest.images import ImageSet, decode
from ingest.store_files import disk_errors

SIDE = 96
QUALITY = 80


def thumbnail_name(image: str) -> str:
    """Path of an image's thumbnail below the media folder."""
    digest = image.removeprefix("img:")
    return f"thumbs/{digest[:2]}/{digest}.webp"


def write_thumbnails(images: ImageSet, media: Path, progress: Callable[[int, int], None]) -> list[str | None]:
    """Thumbnails of all images, at most :data:`SIDE` pixels a side; those that are there are kept.

    Returns the (N,) paths below ``media``, None where a file can no longer be read. Raises DiskError.
    """
    names: list[str | None] = []
    for done, image in enumerate(images.images):
        name = thumbnail_name(image.id)
        path = media / name
        if not path.is_file():
            try:
                write_thumbnail(image.id, decode(images.root / image.path), media)
            except DataError:
                names.append(None)
                continue
        names.append(name)
        progress(done + 1, len(images.images))
    return names


def new_image(image: str, file: Path, media: Path) -> dict[str, Values]:
    """The Image row of a file that is not of the data set; its thumbnail is written. Raises DiskError."""
    picture = decode(file)
    write_thumbnail(image, picture, media)
    return {
        "id": [image],
        "name": [file.name],
        "split": ["query"],
        "width": [picture.width],
        "height": [picture.height],
        "thumb": [thumbnail_name(image)],
    }


def write_thumbnail(image: str, picture: Image.Image, media: Path) -> None:
    """Write one image's thumbnail. Raises DiskError."""
    path = media / thumbnail_name(image)
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    with disk_errors(media):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        small.save(beside, "WEBP", quality=QUALITY)
        beside.replace(path)
