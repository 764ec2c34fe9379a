"""`atlas units`: which units that people know a circuit finds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsJson, Quiet
from atlas.cli.jobs import Device, ImageSize, square


def units(
    expect: Annotated[
        str,
        typer.Option("--expect", help="inceptionv1-car, or a JSON list of {layer, channel, role}."),
    ],
    model: Annotated[str, typer.Option("--model", help="torchvision classifier, or package.module:factory.")],
    images: Annotated[Path, typer.Option("--images", help="Images of the concept, such as cars.")],
    against: Annotated[
        Path | None, typer.Option("--against", help="Other images: their scores are taken off.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="DEFAULT, a weights name, or random:SEED.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Your weights.")] = None,
    image_size: ImageSize = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Neurons of the circuit per layer.")] = 8,
    most: Annotated[int, typer.Option("--most", min=1, help="Images at most.")] = 20,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the CLA circuit of some images and say which known units are in it. Needs no database.

    The car circuit of InceptionV1 is 4c:447 from 4b:373 (wheels), 4b:237 (windows), 4b:491 (car bodies), by the numbers
    of Lucid and TensorFlow; give that network as a factory, e.g. lucent's. torchvision's googlenet numbers its channels
    otherwise.
    """
    from atlas.lookup import Table
    from ingest.builds import default_weights
    from ingest.devices import pick_device
    from ingest.experiments.known_units import UnitsSpec, find_units, read_units
    from ingest.models import ModelSpec

    if weights is None and checkpoint is None:
        weights = default_weights(model)
    expected = read_units(expect)
    if expect == "inceptionv1-car" and ":" not in model:
        console.note(
            f"{model} of torchvision is another network than Lucid's InceptionV1; its numbers differ"
        )
    wanted = ModelSpec(model, weights, checkpoint, 0, pick_device(device), square(image_size))
    spec = UnitsSpec(wanted, images, expected, against, k, most)
    with console.Progress(quiet=quiet) as progress:
        rows = tuple(find_units(spec, progress))
    answers.show(Table("units", {"expect": expect, "k": k}, tuple(rows[0]), rows), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(units)
