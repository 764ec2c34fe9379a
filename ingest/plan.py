"""The stages of a job, in order, each left where it stood if the job is cut and taken up there again.

images → activation pass (shards on disk) → spool of ``activations`` → per method its shards → its spool

A finished spool of the same run is kept, not made again: a run's id says all that its numbers depend on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atlas.address import digest_of, quote
from atlas.errors import ModelError, SpoolError
from atlas.spool import RunRecord, Spool, SpoolWriter
from ingest.activations import ActivationJob, activation_pass
from ingest.devices import with_budget
from ingest.job import Prepared
from ingest.methods import survey
from ingest.methods.stage import Columns, Progress, Stage, spooled, sum_facts
from ingest.reopen import keep_job
from ingest.shards import Shards, Tables
from ingest.stages import STAGES
from ingest.store import ActivationStore
from ingest.thumbnails import write_thumbnails
from ingest.workers import LEAST_SHARDS, Bench, Crew, own_crew, pooled_by

Checkpoint = Callable[[str], None]
CHANCE_FACTOR = 2.0


@dataclass(frozen=True)
class Folders:
    """Where a job keeps its things: ``work`` for what can be made again, ``spools``, ``media`` for pictures."""

    work: Path
    spools: Path
    media: Path


@dataclass(frozen=True)
class Result:
    """What a job leaves: its spools in load order, and the model's accuracy on the images (NaN without classes)."""

    spools: tuple[Path, ...]
    store: ActivationStore
    accuracy: float
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def remarks(self) -> list[str]:
        """What a reader of the runs should know."""
        return [remark for facts in self.facts.values() for remark in facts.get("remarks", [])]


def run(
    prepared: Prepared,
    folders: Folders,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    crew: Crew | None = None,
) -> Result:
    """Run what is missing of a job.

    crew : computes the shards of all stages; by default this process, or processes of this machine for a method of
    many shards.

    Raises
    ------
    ModelError : accuracy below twice chance (unless ``force``), or whatever the pass raises.
    DataError, DiskError : as the stages raise them.
    """
    at = checkpoint or (lambda name: None)
    store = activations(prepared, folders, progress, checkpoint, crew)
    accuracy = check_accuracy(prepared, store)
    base = _survey(prepared, folders, store, accuracy, progress)
    at("spooled:activations")
    spools, facts = [base.folder], {"activations": dict(base.run.facts)}
    own = None if crew else own_crew(prepared.spec.model.device, prepared.spec.workers)
    with own or nullcontext():
        for method in prepared.spec.methods:
            job = _Stage(prepared, folders, store, progress, checkpoint, crew, own)
            spool = _method(job, method, base.run)
            at(f"spooled:{method}")
            spools.append(spool.folder)
            facts[method] = dict(spool.run.facts)
    return Result(tuple(spools), store, accuracy, facts)


@dataclass(frozen=True)
class _Stage:
    """What the stages of one job share."""

    prepared: Prepared
    folders: Folders
    store: ActivationStore
    progress: Progress
    checkpoint: Checkpoint | None
    crew: Crew | None
    own: Crew | None


def activations(
    prepared: Prepared,
    folders: Folders,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    crew: Crew | None = None,
) -> ActivationStore:
    """The activation store of a job, made or taken up."""
    job = ActivationJob(prepared.model, prepared.layers, prepared.images, prepared.spec.passes)
    folder = folders.work / f"activations-{job.digest[:16]}"
    return activation_pass(
        job,
        folder,
        checkpoint=checkpoint,
        progress=lambda done, total: progress("activations", done, total),
        elsewhere=None if crew is None else pooled_by(crew, prepared, folders.work, folder, checkpoint),
    )


def check_accuracy(prepared: Prepared, store: ActivationStore) -> float:
    """Top-1 accuracy on all labelled images.

    Raises ModelError below twice chance: the classes are then most likely mapped wrongly.
    """
    subject = prepared.subject
    accuracy = store.accuracy(subject.labels, subject.outputs) if subject.classes else math.nan
    least = CHANCE_FACTOR / max(1, prepared.model.outputs)
    if accuracy < least and not prepared.spec.force:
        raise ModelError(
            "the model is hardly better than chance on these images",
            where=prepared.spec.data,
            expected=f"an accuracy of at least {least:.4f}",
            got=f"{accuracy:.4f}",
            next_step="check the weights and the class order (--classes FILE), or go on with --force",
        )
    return accuracy


