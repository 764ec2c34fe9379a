"""`atlas evaluate`: a method's claims, measured on this atlas."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsJson, Limit, OfModel
from atlas.cli.jobs import Device, opened
from atlas.errors import DataError


def evaluate(
    method: Annotated[
        str, typer.Argument(help="The method whose claims are measured: gcc, cla, gig or pure.")
    ] = "gcc",
    of: OfModel = None,
    queries: Annotated[
        int,
        typer.Option("--queries", min=2, help="Judging images to measure on; with pure, neurons a layer."),
    ] = 100,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings",
            help="With pure: vectors of all images by another model (CLIP, DINOv2), safetensors by image id, or .npy "
            "and the ids in a .txt beside it. Without it the model's own features stand in.",
        ),
    ] = None,
    as_json: AsJson = False,
    limit: Limit = None,
    device: Device = "auto",
) -> None:
    """Measure a method on this atlas, on images kept out of every list; the figures are stored as Evaluation."""
    from atlas import lookup, resolve
    from atlas.cli.jobs import folders
    from atlas.cli.load import load_all
    from atlas.spool import Spool
    from ingest.evaluation import evaluation_of

    measure = evaluation_of(method)
    if embeddings is not None:
        if method != "pure":
            raise DataError("embeddings are for pure", where=embeddings, expected="pure", got=method)
        from ingest.evaluation_pure import evaluate as judged

        measure = partial(judged, embeddings=embeddings)
    with answers.database() as connection:
        job, run = opened(connection, resolve.model(connection, of), method, device)
        with console.Progress() as progress:
            spool = Spool.open(measure(job, run.id, queries, folders(), progress))
        load_all([spool], connection, quiet=True)
        params: dict[str, Any] = {"run": spool.run.id, **answers.given(limit=limit)}
        answers.show(lookup.run(connection, "evaluations", params), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(evaluate)
