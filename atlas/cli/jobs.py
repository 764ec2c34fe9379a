"""The job behind a run of the atlas, opened again: what a command starts from that runs the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.errors import StoreError

if TYPE_CHECKING:
    from atlas.store.connection import Connection
    from atlas.store.runs import RunInfo
    from ingest.plan import Folders
    from ingest.reopen import Opened

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        min=1,
        help="Side in px of the model's square input, if not its weights' own; needs a model that takes several.",
    ),
]


def square(side: int | None) -> tuple[int, int] | None:
    """Height and width of an input of this side, as a model is asked for it."""
    return None if side is None else (side, side)


def refuse_size_of_tower(side: int | None) -> None:
    """Raise BadParameter if another input size is asked of a CLIP tower."""
    if side is not None:
        raise typer.BadParameter("--image-size: a CLIP tower takes images of its own size")


def complete_run(connection: Connection, model: str, method: str) -> RunInfo:
    """The live run of a method on a model. Raises StoreError if there is none, or it is not complete."""
    from atlas.store.runs import COMPLETE, list_runs

    runs = [run for run in list_runs(connection) if run.model == model and run.method == method]
    if not runs or runs[0].status != COMPLETE:
        raise StoreError(
            f"no complete run of {method} on this model",
            where=model,
            next_step=f"`atlas ingest --methods {method}` with the same model and data",
        )
    return runs[0]


def opened(connection: Connection, model: str, method: str, device: str = "auto") -> tuple[Opened, RunInfo]:
    """The job of that run, opened again, and the run."""
    from ingest.devices import pick_device
    from ingest.reopen import open_stage

    run = complete_run(connection, model, method)
    return open_stage(folders().work, run.facts, method, pick_device(device)), run


def folders(spool: Path | None = None) -> Folders:
    """The folders of jobs under ATLAS_HOME."""
    from atlas.store.settings import load_settings
    from ingest.plan import Folders

    home = load_settings().atlas_home
    return Folders(home / "work", spool or home / "spools", home / "media")