def _survey(
    prepared: Prepared, folders: Folders, store: ActivationStore, accuracy: float, progress: Progress
) -> Spool:
    subject, spec = prepared.subject, prepared.spec
    parameters = {
        "layers": [layer.name for layer in prepared.layers],
        "root_share": spec.gcc.root_share,
        "mask_share": spec.gcc.mask_share,
        "judging": digest_of(np.array(store.ids)[subject.judging].tolist()),
        "transform": prepared.model.transform_text,
        **asdict(spec.passes),
    }
    record = record_of(prepared, survey.METHOD, survey.VERSION, parameters, ())
    kept = _kept(folders, record)
    if kept is not None:
        return kept
    thumbs = write_thumbnails(
        prepared.images, folders.media, lambda done, total: progress("thumbnails", done, total)
    )
    images = survey.ImageFacts(
        [image.path for image in prepared.images.images],
        [image.width for image in prepared.images.images],
        [image.height for image in prepared.images.images],
        thumbs,
    )
    model = survey.ModelFacts(
        prepared.model.name,
        spec.model.weights
        or (spec.model.checkpoint.name if spec.model.checkpoint else prepared.model.source),
        prepared.model.digest,
        prepared.model.source,
        prepared.model.outputs,
        prepared.model.input_shape,
        prepared.model.transform_text,
        accuracy,
    )
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        _write(writer, survey.structure_tables(subject, model, images, store))
        for done, layer in enumerate(store.layers):
            progress("neurons", done, len(store.layers))
            shares = (spec.gcc.root_share, spec.gcc.mask_share)
            _write(writer, survey.layer_tables(subject, store, layer, *shares))
        progress("neurons", len(store.layers), len(store.layers))
        writer.finish(
            {
                "job": str(keep_job(prepared, store.folder, record.id).relative_to(folders.work)),
                "accuracy": None if math.isnan(accuracy) else accuracy,
                "images": len(store.ids),
                "list_images": int(subject.lists.sum()),
                "skipped": len(prepared.images.skipped),
                "duplicates": len(prepared.images.duplicates),
            }
        )
    return Spool.open(spool_folder(folders, record))


def _method(job: _Stage, method: str, base: RunRecord) -> Spool:
    prepared, folders, store = job.prepared, job.folders, job.store
    stage = STAGES[method](with_budget(prepared), store, None)
    # The base run is part of what the numbers rest on, so it is part of what the run is.
    parameters = {**stage.parameters(), "base": base.id}
    record = record_of(prepared, method, stage.version, parameters, (base.id,))
    kept = _kept(folders, record)
    if kept is not None:
        return kept
    file = str(keep_job(prepared, store.folder, record.id).relative_to(folders.work))
    shards = Shards(folders.work / f"{method}-{record.id}", job.checkpoint)
    names = [name for phase in stage.phases for name in phase]
    crew = job.crew or (job.own if prepared.spec.workers or len(names) >= LEAST_SHARDS else None)
    if crew is not None:
        record = replace(record, device=crew.name)
        bench = Bench(folders.work, file, method, record.id, stage.queries, shards.folder)
        done = crew.computed(bench, stage.phases, job.checkpoint)
    else:
        done = _one_by_one(stage, names, shards, record.id, job.progress)
    numbers: dict[str, float] = {}
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for count, (_, tables) in enumerate(done, start=1):
            _write(writer, spooled(tables))
            sum_facts(numbers, tables)
            if crew is not None:
                job.progress(method, count, len(names))
        writer.finish({"job": file, **stage.facts(numbers)})
    shards.remove()
    return Spool.open(spool_folder(folders, record))


def _one_by_one(
    stage: Stage, names: Sequence[str], shards: Shards, run: str, progress: Progress
) -> Iterator[tuple[str, Tables]]:
    for name in names:
        yield name, shards.tables(name, partial(stage.compute, run, name, progress, shards.read))


def record_of(
    prepared: Prepared, method: str, number: str, parameters: Mapping[str, Any], requires: tuple[str, ...]
) -> RunRecord:
    """The record of a run of this job that begins now; ``number`` is the method's version."""
    subject = prepared.subject
    return RunRecord(
        model=str(subject.root),
        dataset=quote(subject.dataset),
        data_digest=subject.data_digest,
        weights_digest=prepared.model.digest,
        method=method,
        version=number,
        parameters=parameters,
        seed=prepared.spec.seed,
        code=version("circuit-atlas"),
        device=device_name(prepared.spec.model.device),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        requires=requires,
    )


def device_name(device: str) -> str:
    """What computes: the GPU's name, or the number of CPU threads."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def spool_folder(folders: Folders, record: RunRecord) -> Path:
    """Where a run's spool is."""
    return folders.spools / record.id


def _kept(folders: Folders, record: RunRecord) -> Spool | None:
    """The spool of the same run if it is there and whole."""
    folder = spool_folder(folders, record)
    if not folder.is_dir():
        return None
    try:
        return Spool.open(folder)
    except SpoolError:
        return None


def _write(writer: SpoolWriter, tables: Iterable[tuple[str, Columns]]) -> None:
    for name, columns in tables:
        writer.write(name, columns)
