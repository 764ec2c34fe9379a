"""Shards of a job computed by several processes: what a process needs, and the processes of this machine.

A process opens the job from its file (`ingest.reopen`) and leaves its shards where the job that waits for them finds
them, so that a shard does not know who computed it. Each process has one thread of arithmetic, or one GPU.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from atlas.spool import Values
from ingest.activations import ActivationJob, Elsewhere, Rows, pool_shard
from ingest.devices import with_budget
from ingest.job import Prepared
from ingest.reopen import keep_job, reopen, reopen_job
from ingest.shards import Shards, Tables
from ingest.stages import STAGES

LEAST_SHARDS = 4
PASS = "activations"
"""What stands for a method where the shards are those of the activation pass, named by their numbers."""

Checkpoint = Callable[[str], None]
Compute = Callable[[str], Iterable[tuple[str, Mapping[str, Values]]]]
Wait = Callable[[], None]


@dataclass(frozen=True)
class Bench:
    """What a process needs to open a job: its work folder, the job's file below it, method, run and queries."""

    work: Path
    job: str
    method: str
    run: str
    queries: tuple[int, ...]
    shards: Path


class Crew(Protocol):
    """Those who compute a job's shards in place of the process that waits for them."""

    @property
    def name(self) -> str:
        """What computes, for the record of a run."""
        ...

    def computed(
        self, bench: Bench, phases: Sequence[Sequence[str]], checkpoint: Checkpoint | None
    ) -> Iterator[tuple[str, Tables]]:
        """The shards in order, computed ahead, a phase when the one before is done."""
        ...


class Processes:
    """Processes of this machine, one for each entry of ``devices``, from the first shard to the end of the block."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    @property
    def name(self) -> str:
        """What computes."""
        counts = Counter(_device_name(device) for device in self._devices)
        return ", ".join(f"{number} x {device}" for device, number in counts.items())

    def computed(
        self, bench: Bench, phases: Sequence[Sequence[str]], checkpoint: Checkpoint | None
    ) -> Iterator[tuple[str, Tables]]:
        """The shards in order, computed ahead, a phase when the one before is done."""
        pool = self._started()
        shards = Shards(bench.shards, checkpoint)
        return in_order(shards, phases, lambda name: pool.submit(_compute, bench, name).result, checkpoint)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            devices = context.SimpleQueue()
            for device in self._devices:
                devices.put(device)
            self._pool = ProcessPoolExecutor(len(self._devices), context, _begin, (devices,))
        return self._pool


def own_crew(device: str, wished: int | None = None) -> Processes | None:
    """Processes of this machine where they are worth it: one a core, but not beside a GPU; ``wished`` decides."""
    count = wished or (os.cpu_count() or 1 if device == "cpu" else 1)
    return Processes([device] * count) if count > 1 else None


def pooled_by(
    crew: Crew, prepared: Prepared, work: Path, folder: Path, checkpoint: Checkpoint | None
) -> Elsewhere:
    """Shards of the activation pass of a job, pooled by a crew and left beside its store until they are in it."""

    def pooled(missing: Sequence[int]) -> Iterator[Rows]:
        if not missing:
            return
        file = str(keep_job(prepared, folder, "pass").relative_to(work))
        shards = Shards(folder / "parts", checkpoint)
        bench = Bench(work, file, PASS, "", (), shards.folder)
        for name, tables in crew.computed(bench, [[f"{n:05d}" for n in missing]], checkpoint):
            yield {table: np.asarray(values) for table, values in tables[0][1].items()}
            shards.drop(name)
        shards.remove()

    return pooled


def in_order(
    shards: Shards,
    phases: Sequence[Sequence[str]],
    submit: Callable[[str], Wait],
    checkpoint: Checkpoint | None,
) -> Iterator[tuple[str, Tables]]:
    """The shards' tables in order; what is missing of a phase is submitted at its beginning.

    submit : begins a shard, and gives what waits for it.
    """
    for names in phases:
        waits = {name: submit(name) for name in names if not shards.done(name)}
        for name in names:
            if name in waits:
                waits.pop(name)()
                if checkpoint is not None:
                    checkpoint(f"shard:{name}")
            yield name, shards.read(name)


def compute(bench: Bench, device: str, name: str) -> None:
    """Compute one shard on a device and leave it with the others, unless it is there."""
    Shards(bench.shards).tables(name, lambda: _opened(bench, device)(name))


@lru_cache(maxsize=1)
def _opened(bench: Bench, device: str) -> Compute:
    """A job opened in this process, once."""
    torch.set_num_threads(1)
    facts = {"job": bench.job}
    if bench.method == PASS:
        prepared = reopen_job(bench.work, facts, device)
        job = ActivationJob(prepared.model, prepared.layers, prepared.images, prepared.spec.passes)
        return lambda name: [(PASS, pool_shard(job, int(name), lambda *_: None))]
    prepared, store = reopen(bench.work, facts, device)
    stage = STAGES[bench.method](with_budget(prepared), store, bench.queries)
    shards = Shards(bench.shards)
    return lambda name: stage.compute(bench.run, name, lambda *_: None, shards.read)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


_device = "cpu"


def _begin(devices: SimpleQueue[str]) -> None:
    """Take a device for this process, and end with the job."""
    global _device  # noqa: PLW0603 - a pool's process has no other place for what its initialiser took
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _device = devices.get()


def _end_with_parent() -> None:
    """A killed job must not leave processes behind that wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compute(bench: Bench, name: str) -> None:
    compute(bench, _device, name)
