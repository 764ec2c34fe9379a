"""Small networks, a small image folder with ties in it, and passes over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import nn
from torchvision.models import VisionTransformer

from ingest.activations import ActivationJob, PassSpec, activation_pass
from ingest.images import ImageSet, scan_images
from ingest.layers import choose_layers
from ingest.models import VisionModel
from ingest.segments import Trace
from ingest.store import ActivationStore

SIZE = 32
IMAGES = 22


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, np.float32) / 255).permute(2, 0, 1)


@pytest.fixture(scope="session")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """22 images in two folders; three of each are different files of equal pixels, so that values tie."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for folder in ("cat", "dog"):
        (root / folder).mkdir()
        same = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        for n in range(IMAGES // 2):
            image = same if n >= IMAGES // 2 - 3 else rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
            note = PngImagePlugin.PngInfo()
            note.add_text("n", str(n))
            Image.fromarray(image).save(root / folder / f"{n}.png", pnginfo=note)
    return scan_images(root)


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 7, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(7, 9, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(9, 4),
    ).eval()


def transformer() -> nn.Module:
    torch.manual_seed(0)
    model = VisionTransformer(SIZE, 8, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=12, num_classes=4)
    nn.init.normal_(model.heads.head.weight)
    return model.eval()


def vision_model(module: nn.Module) -> VisionModel:
    trace = Trace(module, (3, SIZE, SIZE))
    return VisionModel(
        name="small",
        module=module,
        transform=pixels,
        transform_text="pixels",
        digest="0" * 64,
        source="random:0",
        categories=None,
        outputs=4,
        input_shape=(3, SIZE, SIZE),
        trace=trace,
    )


def job_of(images: ImageSet, module: nn.Module, globs: str | None = None, **spec: int) -> ActivationJob:
    model = vision_model(module)
    return ActivationJob(
        model, choose_layers(model, globs), images, PassSpec(**{"batch": 4, "shard": 8, **spec})
    )


@pytest.fixture(params=[convolutional, transformer], ids=["convolutional", "transformer"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """Each kind of network in turn."""
    module: nn.Module = request.param()
    return module


@pytest.fixture
def convolution() -> nn.Module:
    """A fresh convolutional network with two layers of 7 and 9 channels."""
    return convolutional()


@pytest.fixture
def make_job() -> Callable[..., ActivationJob]:
    """``make_job(images, module, globs=None, **spec)``."""
    return job_of


@pytest.fixture
def job(image_set: ImageSet) -> ActivationJob:
    return job_of(image_set, convolutional())


@pytest.fixture
def store(job: ActivationJob, tmp_path: Path) -> ActivationStore:
    return activation_pass(job, tmp_path / "store")


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """All files below a folder."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
