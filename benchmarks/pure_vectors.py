"""Circuit vectors of one ResNet-50 stage pair against the authors' procedure, forward and backward for every pair.

Neurons of layer4 seen from layer3, as in PURE (arXiv 2404.06453). Ours runs each image once and only the segment
between the two layers for each (image, neuron) pair. The peer does what the authors' code does: for each neuron a
batch of its references through the whole network, and back from the neuron to the input, the lower layer recorded.

How many neurons share an image decides: 2,048 neurons with 100 references each are at least 4 an image on the 50,000
of ImageNet's validation set, and at least 32 an image where there are 6,400. Both are measured between: 8, and 32.
Random weights; time does not depend on them.
"""

from __future__ import annotations

import statistics

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import BenchmarkError, Result, timed
from ingest.layers import choose_layers
from ingest.methods.pure import Lens, lenses, pair_vectors
from ingest.models import ModelSpec, VisionModel, load_model
from ingest.numerics.pure import EPSILON, VARIANTS

LAYERS = "layer3.5,layer4.2"
IMAGES, SHARED = 8, (8, 32)
PEERS, ROUNDS = 4, 3
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


def run() -> list[Result]:
    """Two results; target 8."""
    model = load_model(ModelSpec("resnet50", weights=f"random:{SEED}"))
    model.module.requires_grad_(False)
    lens = lenses(model.trace, choose_layers(model, LAYERS), "")[1]
    rng = np.random.default_rng(SEED)
    images = torch.from_numpy(rng.standard_normal((IMAGES, *model.input_shape)).astype(np.float32))
    return [
        measured(model, lens, images, np.sort(rng.choice(lens.upper.channels, count, replace=False)))
        for count in SHARED
    ]


def measured(model: VisionModel, lens: Lens, images: Tensor, neurons: np.ndarray) -> Result:
    """All images for all neurons; the peer on its first neurons, its time scaled."""
    mine, theirs = ours(model, lens, images, neurons)[:PEERS], literal(model, images, neurons[:PEERS])
    difference = float((mine - theirs).abs().max() / theirs.abs().max())
    if not difference <= TOLERANCE:
        raise BenchmarkError(f"pure_vectors: results differ by {difference:.3g}; nothing was timed")
    taken = []
    for _ in range(ROUNDS):
        own = timed(lambda: ours(model, lens, images, neurons))
        taken.append((own, timed(lambda: literal(model, images, neurons[:PEERS])) * len(neurons) / PEERS))
    ratios = [theirs / own for own, theirs in taken]
    return Result(
        name=f"pure_vectors_{len(neurons)}",
        ours=statistics.median(own for own, _ in taken),
        peer=statistics.median(theirs for _, theirs in taken),
        unit="s",
        target="ratio ≥ 8",
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=difference,
        pairs=ROUNDS,
        what=f"ResNet-50 layer3 → layer4, 224², {len(images)} images of {len(neurons)} neurons each; "
        f"{PEERS} neurons of the peer timed and scaled",
    )
