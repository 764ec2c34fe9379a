"""The demo's network: named, wide, traceable, small on disk, and as accurate as its report says."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from ingest.demo import digits, network, train
from ingest.layers import choose_layers
from ingest.models import ModelSpec, load_model

FACTORY = "ingest.demo.network:digit_pairs"
REPORT = json.loads(network.WEIGHTS.with_suffix(".json").read_text())


def trained() -> nn.Module:
    net, _ = network.digit_pairs()
    net.load_state_dict(load_file(network.WEIGHTS))
    return net.eval().requires_grad_(False)


def test_default_layers_are_the_blocks_and_wide() -> None:
    model = load_model(ModelSpec(model=FACTORY, checkpoint=network.WEIGHTS))
    layers = choose_layers(model, None)
    assert [layer.name for layer in layers] == [f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)]
    assert [layer.channels for layer in layers] == [c for n, c, _, _ in network.STAGES for _ in range(n)]
    assert sum(layer.channels for layer in layers) >= 2000
    assert model.outputs == len(digits.CLASSES)
    assert model.input_shape == (3, 64, 64)
    assert model.transform_text == "SquareImage(64)"


def test_block_is_its_literal_formula() -> None:
    block = trained().get_submodule("layer2.0").double()
    x = torch.rand(2, 128, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def norm(y: torch.Tensor, bn: nn.Module) -> torch.Tensor:
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return (y - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]

    inside = torch.einsum("oc,bchw->bohw", block.conv1.weight[:, :, 0, 0], x)
    inside = norm(inside, block.bn1).clamp(min=0)
    padded = nn.functional.pad(inside, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
    inside = norm(torch.einsum("ocij,bchwij->bohw", block.conv2.weight, padded), block.bn2).clamp(min=0)
    out = norm(torch.einsum("oc,bchw->bohw", block.conv3.weight[:, :, 0, 0], inside), block.bn3)
    conv, bn = block.downsample
    short = norm(torch.einsum("oc,bchw->bohw", conv.weight[:, :, 0, 0], x[:, :, ::2, ::2]), bn)
    torch.testing.assert_close(block(x), (out + short).clamp(min=0), rtol=1e-9, atol=1e-9)


def test_weights_are_small_and_the_reported_ones() -> None:
    assert network.WEIGHTS.stat().st_size <= 5 * 2**20
    assert hashlib.sha256(network.WEIGHTS.read_bytes()).hexdigest() == REPORT["sha256"]
    assert sum(p.numel() for p in trained().parameters()) == REPORT["parameters"]


def test_reported_accuracy_is_measured_again() -> None:
    torch.set_num_threads(1)
    for half, again in train.measure(trained()).items():
        told = REPORT["accuracy"][half]
        assert abs(again["accuracy"] - told["accuracy"]) <= 0.002  # another machine may round a tie otherwise
        assert told["low"] <= told["accuracy"] <= told["high"]
        assert told["accuracy"] >= 0.98
        assert told["images"] >= 1000


def test_files_and_memory_give_the_same_input() -> None:
    scenes = digits.draw_scenes(digits.split_sources()["lists"], 2, np.random.default_rng(0))
    canvas = digits.render(scenes)
    transform = network.SquareImage(64)
    for pixels, tensor in zip(canvas, train.as_input(canvas), strict=True):
        assert torch.equal(transform(Image.fromarray(pixels)), tensor)
    assert transform(Image.new("L", (30, 50))).shape == (3, 64, 64)


def test_contrast_and_background_do_not_change_the_answer() -> None:
    net = trained()
    scenes = digits.draw_scenes(digits.split_sources()["lists"], 4, np.random.default_rng(1))
    x = train.as_input(digits.render(scenes))
    torch.testing.assert_close(net(x * 0.6 + 0.1), net(x), rtol=0.05, atol=0.3)


def test_training_learns_and_repeats_itself() -> None:
    settings = train.Settings(steps=3, batch=8)
    first, second = (train.train(settings).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    untrained = network.DigitPairNet().state_dict()
    assert not torch.equal(first["layer1.0.bn1.running_mean"], untrained["layer1.0.bn1.running_mean"])


def test_bent_digits_stay_digits() -> None:
    patches = torch.from_numpy(digits.ink()[:50].astype(np.float32))
    bent = train.bend(patches, np.random.default_rng(0))
    assert bent.shape == patches.shape
    assert bent.min() >= 0
    assert bent.max() <= digits.INK + 1e-3
    alike = torch.corrcoef(torch.stack([patches.flatten(), bent.flatten()]))[0, 1]
    assert 0.5 < alike < 0.999
