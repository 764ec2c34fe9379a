"""CLIP-like classifiers: a tiny random image tower with a head from a file, in the defence as any other model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer

from atlas.errors import ModelError
from ingest.clip import ClipSpec, assemble, load_clip, load_tower, read_head
from ingest.demo.network import SquareImage
from ingest.experiments import attack
from ingest.experiments.attack import AttackSpec, prepare_case
from ingest.experiments.defence import defend
from ingest.models import ModelSpec

CLASSES = ("cat", "dog", "fish")


def tower() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        visual = VisionTransformer(
            image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=3
        )
        visual.heads = nn.Linear(16, 12)
    return visual


@pytest.fixture
def head(tmp_path):
    path = tmp_path / "head.safetensors"
    text = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    save_file(
        {"text_features": text, "logit_scale": torch.tensor(20.0)}, path, {"classes": json.dumps(CLASSES)}
    )
    return path


def test_logits_are_scaled_cosines(head) -> None:
    visual = tower().eval()
    model = assemble(ClipSpec("tiny", "random", head), visual, SquareImage(16), read_head(head))
    x = torch.rand(4, 3, 16, 16)
    text = read_head(head).text
    with torch.no_grad():
        expected = 20 * torch.nn.functional.cosine_similarity(visual(x)[:, None], text[None], dim=-1)
    torch.testing.assert_close(model.trace.values(x, ["output"])["output"], expected, rtol=1e-4, atol=1e-4)
    assert model.categories == CLASSES
    assert model.outputs == 3


def test_defence_takes_it(head, tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    for side in ("clean", "attacked"):
        for name in CLASSES:
            (tmp_path / side / name).mkdir(parents=True)
            for n in range(6):
                pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / side / name / f"{n}.png")
    monkeypatch.setattr(
        attack, "load_clip", lambda spec: assemble(spec, tower(), SquareImage(16), read_head(spec.head))
    )
    case = prepare_case(
        AttackSpec(
            ModelSpec("tiny"),
            tmp_path / "clean",
            tmp_path / "attacked",
            "cat",
            layers="*mlp.1",
            sizes=(0.1,),
            scored=2,
            draws=1,
            clip=ClipSpec("tiny", "random", head),
        )
    )
    found = defend(case, lambda *_: None)
    assert {layer for layer, _ in found.nodes} == {0, 1}
    assert found.channels <= 0.13  # ⌈.1 · 24⌉ of 24
    assert {m.settings["cut"] for m in found.measures} == {"none", "circuit", "top", "random"}


def test_refusals(head, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ModelError, match=r"pip install 'circuit-atlas\[clip\]'"):
        load_clip(ClipSpec("ViT-B-32", "openai", head))
    with pytest.raises(ModelError, match="not a zero-shot head"):
        read_head(tmp_path / "none.safetensors")
    save_file(
        {"text_features": torch.ones(2, 12)}, tmp_path / "few.safetensors", {"classes": json.dumps(CLASSES)}
    )
    with pytest.raises(ModelError, match="do not fit"):
        read_head(tmp_path / "few.safetensors")
    visual = tower()
    visual.heads = nn.Identity()
    with pytest.raises(ModelError, match="another tower"):
        assemble(ClipSpec("tiny", "random", head), visual, SquareImage(16), read_head(head))


def test_an_image_tower_of_open_clip_gives_vectors(tmp_path: Path) -> None:
    """A tiny one of random weights, under a name of its own; nothing is downloaded."""
    import open_clip

    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-for-tests.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    visual, transform = load_tower("tiny-for-tests", None)
    x = transform(Image.new("RGB", (40, 30), (200, 10, 60))).unsqueeze(0)
    assert visual(x).shape == (1, 8)
    with pytest.raises(ModelError, match="cannot load"):
        load_tower("no-such-tower", None)
