"""A finished job, opened again: its model, images and lists, for questions asked after ingestion.

Beside the activation store lies one JSON file per job; no image is hashed again, and the weights' digest is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atlas.address import parse_root
from atlas.errors import DataError, ModelError
from ingest.activations import PassSpec
from ingest.builds import found_from_anywhere
from ingest.devices import with_budget
from ingest.images import ImageRecord, ImageSet, common_size
from ingest.job import IngestSpec, Prepared, Sides
from ingest.layers import choose_layers
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.methods.stage import Stage
from ingest.methods.survey import Subject
from ingest.models import ModelSpec, load_model
from ingest.numerics.gcc import Thresholds
from ingest.stages import STAGES
from ingest.store import ActivationStore
from ingest.store_files import disk_errors, write_whole

_IMAGE = ("id", "path", "label", "split", "width", "height")


def keep_job(prepared: Prepared, folder: Path, run: str) -> Path:
    """Write what :func:`reopen` reads into the folder of the job's store. Raises DiskError."""
    spec, images, subject = prepared.spec, prepared.images, prepared.subject
    sources = spec.sides.sources
    document = {
        "model": {
            **asdict(spec.model),
            "model": found_from_anywhere(spec.model.model),
            "checkpoint": _absolute(spec.model.checkpoint),
        },
        "digest": prepared.model.digest,
        "data": _absolute(spec.data),
        "dataset": images.name,
        "data_digest": images.digest,
        "folders": list(images.folders),
        "images": [[getattr(image, name) for name in _IMAGE] for image in images.images],
        "root": str(subject.root),
        "classes": list(subject.classes),
        "outputs": list(subject.outputs),
        "labels": list(subject.labels),
        "judging": subject.judging.astype(int).tolist(),
        "sources": None if sources is None else {name: list(own) for name, own in sources.items()},
        "layers": [layer.name for layer in prepared.layers],
        "passes": asdict(spec.passes),
        "gcc": asdict(spec.gcc),
        "cla": asdict(spec.cla),
        "gig": asdict(spec.gig),
        "pure": asdict(spec.pure),
        "seed": spec.seed,
        "queries": spec.queries,
    }
    path = folder / f"job-{run}.json"
    with disk_errors(folder):
        write_whole(path, json.dumps(document))
    return path


@dataclass(frozen=True)
class Opened:
    """A job opened again for one method: what a question or an evaluation of it starts from."""

    prepared: Prepared
    store: ActivationStore
    stage: Stage


def open_stage(work: Path, facts: Mapping[str, Any], method: str, device: str) -> Opened:
    """The job of a run of ``method``; arguments and errors as :func:`reopen`."""
    prepared, store = reopen(work, facts, device)
    return Opened(prepared, store, STAGES[method](with_budget(prepared), store, None))


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def reopen(work: Path, facts: Mapping[str, Any], device: str) -> tuple[Prepared, ActivationStore]:
    """The job a run was made by, and its activation store; arguments and errors as :func:`reopen_job`."""
    return reopen_job(work, facts, device), ActivationStore((work / str(facts.get("job"))).parent)


def reopen_job(work: Path, facts: Mapping[str, Any], device: str) -> Prepared:
    """The job a run was made by, whether or not its activation pass is done.

    Parameters
    ----------
    work : where jobs keep what can be made again.
    facts : of the run; ``facts["job"]`` is the job's file below ``work``.

    Raises
    ------
    DataError : the file or the store is gone. ModelError : the weights are not the ones of the run.
    """
    path = work / str(facts.get("job"))
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            "the activations of this run are not on this machine",
            where=path,
            got=type(error).__name__,
            next_step="run the same `atlas ingest` again where the images are",
        ) from error
    spec = _spec(kept, device)
    images = tuple(ImageRecord(**dict(zip(_IMAGE, row, strict=True))) for row in kept["images"])
    model = load_model(spec.model, lambda: common_size(images))
    if model.digest != kept["digest"]:
        raise ModelError(
            "the weights are not the ones this run was made from",
            where=spec.model.checkpoint or spec.model.model,
            expected=kept["digest"][:16],
            got=model.digest[:16],
            next_step="restore the checkpoint, or ingest the new weights",
        )
    layers = choose_layers(model, ",".join(kept["layers"]))
    data = ImageSet(
        root=Path(kept["data"]),
        name=kept["dataset"],
        digest=kept["data_digest"],
        images=images,
        folders=tuple(kept["folders"]),
        skipped=(),
        duplicates=(),
    )
    subject = Subject(
        root=parse_root(kept["root"]),
        dataset=kept["dataset"],
        data_digest=kept["data_digest"],
        classes=tuple(kept["classes"]),
        outputs=tuple(kept["outputs"]),
        labels=tuple(kept["labels"]),
        judging=np.array(kept["judging"], bool),
    )
    return Prepared(spec, model, data, layers, subject)


def _spec(kept: Mapping[str, Any], device: str) -> IngestSpec:
    model = dict(kept["model"])
    checkpoint = model.pop("checkpoint")
    size, texts = model.pop("image_size"), model.pop("texts", None)
    model |= {
        "device": device,
        "checkpoint": None if checkpoint is None else Path(checkpoint),
        "image_size": None if size is None else (int(size[0]), int(size[1])),
        "texts": None if texts is None else tuple(texts),
    }
    gcc = dict(kept["gcc"])
    thresholds = Thresholds(**gcc.pop("thresholds"))
    sources = kept["sources"]
    return IngestSpec(
        model=ModelSpec(**model),
        data=Path(kept["data"]),
        dataset=kept["dataset"],
        layers=",".join(kept["layers"]),
        sides=Sides(sources=None if sources is None else {name: tuple(own) for name, own in sources.items()}),
        seed=kept["seed"],
        queries=kept["queries"],
        passes=PassSpec(**kept["passes"]),
        gcc=GccParameters(thresholds=thresholds, **gcc),
        cla=ClaParameters(**kept["cla"]),
        gig=GigParameters(**kept["gig"]),
        pure=PureParameters(**kept["pure"]),
    )
