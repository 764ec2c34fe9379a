"""The activation pass: all layers of all images in one streaming sweep, kept as an :class:`ActivationStore`.

Work is cut into shards of fixed size, each pooled in memory, written, flushed and marked. A pass that was
killed goes on at its first unmarked shard; the same settings on the same machine give the same bytes, killed
or not. Others may pool shards (`ingest.workers`, `ingest.cluster`); one process writes the store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.address import canonical, digest_of
from atlas.errors import BusyError, DataError, ModelError
from ingest.devices import to_device
from ingest.images import ImageBatches, ImageRecord, ImageSet
from ingest.layers import LayerSpec, to_units
from ingest.models import VisionModel
from ingest.numerics.pooling import Pooled, top_share_mean
from ingest.segments import OUTPUT
from ingest.store import ActivationStore, StorePlan
from ingest.store_files import (
    COMPLETE,
    LOGITS,
    PLAN,
    Matrix,
    disk_errors,
    peaks_file,
    pooled_file,
    reserve,
    shard_file,
    write_whole,
)

FORMAT = "activations-1"
Checkpoint = Callable[[str], None]
Progress = Callable[[int, int], None]
Rows = Mapping[str, NDArray[Any]]
"""File name -> the rows of one shard."""
Elsewhere = Callable[[Sequence[int]], Iterator[Rows]]
"""Shards -> the rows of each, in this order, pooled by somebody else."""


@dataclass(frozen=True)
class PassSpec:
    """``pool_share`` of the positions (GCC: 10 %), ``batch`` images per forward, ``shard`` between marks."""

    pool_share: float = 0.10
    batch: int = 32
    shard: int = 512


@dataclass(frozen=True)
class ActivationJob:
    """One model looking at one set of images through chosen layers."""

    model: VisionModel
    layers: tuple[LayerSpec, ...]
    images: ImageSet
    spec: PassSpec = PassSpec()

    @cached_property
    def digest(self) -> str:
        """64 hex digits over all that the stored numbers depend on; names the store's folder."""
        layers = [canonical(asdict(layer)) for layer in self.layers]
        parts = [FORMAT, self.model.name, self.model.digest, self.model.transform_text, self.images.digest]
        return digest_of([*parts, canonical(asdict(self.spec)), *layers])

    @cached_property
    def plan(self) -> StorePlan:
        """What the store will hold."""
        return StorePlan(
            digest=self.digest,
            ids=tuple(image.id for image in self.images.images),
            layers=self.layers,
            outputs=self.model.outputs,
            input_shape=self.model.input_shape,
            pool_share=self.spec.pool_share,
            shard=self.spec.shard,
        )

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(matrix.size for matrix in self._matrices(Path()).values())

    def _matrices(self, folder: Path) -> dict[str, Matrix]:
        n = len(self.images.images)
        matrices = {LOGITS: Matrix(folder / LOGITS, (n, self.model.outputs), np.dtype(np.float32))}
        for ordinal, layer in enumerate(self.layers):
            shape = (n, layer.channels)
            narrow = layer.positions <= np.iinfo(np.uint16).max + 1
            peaks, pooled = peaks_file(ordinal), pooled_file(ordinal)
            matrices[pooled] = Matrix(folder / pooled, shape, np.dtype(np.float32))
            matrices[peaks] = Matrix(folder / peaks, shape, np.dtype(np.uint16 if narrow else np.uint32))
        return matrices


def activation_pass(
    job: ActivationJob,
    folder: Path,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> ActivationStore:
    """Run what is missing of a pass, and open its store.

    Parameters
    ----------
    job : what to run.
    folder : of this job alone, best named by ``job.digest``; parents are made.
    checkpoint : called at ``reserved``, ``shard-pooled:n``, ``shard-written:n`` and ``complete``.
    progress : called with images done and images in all.
    elsewhere : pools the shards that are missing; this process does if None.

    Raises
    ------
    ModelError : an activation or logit is NaN or infinite (layer, channel and image are named).
    DataError : no images, or the folder belongs to another job.
    DiskError : no space, no right to write; a new folder is removed again.
    BusyError : another process runs this pass.
    """
    if not job.images.images:
        raise DataError("no images", where=job.images.root, next_step="give a folder with images")
    at = checkpoint or (lambda name: None)
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder.with_name(folder.name + ".lock"), timeout=0):
            _run(job, folder, at, progress or (lambda done, total: None), elsewhere)
    except filelock.Timeout as error:
        raise BusyError(
            "another process runs this activation pass", where=folder, next_step="wait for it, or stop it"
        ) from error
    return ActivationStore(folder)


