"""The activation pass over all blocks of ResNet-50 against the bare forward pass on the same images.

Ours decodes the files, runs the traced network, pools every block, writes and flushes the store. The peer is
given the images decoded and only runs the network. Random weights; time does not depend on them.
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.harness import Case, Result, compare
from ingest.activations import ActivationJob, PassSpec, activation_pass
from ingest.images import ImageBatches, ImageSet, scan_images
from ingest.layers import choose_layers, to_units
from ingest.models import ModelSpec, load_model
from ingest.store import ActivationStore

IMAGES = 64
BATCH = 16
SIDE = 256


def make_images(root: Path) -> ImageSet:
    """Seeded, smooth colour images as JPEG files of ImageNet's usual size."""
    rng = np.random.default_rng(0)
    (root / "one").mkdir()
    for n in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(root / "one" / f"{n:03d}.jpg", quality=90)
    return scan_images(root)


def literal_difference(job: ActivationJob, store: ActivationStore, batch: Tensor) -> float:
    """Largest relative difference of the first batch's stored activations from hooks and a full sort."""
    found: dict[str, Tensor] = {}
    handles = [
        job.model.module.get_submodule(layer.name).register_forward_hook(
            lambda module, inputs, out, layer=layer: found.__setitem__(
                layer.name, to_units(out, layer).clone()
            )
        )
        for layer in job.layers
    ]
    job.model.module(batch)
    for handle in handles:
        handle.remove()
    worst = 0.0
    for layer in job.layers:
        units = found[layer.name].double().sort(dim=-1, descending=True).values
        literal = units[..., : max(1, int(0.1 * layer.positions))].mean(dim=-1)
        ours = torch.from_numpy(np.array(store.pooled(layer.name)[: len(batch)]))
        worst = max(worst, float((ours - literal).abs().max() / literal.abs().max()))
    return worst


@torch.inference_mode()
def run() -> Result:
    """One result; ratio ≥ 0.667 is the target of at most 1.5 times the bare forward pass."""
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(ModelSpec("resnet50", weights="random:0"))
        (Path(folder) / "images").mkdir()
        images = make_images(Path(folder) / "images")
        job = ActivationJob(model, choose_layers(model, None), images, PassSpec(batch=BATCH, shard=IMAGES))
        decoded = ImageBatches(images, model.transform, batch=BATCH, indices=range(IMAGES))
        batches = [batch for _, batch in decoded]
        number = count()

        def ours() -> ActivationStore:
            return activation_pass(job, Path(folder) / f"store{next(number)}")

        def peer() -> Tensor:
            return torch.cat([model.module(batch) for batch in batches])

        def difference(store: ActivationStore, logits: Tensor) -> float:
            stored = torch.from_numpy(np.array(store.logits))
            apart = float((stored - logits).abs().max() / logits.abs().max())
            return max(apart, literal_difference(job, store, batches[0]))

        case = Case(
            name="activation_pass",
            target="ratio ≥ 0.667 (≤ 1.5 × the bare forward pass)",
            what=f"ResNet-50, 224², {len(job.layers)} blocks, {IMAGES} images; only ours decodes and writes",
            difference=difference,
            tolerance=1e-5,
            amount=IMAGES,
            unit="s per image",
        )
        return compare(case, ours, peer)
