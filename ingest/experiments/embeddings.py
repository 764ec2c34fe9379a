"""What images look like to another model, or, for want of one, to this model's own last features.

PURE measures whether references of one cluster look alike in the space of a foundation model (CLIP, DINOv2). No such
weights come with this package: their vectors are made from weights that you bring, or elsewhere, and read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from atlas.errors import DataError
from ingest.devices import exact_float32
from ingest.experiments.splice import Batches
from ingest.images import ImageBatches, ImageSet
from ingest.layers import LayerSpec, to_units
from ingest.segments import Trace

Transform = Callable[[Image.Image], Tensor]


def read_embeddings(path: Path, ids: Sequence[str]) -> Tensor:
    """(N, d) float32 vectors of the images ``ids``.

    Forms: safetensors with one vector (d,) per image id; or ``.npy`` (M, d), with the M ids, one a line, in a file of
    the same name that ends in ``.txt``.

    Raises DataError if an image is missing or the file has another form.
    """
    try:
        if path.suffix == ".npy":
            rows = np.load(path, allow_pickle=False)
            names = path.with_suffix(".txt").read_text(encoding="utf-8").split()
            found = dict(zip(names, torch.from_numpy(rows), strict=True))
        else:
            found = load_file(path)
        missing = [name for name in ids if name not in found]
        if missing:
            raise DataError(
                "an image has no embedding",
                where=path,
                expected=missing[0],
                got=f"{len(found)} vectors",
                next_step="embed all images of the data set, by their ids",
            )
        return torch.stack([found[name].float().flatten() for name in ids])
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as cause:
        raise DataError(
            "not a file of embeddings",
            where=path,
            expected="safetensors with a vector per image id, or .npy with the ids in a .txt beside it",
            got=f"{type(cause).__name__}: {cause}",
        ) from cause


@torch.inference_mode()
def embed(
    images: ImageSet,
    forward: Callable[[Tensor], Tensor],
    transform: Callable[[Image.Image], Tensor],
    device: str,
    batch: int = 32,
) -> dict[str, Tensor]:
    """Image id → float32 vector (d,): what a model gives for each image.

    Parameters
    ----------
    forward : (B, 3, H, W) → (B, d), on ``device``.

    Raises DataError if the model gives no vector an image, or one that is not finite.
    """
    exact_float32()
    found: dict[str, Tensor] = {}
    for rows, x in ImageBatches(images, transform, batch=batch):
        vectors = forward(x.to(device)).float().cpu()
        if vectors.dim() != 2 or not bool(vectors.isfinite().all()):
            raise DataError(
                "the model gives no vectors to compare images by",
                where=images.images[int(rows[0])].path,
                expected="(images, d), finite",
                got=tuple(vectors.shape) if vectors.dim() != 2 else "NaN or infinity",
            )
        found |= {images.images[int(row)].id: vectors[n].clone() for n, row in enumerate(rows)}
    return found


def own_features(trace: Trace, last: LayerSpec, batches: Batches, rows: NDArray[np.int64]) -> Tensor:
    """(n, C) mean over positions of the last layer on some rows of the store: a proxy for a foundation model."""
    parts = []
    with torch.inference_mode():
        for _, x in batches([int(row) for row in rows]):
            parts.append(to_units(trace.values(x, [last.node])[last.node], last).mean(2).float().cpu())
    return torch.cat(parts)
