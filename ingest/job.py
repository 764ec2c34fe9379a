"""One ingestion job: what was asked for, and what is made of it before anything is computed.

A job looks at one model through one data set. Images are parted into *list images*, from which lists, floors and
statistics are made, and *judging images*, which are only ever asked about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from atlas.address import Root, image_id_of_file
from atlas.errors import DataError
from ingest.activations import PassSpec
from ingest.classes import map_classes, with_texts
from ingest.images import ImageBatches, ImageRecord, ImageSet, common_size, decode, halves, scan_images
from ingest.layers import LayerSpec, choose_layers
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.methods.survey import Subject
from ingest.models import ModelSpec, VisionModel, load_model

JUDGING = "judging"


@dataclass(frozen=True)
class Sides:
    """How images are parted, and which of them are not independent of each other.

    ``judge_share`` of the images judge, chosen by their ids, unless ``halves`` names a half ("lists" or "judging")
    for each path. ``sources`` gives each path the sources it was made from; intervals resample these.
    """

    judge_share: float = 0.5
    halves: Mapping[str, str] | None = None
    sources: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class IngestSpec:
    """What ``atlas ingest`` was asked to do."""

    model: ModelSpec
    data: Path
    name: str | None = None
    dataset: str | None = None
    tag: str | None = None
    layers: str | None = None
    methods: tuple[str, ...] = ("gcc",)
    queries: str = "20"
    classes: Path | None = None
    sides: Sides = field(default_factory=Sides)
    seed: int = 0
    force: bool = False
    workers: int | None = None
    passes: PassSpec = field(default_factory=PassSpec)
    gcc: GccParameters = field(default_factory=GccParameters)
    cla: ClaParameters = field(default_factory=ClaParameters)
    gig: GigParameters = field(default_factory=GigParameters)
    pure: PureParameters = field(default_factory=PureParameters)


@dataclass(frozen=True)
class Found:
    """An image asked about: its id, its file, and its row in the store, None for one that is new."""

    id: str
    file: Path
    row: int | None


@dataclass(frozen=True)
class Prepared:
    """A job whose model, images, classes and layers are at hand."""

    spec: IngestSpec
    model: VisionModel
    images: ImageSet
    layers: tuple[LayerSpec, ...]
    subject: Subject

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """(N,) the sources of each image, its own id where none are known."""
        sources = self.spec.sides.sources
        return tuple(
            (image.id,) if sources is None else sources.get(image.path, (image.id,))
            for image in self.images.images
        )

    def batches(self, rows: Sequence[int], batch: int | None = None) -> Iterator[tuple[list[int], Tensor]]:
        """Images of some rows of the store, on the model's device: their rows and (B, C, H, W).

        ``batch`` images at a time, the activation pass's number by default.
        """
        size = batch or self.spec.passes.batch
        for indices, x in ImageBatches(self.images, self.model.transform, batch=size, indices=rows):
            yield [int(i) for i in indices], x.to(self.spec.model.device)

    def input(self, file: Path) -> Tensor:
        """(1, C, H, W) the model's input for an image file, on its device.

        Raises DataError for a file that is no image, or that the transform does not bring to the model's size.
        """
        x = self.model.transform(decode(file))
        if tuple(x.shape) != self.model.input_shape:
            raise DataError(
                "the image has another size", where=file, expected=self.model.input_shape, got=tuple(x.shape)
            )
        return x.unsqueeze(0).to(self.spec.model.device)

    def find(self, image: str | None, file: Path | None) -> Found:
        """An image of the data set by id, or any file. Raises DataError if neither is there."""
        known = image if image is not None else image_id_of_file(file) if file is not None else None
        row = next((row for row, record in enumerate(self.images.images) if record.id == known), None)
        if row is not None:
            file = self.images.root / self.images.images[row].path
        if file is None or known is None:
            raise DataError("the image's file is not known", where=image, next_step="name the file itself")
        return Found(known, file, row)


def prepare(spec: IngestSpec, *, progress: Callable[[str, int, int], None] | None = None) -> Prepared:
    """Load the model, enumerate the images, map classes and choose layers.

    ``progress`` is called with "images", images inspected and images in all.

    Raises ModelError or DataError for whatever cannot be used.
    """
    told = None if progress is None else partial(progress, "images")
    images = scan_images(spec.data, name=spec.dataset, progress=told)
    spec = replace(spec, model=with_texts(spec.model, images, spec.classes))
    model = load_model(spec.model, lambda: common_size(images.images))
    layers = choose_layers(model, spec.layers)
    classes = map_classes(model, images, spec.classes)
    subject = Subject(
        root=Root(spec.name or model.name, model.digest[:8], spec.tag),
        dataset=images.name,
        data_digest=images.digest,
        classes=classes.names,
        outputs=classes.outputs,
        labels=tuple(classes.label(image) for image in images.images),
        judging=judging_images(images.images, spec.sides),
    )
    return Prepared(spec, model, images, layers, subject)


def judging_images(images: Sequence[ImageRecord], sides: Sides) -> NDArray[np.bool_]:
    """(N,) bool: the images kept out of every list.

    Raises DataError if an image is in no half, or none is left for the lists.
    """
    if sides.halves is not None:
        missing = [image.path for image in images if image.path not in sides.halves]
        if missing:
            raise DataError(
                "an image belongs to no half",
                where=missing[0],
                next_step="name every image in the --groups file",
            )
        judging = np.array([sides.halves[image.path] == JUDGING for image in images])
    else:
        judging = halves(images, sides.judge_share)
    if judging.all():
        raise DataError(
            "no image is left to make lists from",
            expected="some list images",
            got=f"{len(images)} judging ones",
        )
    return judging


def read_groups(path: Path) -> Sides:
    """Halves and sources of images from a JSON file.

    Form: ``{"files": {"class/image.png": {"half": "lists" or "judging", "sources": [id, …]}}}``, paths below the
    data folder. Raises DataError if the file has another form.
    """
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        parts = {str(name): str(entry["half"]) for name, entry in files.items()}
        sources = {
            str(name): tuple(str(source) for source in entry.get("sources", ())) or (str(name),)
            for name, entry in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "not a groups file",
            where=path,
            expected='{"files": {path: {"half": "lists" or "judging", "sources": [...]}}}',
            got=f"{type(error).__name__}: {error}",
        ) from error
    wrong = set(parts.values()) - {"lists", JUDGING}
    if wrong:
        raise DataError("unknown half", where=path, expected="lists or judging", got=sorted(wrong)[0])
    return Sides(halves=parts, sources=sources)
