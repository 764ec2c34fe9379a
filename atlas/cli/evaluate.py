"""`atlas evaluate`: a method's claims, measured on this atlas."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsJson, Limit, OfModel, Quiet
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
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="SOURCE:TARGET",
            help="With gig: two layers for the curves from layer to layer; may be given several times. Without it "
            "adjacent layers and those two apart.",
        ),
    ] = None,
    as_json: AsJson = False,
    limit: Limit = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a method on this atlas, on images kept out of every list; the figures are stored as Evaluation."""
    from atlas import lookup, resolve
    from atlas.cli.jobs import folders
    from atlas.cli.load import load_all
    from atlas.spool import Spool
    from ingest.evaluation import evaluation_of

    measure = evaluation_of(method)
    given: dict[str, Any] = {}
    if embeddings is not None:
        _only("pure", method, "embeddings")
        given["embeddings"] = embeddings
    if pairs:
        _only("gig", method, "pairs of layers")
        given["pairs"] = [_pair(text) for text in pairs]
    if given:
        measure = partial(measure, **given)
    with answers.database() as connection:
        job, run = opened(connection, resolve.model(connection, of), method, device)
        with console.Progress(quiet=quiet) as progress:
            spool = Spool.open(measure(job, run.id, queries, folders(), progress))
        load_all([spool], connection, quiet=True)
        params: dict[str, Any] = {"run": spool.run.id, **answers.given(limit=limit)}
        answers.show(lookup.run(connection, "evaluations", params), as_json=as_json)


def _only(owner: str, method: str, what: str) -> None:
    if method != owner:
        raise DataError(f"{what} are for {owner}", expected=owner, got=method)


def _pair(text: str) -> tuple[str, str]:
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise DataError("not a pair of layers", expected="SOURCE:TARGET, such as layer1.0:layer4.1", got=text)
    return source, target


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(evaluate)
