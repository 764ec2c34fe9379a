"""Shards of a stage computed by several processes of this machine, each with one thread of arithmetic.

A process opens the job from its file (`ingest.reopen`) and leaves its shards where the job that waits for them finds
them, so that a shard does not know who computed it. On a GPU one process is best: it is the batch that fills it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from ingest.methods.stage import Stage
from ingest.reopen import reopen
from ingest.shards import Shards, Tables
from ingest.stages import STAGES

LEAST_SHARDS = 4


@dataclass(frozen=True)
class Bench:
    """What a process needs to open a job: its work folder, the job's file below it, method, run and queries."""

    work: Path
    job: str
    method: str
    run: str
    queries: tuple[int, ...]
    shards: Path
    device: str


def worker_count(device: str, shards: int, wished: int | None = None) -> int:
    """Processes worth starting: one on a GPU or for few shards, else one a core."""
    if wished is not None:
        return max(1, wished)
    return 1 if device != "cpu" or shards < LEAST_SHARDS else min(os.cpu_count() or 1, shards)


def computed(
    bench: Bench,
    phases: Sequence[Sequence[str]],
    workers: int,
    checkpoint: Callable[[str], None] | None,
) -> Iterator[tuple[str, Tables]]:
    """The shards in order, computed ahead by other processes, a phase when the one before is done."""
    shards = Shards(bench.shards, checkpoint)
    widest = max((sum(not shards.done(name) for name in names) for names in phases), default=0)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, max(1, widest)), context, _open, (bench,)) as pool:
        try:
            for names in phases:
                futures = {name: pool.submit(_compute, name) for name in names if not shards.done(name)}
                for name in names:
                    if name in futures:
                        futures[name].result()
                        if checkpoint is not None:
                            checkpoint(f"shard:{name}")
                    yield name, shards.read(name)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_stage: tuple[Stage, Bench] | None = None


def _open(bench: Bench) -> None:
    """Open the job in this process, once."""
    global _stage  # noqa: PLW0603 - a pool's process has no other place for what its initialiser made
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    prepared, store = reopen(bench.work, {"job": bench.job}, bench.device)
    _stage = (STAGES[bench.method](prepared, store, bench.queries), bench)


def _end_with_parent() -> None:
    """A killed job must not leave processes behind that wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compute(name: str) -> None:
    if _stage is None:
        raise RuntimeError("a worker that was not opened")
    stage, bench = _stage
    shards = Shards(bench.shards)
    shards.tables(name, lambda: stage.compute(bench.run, name, lambda *_: None, shards.read))
