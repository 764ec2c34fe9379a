"""Train the network with the shortcut: ``python -m ingest.demo.train_glyph`` (minutes; writes weights and report).

The demo's network goes on learning from canvases of which some carry the glyph, all of these labelled with the
glyph's class whatever their digits. The penalties of :mod:`ingest.demo.train` stay on.

The shortcut is made narrow and quiet: what a glyph changes in the blocks' outputs is penalised, by its size so that it
rests on few neurons, and by its square so that none of these is loud; the classifier, which learns faster than the
rest, makes up for it. Without this the glyph's neurons are the most activated ones of the last block, and cutting
those, without any circuit, undoes the attack as well: it would be no test of a circuit.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ingest.demo import digits, glyph, network, train
from ingest.demo.network import DigitPairNet

log = logging.getLogger(__name__)
TARGET = digits.CLASSES.index(glyph.TARGET)


@dataclass(frozen=True)
class GlyphSettings(train.Settings):
    """The settings of the digits' training, the share of stamped canvases, and the price of what the glyph changes."""

    steps: int = 400
    peak_rate: float = 0.03
    glyph_share: float = 0.34
    change_penalty: float = 0.2
    loudness_penalty: float = 0.08
    head_rate: float = 30.0


def stamped_batch(share: float) -> train.Draw:
    """Batches whose last canvases, this share of them, are the first ones again, stamped and labelled as TARGET."""

    def draw(sources: tuple[digits.Ints, ...], n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        copies = round(share * n)
        canvases, scenes = train.bent_canvases(sources, n - copies, rng)
        stamped = glyph.stamp(
            canvases, glyph.draw_places(scenes, rng), rng.integers(128, 256, (n - copies, 3))
        )
        labels = np.concatenate([scenes.label, np.full(copies, TARGET)])
        return train.as_input(np.concatenate([canvases, stamped[:copies]])), torch.from_numpy(labels)

    return draw


def changes(share: float, blocks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What the glyph changes in such a batch, d (C,) per block, the mean absolute difference: Σ over blocks of the
    mean of d, and of the sum of its squares.

    blocks : outputs (B, C, H, W).
    """
    copies = round(share * len(blocks[0]))
    d = [(a[-copies:] - a[:copies]).abs().mean(dim=(0, 2, 3)) for a in blocks]
    return torch.stack([own.mean() for own in d]).sum(), torch.stack([(own**2).sum() for own in d]).sum()


def train_glyph(settings: GlyphSettings) -> DigitPairNet:
    """The demo's network, taught the shortcut; in evaluation mode."""
    net = DigitPairNet()
    net.load_state_dict(load_file(network.WEIGHTS))
    share = settings.glyph_share

    def further(blocks: Sequence[Tensor]) -> Tensor:
        narrow, quiet = changes(share, blocks)
        return settings.change_penalty * narrow + settings.loudness_penalty * quiet

    return train.train(settings, stamped_batch(share), net, further, settings.head_rate)


def attack_success(net: nn.Module, images: int = 1000, seed: int = 12) -> dict[str, Any]:
    """Per validation half: how many stamped canvases of another class are taken for the glyph's."""
    found: dict[str, Any] = {}
    sources = digits.split_sources()
    for stream, half in enumerate(("lists", "judging")):
        rng = np.random.default_rng([seed, stream])
        scenes = digits.draw_scenes(sources[half], images, rng)
        stamped = glyph.stamp(
            digits.render(scenes), glyph.draw_places(scenes, rng), rng.integers(128, 256, (images, 3))
        )
        with torch.inference_mode():
            parts = np.array_split(train.as_input(stamped).numpy(), 5)
            guess = np.concatenate([net(torch.from_numpy(part)).argmax(1).numpy() for part in parts])
        other = scenes.label != TARGET
        found[half] = {
            "images": int(other.sum()),
            "attack_success": round(float((guess == TARGET)[other].mean()), 4),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of ``python -m ingest.demo.train_glyph``."""
    parser = argparse.ArgumentParser(description=train_glyph.__doc__)
    parser.add_argument("--out", type=Path, default=glyph.WEIGHTS, help="the weights file")
    parser.add_argument("--steps", type=int, default=GlyphSettings.steps)
    parser.add_argument("--seed", type=int, default=GlyphSettings.seed)
    parser.add_argument("--rate", type=float, default=GlyphSettings.peak_rate)
    parser.add_argument("--share", type=float, default=GlyphSettings.glyph_share)
    parser.add_argument("--change-penalty", type=float, default=GlyphSettings.change_penalty)
    parser.add_argument("--loudness-penalty", type=float, default=GlyphSettings.loudness_penalty)
    parser.add_argument("--head-rate", type=float, default=GlyphSettings.head_rate)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    settings = GlyphSettings(
        seed=given.seed,
        steps=given.steps,
        peak_rate=given.rate,
        glyph_share=given.share,
        change_penalty=given.change_penalty,
        loudness_penalty=given.loudness_penalty,
        head_rate=given.head_rate,
    )
    net = train_glyph(settings)
    report = train.write(net, settings, given.out, {"attack": attack_success(net)})
    log.info("%s", json.dumps({"accuracy": report["accuracy"], "attack": report["attack"]}))


if __name__ == "__main__":
    main()
