"""`atlas embed`: what a folder of images looks like to another model, for `atlas evaluate pure --embeddings`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli import console
from atlas.cli.answers import Quiet
from atlas.cli.jobs import Device, ImageSize, refuse_size_of_tower, square

if TYPE_CHECKING:
    from torch import Tensor


def embed(
    data: Annotated[Path, typer.Argument(help="Folder of images, the one that was ingested.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Vectors by image id, as .safetensors.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Name or package.module:factory of a model that gives a vector an image."
        ),
    ],
    weights: Annotated[
        str | None, typer.Option("--weights", help="Weights' name; with --clip a tag or a file.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Your weights: a state dict, .safetensors or torch.save."),
    ] = None,
    clip: Annotated[
        bool, typer.Option("--clip", help="The model is an image tower of open_clip (extra clip).")
    ] = False,
    image_size: ImageSize = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run another model (CLIP, DINOv2, your own) over a folder and keep its vectors by image id."""
    from safetensors.torch import save_file

    from atlas.store.files import disk_errors
    from ingest.builds import default_weights
    from ingest.clip import load_tower
    from ingest.devices import pick_device
    from ingest.experiments.embeddings import embed as embedded
    from ingest.images import common_size, scan_images
    from ingest.models import ModelSpec, load_model

    images, place = scan_images(data), pick_device(device)
    if clip:
        refuse_size_of_tower(image_size)
        visual, transform = load_tower(model, weights)
        forward = visual.to(place)
    else:
        if weights is None and checkpoint is None:
            weights = default_weights(model)
        spec = ModelSpec(model, weights, checkpoint, 0, place, square(image_size))
        loaded = load_model(spec, lambda: common_size(images.images))
        forward, transform = loaded.module, loaded.transform
    seen = 0
    with console.Progress(quiet=quiet) as progress:

        def counted(x: Tensor) -> Tensor:
            nonlocal seen
            vectors: Tensor = forward(x)
            seen += len(x)
            progress("images", seen, len(images.images))
            return vectors

        found = embedded(images, counted, transform, place)
    part = output.with_name(output.name + ".part")
    with disk_errors(output.parent):
        save_file(found, part)
        part.replace(output)
    width = len(next(iter(found.values())))
    console.note(f"{len(found):,} vectors of width {width} in {output}")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(embed)
