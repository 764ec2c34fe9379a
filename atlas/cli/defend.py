"""`atlas defend`: find the circuit of an attack, prune it, and see what is left of the attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.ablate import Kind
from atlas.cli.answers import AsJson, Quiet
from atlas.cli.jobs import Device, ImageSize, refuse_size_of_tower, square
from atlas.errors import DataError


def defend(
    model: Annotated[str, typer.Option("--model", help="torchvision classifier, or package.module:factory.")],
    clean: Annotated[Path, typer.Option("--clean", help="Clean images, one folder per class.")],
    attacked: Annotated[
        Path, typer.Option("--attacked", help="Attacked images, in folders of their TRUE class.")
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            help="What the attack is for: a class, a JSON file {path: class}, or /REGEX/ on the path with one group.",
        ),
    ],
    weights: Annotated[
        str | None, typer.Option("--weights", help="DEFAULT, a weights name, or random:SEED.")
    ] = None,
    clip_head: Annotated[
        Path | None,
        typer.Option(
            "--clip-head",
            help="Text embeddings (safetensors): --model is then an open_clip name, --weights its tag or file.",
        ),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Your weights.")] = None,
    image_size: ImageSize = None,
    layers: Annotated[
        str | None, typer.Option("--layers", help="Comma-separated globs on traced names.")
    ] = None,
    classes: Annotated[Path | None, typer.Option("--classes", help="Class names in output order.")] = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", help="JSON that says which half each path is in, and its sources."),
    ] = None,
    sizes: Annotated[
        str,
        typer.Option(
            "--sizes", help="Shares of each layer's channels to try, the smallest that works is taken."
        ),
    ] = "0.01,0.02,0.04,0.06,0.08,0.1",
    goal: Annotated[
        float,
        typer.Option("--goal", min=0, max=1, help="Attack success on the first half that is small enough."),
    ] = 0.1,
    scored: Annotated[
        int, typer.Option("--scored", min=1, help="Images of each kind to score circuits on.")
    ] = 20,
    kind: Annotated[Kind, typer.Option("--kind", help="How the circuit is cut.")] = Kind.circuit,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random sets of the same size.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find an attack's circuit on one half of the images, prune it, and measure on the other half.

    Prints attack success, accuracy to the true class of attacked images and accuracy of clean ones, untouched, with
    the circuit pruned, and with as many most activated or random neurons pruned. Needs no database.
    """
    from atlas.lookup import Table
    from ingest.builds import default_weights
    from ingest.clip import ClipSpec
    from ingest.devices import pick_device
    from ingest.experiments.attack import AttackSpec, prepare_case
    from ingest.experiments.defence import defence_rows
    from ingest.experiments.defence import defend as run
    from ingest.job import Sides, read_groups
    from ingest.models import ModelSpec

    clip = None
    if clip_head is not None:
        refuse_size_of_tower(image_size)
        clip = ClipSpec(model, weights or "openai", clip_head, pick_device(device))
    elif weights is None and checkpoint is None:
        weights = default_weights(model)
    spec = AttackSpec(
        model=ModelSpec(model, weights, checkpoint, seed, pick_device(device), square(image_size)),
        clean=clean,
        attacked=attacked,
        targets=target,
        layers=layers,
        classes=classes,
        sides=Sides() if groups is None else read_groups(groups),
        sizes=_shares(sizes),
        goal=goal,
        scored=scored,
        kind=kind.value,
        draws=draws,
        seed=seed,
        clip=clip,
    )
    with console.Progress(quiet=quiet) as progress:
        found = run(prepare_case(spec), progress)
    rows = tuple(defence_rows(found))
    params = {"size": found.size, "tried": {str(size): success for size, success in found.tried.items()}}
    answers.show(Table("defend", params, tuple(rows[0]), rows), as_json=as_json)


def _shares(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = ()
    if not found or not all(0 < share <= 1 for share in found):
        raise DataError("not shares of a layer", where=text, expected="numbers in (0, 1], comma-separated")
    return found


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(defend)
