"""Evidence pictures: images cut to the receptive field of a unit, dark where it does not look."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from atlas.address import parse
from atlas.errors import DataError
from ingest.images import decode
from ingest.job import Prepared
from ingest.layers import LayerSpec, to_units
from ingest.methods.feature_space import feature_space
from ingest.numerics.fields import boxes, receptive_fields
from ingest.store_files import disk_errors

SIDE = 128
GAP = 4
COLUMNS = 4
LEAST = 12
DARK = 0.3
QUALITY = 85
GREY = (128, 128, 128)
KEPT = 512


@dataclass(frozen=True)
class Sight:
    """One image a unit answers, and where: ``x``, ``y`` in pixels of the transformed input."""

    image: str
    x: float
    y: float


class Inputs:
    """Transformed inputs of a job's images, by id; the last ones stay at hand."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._records = {record.id: record for record in prepared.images.images}
        self._kept: dict[str, Tensor | None] = {}

    def __call__(self, image: str) -> Tensor | None:
        """The input (3, H, W) of an image; None if the data set has none of that id, or its file is gone."""
        if image not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[image] = self._read(image)
        return self._kept[image]

    def _read(self, image: str) -> Tensor | None:
        record = self._records.get(image)
        if record is None:
            return None
        try:
            return self._prepared.model.transform(decode(self._prepared.images.root / record.path))
        except DataError:
            return None


def neuron_grid(
    prepared: Prepared, neuron: str, sights: Sequence[Sight], inputs: Inputs | None = None
) -> Image.Image:
    """The images of a neuron, or of a sense of it, in this order, :data:`COLUMNS` a row; grey where a file is gone.

    Each is the transformed input, cut to the pixels that the neuron's layer sees at that position, and dimmed by the
    neuron's own field. Raises DataError if no file is there.
    """
    address = parse(neuron)
    layer = _layer(prepared, address.layer)
    gaze = _Gaze(layer, layer.node, int(address.channel or 0))
    return _grid_of(prepared, gaze, sights, inputs or Inputs(prepared))


def concept_grid(
    prepared: Prepared,
    concept: str,
    vector: Sequence[float],
    sights: Sequence[Sight],
    inputs: Inputs | None = None,
) -> Image.Image:
    """The images of a concept as :func:`neuron_grid`, dimmed by the field of the projection on ``vector`` (C,)."""
    layer = _layer(prepared, parse(concept).layer)
    node = feature_space(prepared.model.trace, layer, prepared.spec.gig.space).node
    gaze = _Gaze(layer, node, torch.tensor(vector, dtype=torch.float32))
    return _grid_of(prepared, gaze, sights, inputs or Inputs(prepared))


@dataclass(frozen=True)
class _Gaze:
    """What looks: a channel of the value of a node of a layer, or a direction (C,) of it."""

    layer: LayerSpec
    node: str
    along: int | Tensor


def _grid_of(prepared: Prepared, gaze: _Gaze, sights: Sequence[Sight], inputs: Inputs) -> Image.Image:
    found = {i: x for i, sight in enumerate(sights) if (x := inputs(sight.image)) is not None}
    if not found:
        raise DataError(
            "none of the images is there", where=prepared.images.root, next_step="put the data set back"
        )
    x = torch.stack([*found.values()]).to(prepared.spec.model.device)
    positions = torch.tensor([position(gaze.layer, sights[i], x.shape[2:]) for i in found], device=x.device)
    units = _units(prepared, gaze.layer, gaze.node)
    seen = boxes(receptive_fields(units, x, positions)).tolist()
    fields = receptive_fields(units, x, positions, gaze.along).cpu().numpy()
    pictures = x.cpu().numpy()
    tiles = [Image.new("RGB", (SIDE, SIDE), GREY) for _ in sights]
    for n, i in enumerate(found):
        tiles[i] = tile(pictures[n], fields[n], seen[n])
    return grid(tiles)


def _layer(prepared: Prepared, name: str | None) -> LayerSpec:
    return next(spec for spec in prepared.layers if spec.name == name)


