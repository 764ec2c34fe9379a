"""Circuit vectors of one ResNet-50 stage pair against the authors' procedure, forward and backward for every pair.

Neurons of layer4 seen from layer3, as in PURE (arXiv 2404.06453). Ours runs each image once and only the segment
between the two layers for each (image, neuron) pair. The peer does what the authors' code does: for each neuron a
batch of its references through the whole network, and back from the neuron to the input, the lower layer recorded.

2,048 neurons with 100 references on the 50,000 images of ImageNet's validation set are at least 4 neurons an image;
on fewer images more. Random weights; time does not depend on them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Case, Result, compare
from ingest.layers import choose_layers
from ingest.methods.pure import Lens, lenses, pair_vectors
from ingest.models import ModelSpec, VisionModel, load_model
from ingest.numerics.pure import EPSILON, VARIANTS

LAYERS = "layer3.5,layer4.2"
IMAGES, NEURONS = 8, 8
CHUNK = 256 * 2**20
TOLERANCE = 1e-4
SEED = 0


def ours(model: VisionModel, lens: Lens, images: Tensor, neurons: np.ndarray) -> Tensor:
    """(neurons, images, C_lo)."""

    def loader(rows: list[int]) -> list[tuple[list[int], Tensor]]:
        return [(rows, images[rows])]

    rows = np.tile(np.arange(len(images)), len(neurons))
    pairs = (rows, np.repeat(neurons, len(images)))
    (found,) = pair_vectors(lens, model.trace, loader, pairs, [VARIANTS["pure"]], CHUNK)  # type: ignore[arg-type]
    return found.view(len(neurons), len(images), -1)


def literal(model: VisionModel, images: Tensor, neurons: np.ndarray) -> Tensor:
    """The same, neuron by neuron; parameters need no gradients, which spares the peer their cost."""
    kept: dict[str, Tensor] = {}
    hooks = [
        model.module.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: kept.update({name: out})
        )
        for name in LAYERS.split(",")
    ]
    found = []
    try:
        for k in neurons.tolist():
            x = images.clone().requires_grad_(True)
            model.module(x)
            lower, upper = (kept[name] for name in LAYERS.split(","))
            half = (upper[:, k].clamp(min=0) ** 2).sum() / 2
            gradient, _ = torch.autograd.grad(half, (lower, x))
            r = (lower * gradient).sum((2, 3)).detach()
            found.append(r / (r.abs().sum(1, keepdim=True) + EPSILON))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found)


def run() -> Result:
    """One result; target 8."""
    model = load_model(ModelSpec("resnet50", weights=f"random:{SEED}"))
    model.module.requires_grad_(False)
    lens = lenses(model.trace, choose_layers(model, LAYERS), "")[1]
    rng = np.random.default_rng(SEED)
    images = torch.from_numpy(rng.standard_normal((IMAGES, *model.input_shape)).astype(np.float32))
    neurons = np.sort(rng.choice(lens.upper.channels, NEURONS, replace=False)).astype(np.int64)
    case = Case(
        name="pure_vectors",
        target="ratio ≥ 8",
        what=f"ResNet-50 layer3 → layer4, 224², {IMAGES} images of {NEURONS} neurons each",
        difference=lambda mine, theirs: float((mine - theirs).abs().max() / theirs.abs().max()),
        tolerance=TOLERANCE,
        pairs=3,
    )
    return compare(case, lambda: ours(model, lens, images, neurons), lambda: literal(model, images, neurons))
