"""`atlas catfish`: compositional classes from any folder of images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from atlas.cli import console
from atlas.cli.answers import Quiet


class Background(StrEnum):
    """The colour between the two images."""

    imagenet = "imagenet"
    mean = "mean"


def catfish(
    source: Annotated[Path, typer.Argument(help="Folder of images, one folder per class.")],
    out: Annotated[Path, typer.Argument(help="Where to write train/, val/ and val.json.")],
    bases: Annotated[int, typer.Option("--bases", min=3, help="Base classes, drawn from the folders.")] = 10,
    each: Annotated[int, typer.Option("--each", min=1, help="Canvases per class in each split.")] = 50,
    train_share: Annotated[
        float, typer.Option("--train-share", min=0, max=0.9, help="Share of the source images that train.")
    ] = 0.5,
    background: Annotated[
        Background, typer.Option("--background", help="ImageNet's mean colour, or that of the two images.")
    ] = Background.imagenet,
    seed: Annotated[int, typer.Option("--seed", help="Seed of pairs, splits and places.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Put pairs of images on one canvas: classes made of known parts, as in CatFish.

    Train a network on OUT/train; then `atlas ingest --data OUT/val --groups OUT/val.json`.
    """
    from ingest.experiments.catfish import CatFishSpec, write_catfish

    with console.Progress(quiet=quiet) as progress:
        spec = CatFishSpec(bases, each, train_share, background.value, seed)
        groups = write_catfish(source, out, spec, progress)
    console.answer(str(groups))


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(catfish)
