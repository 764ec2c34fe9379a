"""A neuron's senses as one picture: a map of its references beside what each sense looks at.

Notation: n references; vectors (n, D), those that were clustered; labels (n,) sense of each, -1 for none.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from atlas.errors import DataError
from ingest.job import Prepared
from ingest.methods.pure_stage import PureStage
from ingest.pictures.grids import GAP, Sight, neuron_grid
from ingest.reopen import Opened
from ingest.senses import SenseDesk
from ingest.store import cell_centre
from ingest.store_files import disk_errors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MAPS = ("pca", "umap")
SIDE = 480
MARGIN = 24
LINE = 26
RADIUS = 5
SHOWN = 8
WHITE, BLACK, PALE = (255, 255, 255), (0, 0, 0), (200, 200, 200)
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
"""Okabe and Ito's, told apart by every kind of colour vision."""


@dataclass(frozen=True)
class Seen:
    """A split neuron: its references' vectors, senses, ranks within the sense (from 1), and where they were seen."""

    id: str
    vectors: Floats
    labels: Ints
    ranks: Ints
    sights: tuple[Sight, ...]


def picture_of(opened: Opened, address: str, method: str = "pca") -> Image.Image:
    """The picture of a neuron (or of the neuron of a sense) of a PURE job opened again.

    Raises DataError as ``SenseDesk.neuron`` and :func:`sense_picture`.
    """
    neuron = SenseDesk(opened).neuron(address)
    stage = opened.stage
    if not isinstance(stage, PureStage):
        raise TypeError("not a PURE job")
    found, channels = stage.references(neuron.lens.upper), np.array([neuron.channel], np.int64)
    _, vectors, _ = stage.vectors(neuron.lens, found, channels)
    peaks = found.peaks[neuron.channel]
    x, y = cell_centre(neuron.lens.upper, peaks, opened.store.plan.input_shape)
    images = [opened.store.ids[row] for row in found.rows[neuron.channel]]
    sights = tuple(
        Sight(image, float(a), float(b)) for image, a, b in zip(images, x.tolist(), y.tolist(), strict=True)
    )
    seen = Seen(
        neuron.id,
        vectors[0].double().cpu().numpy(),
        neuron.senses.labels[0],
        neuron.senses.rank[0],
        sights,
    )
    return sense_picture(opened.prepared, seen, method)


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a picture so that it is there whole or not at all. Raises DiskError."""
    held = io.BytesIO()
    picture.save(held, "PNG")
    with disk_errors(path.parent):
        beside = path.with_name(path.name + ".part")
        beside.write_bytes(held.getvalue())
        beside.replace(path)


def place(vectors: Floats, method: str = "pca", seed: int = 123) -> Floats:
    """(n, 2) places of vectors (n, D) on a map.

    ``pca``: the first two principal components, each with its largest loading positive. ``umap``: as in the paper's
    plots (6 neighbours, least distance .3, seeded), by the extra ``umap``.

    Raises DataError for another method, or without the extra it needs.
    """
    if method == "pca":
        return _pca(vectors)
    if method != "umap":
        raise DataError("no such map", expected=" or ".join(MAPS), got=method)
    try:
        from umap import UMAP
    except ImportError as error:
        raise DataError("UMAP is not installed", next_step="`pip install 'circuit-atlas[umap]'`") from error
    near = max(2, min(6, len(vectors) - 1))
    found: Floats = UMAP(
        n_neighbors=near, min_dist=0.3, spread=1.0, random_state=seed, n_jobs=1
    ).fit_transform(vectors)
    return found.astype(np.float64)


def _pca(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(axis=0)
    # Through the inner products: references are few, and a vector may be long.
    values, axes = np.linalg.eigh(centred @ centred.T)
    points = np.zeros((len(vectors), 2))
    for k in range(min(2, len(values))):
        loads = centred.T @ axes[:, -1 - k]
        sign = 1.0 if loads[np.abs(loads).argmax()] >= 0 else -1.0
        points[:, k] = sign * axes[:, -1 - k] * np.sqrt(max(values[-1 - k], 0.0))
    return points


def sense_picture(prepared: Prepared, seen: Seen, method: str = "pca") -> Image.Image:
    """The map, and for each sense the images nearest to its centroid, cut to what the neuron sees there.

    The same neuron of the same run gives the same pixels. Raises DataError as :func:`place` and ``neuron_grid``.
    """
    senses = sorted(set(seen.labels.tolist()) - {-1})
    if not senses:
        raise DataError("no reference of this neuron has a sense", where=seen.id)
    left = _map(seen, place(seen.vectors, method), method)
    blocks = [_block(prepared, seen, sense) for sense in senses]
    height = max(left.height, sum(b.height + MARGIN for b in blocks) - MARGIN)
    whole = Image.new("RGB", (left.width + MARGIN + max(b.width for b in blocks), height), WHITE)
    whole.paste(left, (0, 0))
    top = 0
    for block in blocks:
        whole.paste(block, (left.width + MARGIN, top))
        top += block.height + MARGIN
    return whole


def _block(prepared: Prepared, seen: Seen, sense: int) -> Image.Image:
    """A sense's name in its colour over its most typical images."""
    own = np.flatnonzero(seen.labels == sense)
    first = own[np.argsort(seen.ranks[own], kind="stable")][:SHOWN]
    grid = neuron_grid(prepared, seen.id, [seen.sights[i] for i in first])
    block = Image.new("RGB", (grid.width, LINE + GAP + grid.height), WHITE)
    draw = ImageDraw.Draw(block)
    draw.rectangle((0, 4, LINE - 10, LINE - 6), fill=colour(sense))
    draw.text((LINE, 2), f"sense {sense}: {len(own)} references", fill=BLACK, font=_font())
    block.paste(grid, (0, LINE + GAP))
    return block


def _map(seen: Seen, points: Floats, method: str) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE + LINE), WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((0, 2), f"{seen.id}  ({method.upper()} of {len(points)} references)", fill=BLACK, font=_font())
    draw.rectangle((0, LINE, SIDE - 1, SIDE + LINE - 1), outline=PALE)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    inner = SIDE - 2 * MARGIN
    scaled = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5) * inner + MARGIN
    for (x, y), sense in zip(scaled.round().astype(int).tolist(), seen.labels.tolist(), strict=True):
        at = (x, SIDE - y + LINE)
        box = (at[0] - RADIUS, at[1] - RADIUS, at[0] + RADIUS, at[1] + RADIUS)
        draw.ellipse(box, fill=PALE if sense < 0 else colour(sense), outline=WHITE)
    return picture


def colour(sense: int) -> tuple[int, int, int]:
    """Colour of a sense."""
    return COLOURS[sense % len(COLOURS)]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(16)