def _run(
    job: ActivationJob, folder: Path, at: Checkpoint, progress: Progress, elsewhere: Elsewhere | None
) -> None:
    matrices = job._matrices(folder)
    reserve(folder, job.plan.to_json(), list(matrices.values()))
    if StorePlan.from_json((folder / PLAN).read_text(encoding="utf-8")).digest != job.digest:
        raise DataError(
            "the folder holds another activation pass", where=folder, next_step="choose another folder"
        )
    if (folder / COMPLETE).is_file():
        return
    at("reserved")
    missing = [n for n in range(job.plan.shards) if not shard_file(folder, n).is_file()]
    images = len(job.images.images)
    if len(missing) < job.plan.shards:
        progress(images - sum(len(job.plan.rows(n)) for n in missing), images)
    pooled = (pool_shard(job, n, progress) for n in missing) if elsewhere is None else elsewhere(missing)
    for shard, parts in zip(missing, pooled, strict=True):
        rows = job.plan.rows(shard)
        at(f"shard-pooled:{shard}")
        with disk_errors(folder):
            for name, matrix in matrices.items():
                matrix.write(rows.start, parts[name])
            write_whole(shard_file(folder, shard), f"{rows.start} {rows.stop}\n")
        at(f"shard-written:{shard}")
        progress(rows.stop, images)
    with disk_errors(folder):
        write_whole(folder / COMPLETE, job.digest + "\n")
    at("complete")


def pool_shard(job: ActivationJob, shard: int, progress: Progress) -> dict[str, NDArray[Any]]:
    """All rows of one shard, by file name. Raises ModelError or DataError."""
    rows = job.plan.rows(shard)
    parts = {name: np.empty((len(rows), m.shape[1]), m.dtype) for name, m in job._matrices(Path()).items()}
    done = 0
    for indices, batch in _batches(job, rows):
        part = slice(done, done + len(batch))
        images = [job.images.images[int(i)] for i in indices]
        pool_batch(job, batch, images, {name: array[part] for name, array in parts.items()})
        done += len(batch)
        progress(rows.start + done, len(job.images.images))
    return parts


def _batches(job: ActivationJob, rows: range) -> Iterable[tuple[Iterable[int], Tensor]]:
    cuda = any(p.is_cuda for p in job.model.module.parameters())
    return ImageBatches(job.images, job.model.transform, batch=job.spec.batch, indices=rows, pin=cuda)


@torch.inference_mode()
def pool_batch(
    job: ActivationJob, batch: Tensor, images: list[ImageRecord], out: dict[str, NDArray[Any]]
) -> None:
    """One forward over (B, 3, H, W) images, its rows put into ``out`` (file name → (B, …)).

    Each layer is pooled the moment it is computed, so no more than the model's own forward is held in memory.
    """
    device = next((p.device for p in job.model.module.parameters()), torch.device("cpu"))
    places: dict[str, list[int]] = defaultdict(list)
    for ordinal, layer in enumerate(job.layers):
        places[layer.node].append(ordinal)

    def reader(ordinals: list[int]) -> Callable[[Tensor], Tensor]:
        def read(value: Tensor) -> Tensor:
            for ordinal in ordinals:
                _pool_layer(job, ordinal, value, images, out)
            return value

        return read

    edits = {node: reader(ordinals) for node, ordinals in places.items()}
    logits = job.model.trace.values(to_device(batch, device), [OUTPUT], edits)[OUTPUT].float().cpu()
    if not logits.isfinite().all():
        image, output = (int(i) for i in (~logits.isfinite()).nonzero()[0])
        raise _bad_number(f"output {output}", float(logits[image, output]), images[image])
    out[LOGITS][:] = logits.numpy()


def _pool_layer(
    job: ActivationJob, ordinal: int, value: Tensor, images: list[ImageRecord], out: dict[str, NDArray[Any]]
) -> None:
    layer = job.layers[ordinal]
    units = to_units(value, layer)
    pooled = top_share_mean(units, job.spec.pool_share, skip=layer.tokens_before)
    if not pooled.finite.all():
        raise _not_finite(layer, units, pooled, images)
    out[pooled_file(ordinal)][:] = pooled.mean.numpy()
    out[peaks_file(ordinal)][:] = pooled.peak.numpy()


def _not_finite(layer: LayerSpec, units: Tensor, pooled: Pooled, images: list[ImageRecord]) -> ModelError:
    image, channel = (int(i) for i in (~pooled.finite).nonzero()[0])
    row = units[image, channel].float()
    value = row[~row.isfinite()]
    return _bad_number(
        f"{layer.name}/{channel}", float(value[0]) if len(value) else float("inf"), images[image]
    )


def _bad_number(where: str, value: float, image: ImageRecord) -> ModelError:
    return ModelError(
        "an activation is not a finite number",
        where=where,
        expected="a finite number",
        got=f"{value} on image {image.path} ({image.id})",
        next_step="check the weights and the images' scaling for this layer",
    )