def image_strip(prepared: Prepared, image: str, neurons: Sequence[str]) -> Image.Image:
    """One image whole, then as each neuron sees it: cut to what its layer sees where the neuron is largest, and dimmed.

    Raises DataError if the image's file is gone.
    """
    own = Inputs(prepared)(image)
    if own is None:
        raise DataError(
            "the image's file is not there",
            where=image,
            expected=f"it below {prepared.images.root}",
            next_step="put it back",
        )
    x = own.unsqueeze(0).to(prepared.spec.model.device)
    whole = np.ones(x.shape[2:], np.float32)
    picture = x[0].cpu().numpy()
    tiles = [tile(picture, whole, [0, 0, x.shape[3], x.shape[2]])]
    for neuron in neurons:
        address = parse(neuron)
        layer = _layer(prepared, address.layer)
        units, channel = _units(prepared, layer, layer.node), int(address.channel or 0)
        with torch.no_grad():
            where = units(x)[:, channel].argmax(1)
        box = boxes(receptive_fields(units, x, where)).tolist()[0]
        tiles.append(tile(picture, receptive_fields(units, x, where, channel)[0].cpu().numpy(), box))
    return grid(tiles)


def write_picture(picture: Image.Image, media: Path, name: str) -> Path:
    """Write a picture below the media folder. Raises DiskError."""
    path = media / name
    held = io.BytesIO()
    picture.save(held, "WEBP", quality=QUALITY)
    with disk_errors(media):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        beside.write_bytes(held.getvalue())
        beside.replace(path)
    return path


def position(layer: LayerSpec, sight: Sight, size: Sequence[int]) -> int:
    """Flat position, class tokens included, of the cell that holds a point of an input (height, width)."""
    if layer.grid is None:
        return 0
    rows, columns = layer.grid
    row = min(max(int(sight.y * rows / size[0]), 0), rows - 1)
    column = min(max(int(sight.x * columns / size[1]), 0), columns - 1)
    return layer.tokens_before + row * columns + column


def tile(picture: NDArray[np.float32], field: NDArray[np.float32], box: Sequence[int]) -> Image.Image:
    """One image (3, H, W) cut to a box, as :data:`SIDE` pixels square, dimmed where its field (H, W) is small.

    Colours are stretched over the image: the model's own normalisation is not undone.
    """
    low, high = float(picture.min()), float(picture.max())
    shown = (picture - low) / (high - low or 1.0)
    strength = np.sqrt(_smooth(field) / (float(_smooth(field).max()) or 1.0))
    left, top, right, bottom = square(box, picture.shape[1], picture.shape[2])
    dimmed = shown * (DARK + (1 - DARK) * strength)
    bytes_ = np.moveaxis((dimmed * 255).round().astype(np.uint8), 0, 2)[top:bottom, left:right]
    return Image.fromarray(bytes_).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def square(box: Sequence[int], height: int, width: int) -> tuple[int, int, int, int]:
    """A box as a square of at least :data:`LEAST` pixels around its centre, within the image."""
    left, top, right, bottom = box
    side = min(max(right - left, bottom - top, LEAST), height, width)
    x = min(max((left + right - side) // 2, 0), width - side)
    y = min(max((top + bottom - side) // 2, 0), height - side)
    return x, y, x + side, y + side


def grid(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles in rows, :data:`GAP` pixels of white between them."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step = SIDE + GAP
    whole = Image.new("RGB", (columns * step - GAP, rows * step - GAP), (255, 255, 255))
    for i, own in enumerate(tiles):
        whole.paste(own, (i % columns * step, i // columns * step))
    return whole


def _smooth(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean over 3 × 3 pixels: single pixels of a gradient flicker."""
    padded = np.pad(field.astype(np.float64), 1, mode="edge")
    height, width = field.shape
    parts = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    mean: NDArray[np.float64] = np.mean(parts, axis=0)
    return mean


def _units(prepared: Prepared, layer: LayerSpec, node: str) -> Callable[[Tensor], Tensor]:
    trace = prepared.model.trace
    start = next(str(found.name) for found in trace.graph.graph.nodes if found.op == "placeholder")
    segment = trace.segment(start, node)

    def units(x: Tensor) -> Tensor:
        return to_units(segment(x, {}), layer)

    return units
