"""The same shards as Ray tasks, on one machine or many.

Assumed: every machine of the cluster has this package and its dependencies, and sees the work folder (ATLAS_HOME)
and the images under the same paths as the driver, the process that runs ``atlas ingest``. Shards lie in the work
folder; the driver alone merges them, writes the store and the spools, and loads the graph. A task whose process or
machine dies is tried again elsewhere; a driver that is cut finds what is done when it is run again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atlas.errors import AtlasError, ModelError, StoreError
from ingest.shards import Shards, Tables
from ingest.workers import Bench, Checkpoint, Wait, compute, in_order

INSTALL = "pip install 'circuit-atlas[cluster]'"
LOCAL, AUTO = "local", "auto"
RETRIES = 3
LATEST = 90.0
"""Seconds until a finished shard must be seen here; network file systems show new files after up to a minute."""
OBJECTS = 80 * 2**20
"""Bytes of a local cluster's object store, Ray's least: shards go through files."""
_PROBE = 5.0


@contextmanager
def connected(address: str, device: str = AUTO, processes: int | None = None) -> Iterator[RayCrew]:
    """A crew of Ray tasks, until the end of the block.

    Parameters
    ----------
    address : ``local`` starts a cluster on this machine for the time being, ``auto`` uses the one that this machine
        belongs to, ``host:port`` names its head.
    device : of a task: ``cuda`` gives each one GPU, ``cpu`` each one core, ``auto`` the first where there are GPUs.
    processes : of a ``local`` cluster; one a core by default.

    Raises
    ------
    ModelError : Ray is not installed. StoreError : no cluster there, or none of its machines has a GPU.
    """
    ray = require_ray()
    _probe(address)
    options: dict[str, Any] = {"include_dashboard": False, "num_cpus": processes or os.cpu_count()}
    if address == LOCAL:
        options["object_store_memory"] = OBJECTS
    else:
        options = {}
    # Ray tells of deaths on standard output, which is for answers.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
            raise _no_cluster(address, str(error)) from error
        try:
            yield RayCrew(ray, _device(ray, device, address))
        finally:
            ray.shutdown()


class RayCrew:
    """Tasks of a cluster that this process is connected to."""

    def __init__(self, ray: Any, device: str) -> None:
        self._ray = ray
        self._cuda = device.startswith("cuda")
        self._device = device
        self._task = ray.remote(num_cpus=1, num_gpus=int(self._cuda), max_retries=RETRIES)(_task)

    @property
    def name(self) -> str:
        """What computes."""
        count = int(self._ray.cluster_resources().get("GPU" if self._cuda else "CPU", 0))
        return f"ray, {count} x {self._device}"

    def computed(
        self, bench: Bench, phases: Sequence[Sequence[str]], checkpoint: Checkpoint | None
    ) -> Iterator[tuple[str, Tables]]:
        """The shards in order, computed ahead, a phase when the one before is done.

        Raises StoreError if a shard's process dies again and again or its shard is not seen here, and what the
        shard itself raises.
        """
        bench = replace(bench, work=bench.work.absolute(), shards=bench.shards.absolute())
        shards = Shards(bench.shards, checkpoint)
        waiting: dict[str, Any] = {}

        def submit(name: str) -> Wait:
            waiting[name] = self._task.remote(
                bench, self._device, name, str(Path.cwd()), version("circuit-atlas")
            )
            return lambda: self._wait(shards, name, waiting.pop(name))

        try:
            yield from in_order(shards, phases, submit, checkpoint)
        finally:
            for reference in waiting.values():
                self._ray.cancel(reference, force=True)

    def _wait(self, shards: Shards, name: str, reference: Any) -> None:
        errors = self._ray.exceptions
        try:
            self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, AtlasError):
                raise error.cause from error
            raise
        except errors.RayError as error:
            raise StoreError(
                "a shard's process died each time it was tried",
                where=f"{shards.folder.name}/{name}",
                expected=f"one of {RETRIES + 1} tries to end",
                got=f"{type(error).__name__}: {str(error).splitlines()[0]}",
                next_step="look for memory that ran out, and run it again: it goes on here",
            ) from error
        _seen(shards, name)


def _task(bench: Bench, device: str, name: str, folder: str, code: str) -> None:
    """One shard, in a process of the cluster; ``folder`` is the driver's, from which own factories are imported."""
    if version("circuit-atlas") != code:
        raise ModelError(
            "a machine of the cluster has another version",
            where=socket.gethostname(),
            expected=f"circuit-atlas {code}",
            got=version("circuit-atlas"),
        )
    with contextlib.chdir(folder) if Path(folder).is_dir() else contextlib.nullcontext():
        compute(bench, device, name)


def require_ray() -> Any:
    """Ray, which is an extra. Raises ModelError with the line that installs it."""
    # Read when Ray is imported and by the processes it starts; an atlas reports nothing to anybody.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A task without a GPU is left what the machine shows it, as Ray will do by itself.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ModelError("Ray is not installed", next_step=f"`{INSTALL}`") from error
    return ray


def _probe(address: str) -> None:
    """Ray itself waits for minutes for a head that does not answer."""
    host, _, port = address.rpartition(":")
    if address in (LOCAL, AUTO):
        return
    if not host or not port.isdecimal():
        raise _no_cluster(address, "not an address")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, got: str) -> StoreError:
    return StoreError(
        "no Ray cluster to connect to",
        where=address,
        expected="local, auto, or HOST:PORT of a head started with `ray start --head`",
        got=got.splitlines()[0] if got else "no answer",
        next_step="run it on a machine of the cluster, with RAY_AUTH_MODE=token for a head with a token",
    )


def _device(ray: Any, device: str, address: str) -> str:
    gpus = ray.cluster_resources().get("GPU", 0)
    if device == AUTO:
        return "cuda" if gpus else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and not gpus):
        raise StoreError(
            "no such device in the cluster", where=address, expected="auto, cpu, or cuda on GPUs", got=device
        )
    return device


def _seen(shards: Shards, name: str, wait: Callable[[float], None] = time.sleep) -> None:
    """Return when a shard that was written elsewhere is seen here."""
    until = time.monotonic() + LATEST
    while not shards.done(name):
        if time.monotonic() > until:
            raise StoreError(
                "a finished shard is not seen here",
                where=shards.folder,
                expected="a work folder that all machines of the cluster share",
                got=f"no {name} after {LATEST:.0f} s",
                next_step="set ATLAS_HOME to a shared folder on every machine",
            )
        wait(0.5)
