"""Which units that people found by hand a circuit finds: the car circuit of InceptionV1, or any list of units.

Notation: L layers, those of the expected units in order of execution; CLA scores between them averaged over the images
given, less those of images to set them against where there are any, clipped at zero.

The car detector 4c:447 is built from 4b:373 (wheels), 4b:237 (windows) and 4b:491 (car bodies): Olah et al. 2020, Zoom
In: An Introduction to Circuits. Numbers are channels of the concatenated outputs ``mixed4b`` and ``mixed4c`` of the
InceptionV1 of Lucid and TensorFlow (in PyTorch: lucent's ``inceptionv1``). torchvision's ``googlenet`` was trained
anew, and its channels are others: 4c:447 there is no car detector.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.images import ImageBatches, common_size, scan_images
from ingest.layers import LayerSpec, choose_layers
from ingest.methods.cla import chain_scores, scope_scores
from ingest.methods.cla_job import make_links
from ingest.models import ModelSpec, VisionModel, load_model
from ingest.numerics.cla_circuit import contrasted, find_circuit, layer_sizes, two_sided

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Unit:
    """A channel that is expected, and what it is said to be."""

    layer: str
    channel: int
    role: str = ""


CAR: tuple[Unit, ...] = (
    Unit("mixed4b", 373, "wheels"),
    Unit("mixed4b", 237, "windows"),
    Unit("mixed4b", 491, "car bodies"),
    Unit("mixed4c", 447, "cars"),
)
KNOWN: Mapping[str, tuple[Unit, ...]] = {"inceptionv1-car": CAR}


@dataclass(frozen=True)
class UnitsSpec:
    """What is asked: which units, in circuits of these images (against others), of k neurons per layer."""

    model: ModelSpec
    images: Path
    expected: tuple[Unit, ...]
    against: Path | None = None
    k: int = 8
    most: int = 20
    batch: int = 16
    chunk_bytes: int = 256 * 2**20


def read_units(text: str) -> tuple[Unit, ...]:
    """Expected units: a name of :data:`KNOWN`, or a JSON list of {"layer", "channel", "role"}.

    Raises DataError for anything else, or units of fewer than two layers.
    """
    if text in KNOWN:
        return KNOWN[text]
    try:
        told = json.loads(Path(text).read_text(encoding="utf-8"))
        found = tuple(Unit(str(u["layer"]), int(u["channel"]), str(u.get("role", ""))) for u in told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "not a list of units",
            where=text,
            expected=f'{", ".join(KNOWN)}, or JSON [{{"layer": …, "channel": …, "role": …}}]',
            got=type(error).__name__,
        ) from error
    if len({unit.layer for unit in found}) < 2:
        raise DataError("units of one layer make no circuit", where=text, expected="two layers or more")
    return found


def find_units(spec: UnitsSpec, progress: Progress) -> list[dict[str, Any]]:
    """One row per expected unit: layer, channel, role, channels of the layer, rank by score with the circuit's members
    in the neighbouring layers, whether the circuit of k holds it, and the smallest size tried that does (else null).

    Raises ModelError for a layer that is none, DataError for a channel that is none.
    """
    model = load_model(spec.model, lambda: common_size(scan_images(spec.images).images))
    layers = choose_layers(model, ",".join(dict.fromkeys(unit.layer for unit in spec.expected)))
    ordinals = {layer.name: n for n, layer in enumerate(layers)}
    for unit in spec.expected:
        if unit.channel >= layers[ordinals[unit.layer]].channels:
            raise DataError(
                "the layer has no such channel",
                where=f"{unit.layer}:{unit.channel}",
                expected=f"< {layers[ordinals[unit.layer]].channels}",
                next_step="are these the numbers of this model? see docs/methods/interventions.md",
            )
    chain = _chain(spec, model, layers, progress)
    widths = [layer.channels for layer in layers]
    own = find_circuit(chain, layer_sizes(widths, spec.k)).members
    at_size = {size: find_circuit(chain, layer_sizes(widths, size)).members for size in SIZES}
    rows = []
    for unit in spec.expected:
        at = ordinals[unit.layer]
        order = np.argsort(-two_sided(chain, own, at), kind="stable").tolist()
        rows.append(
            {
                "layer": unit.layer,
                "unit": unit.channel,
                "role": unit.role,
                "channels": widths[at],
                "rank": order.index(unit.channel) + 1,
                "found": unit.channel in own[at],
                "smallest_k": next(
                    (k for k, members in at_size.items() if unit.channel in members[at]), None
                ),
            }
        )
    return rows


def _chain(
    spec: UnitsSpec, model: VisionModel, layers: Sequence[LayerSpec], progress: Progress
) -> list[Array]:
    links = make_links(model.trace, layers)
    means = []
    for name, folder in (("images", spec.images), ("against", spec.against)):
        if folder is None:
            continue
        scores = scope_scores(
            model.trace,
            links,
            _batches(spec, model, folder),
            spec.chunk_bytes,
            lambda done, name=name: progress(f"scores, {name}", done, spec.most),  # type: ignore[misc]
        )
        means.append([mean.astype(np.float64) for mean in scores.means])
    if len(means) == 1:
        return chain_scores(links, means[0], len(layers))
    contrast = [contrasted(a, a + b, 2) for a, b in zip(*means, strict=True)]
    return chain_scores(links, contrast, len(layers))


def _batches(spec: UnitsSpec, model: VisionModel, folder: Path) -> Iterator[Tensor]:
    images = scan_images(folder)
    places = np.linspace(0, len(images.images) - 1, min(spec.most, len(images.images))).round().astype(int)
    rows = list(dict.fromkeys(places.tolist()))
    for _, x in ImageBatches(images, model.transform, batch=spec.batch, indices=rows):
        yield x.to(spec.model.device)
