"""Train the demo's network: ``python -m ingest.demo.train`` (minutes on two cores; writes weights and measurement).

Canvases are drawn on the fly from the training sources only; each digit is bent a little, so that 1,195 source
digits do not get learnt by heart. A penalty on the mean block activations makes neurons fire for few images: a
neuron's best images then say what it is for, which is what GCC's lists read. A second one, on how unequally the
images excite a layer, keeps a few odd digits from filling the lists of all neurons.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file
from torch import Tensor, nn

from ingest.demo import digits
from ingest.demo.network import WEIGHTS, Bottleneck, DigitPairNet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the weights depend on, beside the code and the library versions."""

    seed: int = 0
    steps: int = 800
    batch: int = 64
    peak_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    activation_penalty: float = 0.4
    inequality_penalty: float = 0.1
    penalty_ramp: float = 0.3


def bend(patches: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn, shear, scale and shift each patch a little at random; patches (m, 24, 24) → the same shape."""
    turn, shear, wide, high, right, down = (
        torch.from_numpy(rng.uniform(-s, s, len(patches)).astype(np.float32))
        for s in (0.2, 0.15, 0.12, 0.12, 0.12, 0.10)
    )
    row_x = torch.stack([turn.cos() * (1 + wide), shear - turn.sin(), right], dim=1)
    row_y = torch.stack([turn.sin(), turn.cos() * (1 + high), down], dim=1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), [len(patches), 1, 24, 24], align_corners=False)
    bent: Tensor = F.grid_sample(patches[:, None], grid, align_corners=False)[:, 0]
    return bent


def penalties(blocks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Σ over blocks of the mean activation, and of the squared coefficient of variation of the images' means.

    blocks : outputs (B, C, H, W), ≥ 0.
    """
    means = torch.stack([a.mean(dim=(1, 2, 3)) for a in blocks])
    mean = means.mean(dim=1)
    return mean.sum(), (means.var(dim=1, correction=0) / (mean**2 + 1e-12)).sum()


def as_input(canvases: digits.Bytes) -> Tensor:
    """Canvases (n, 64, 64, 3) uint8 → (n, 3, 64, 64) float32 in [0, 1], as the network's transform gives them."""
    return torch.from_numpy(canvases.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def training_batch(
    sources: tuple[digits.Ints, ...], n: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """n fresh canvases with bent digits, and their labels."""
    canvases, scenes = bent_canvases(sources, n, rng)
    return as_input(canvases), torch.from_numpy(scenes.label)


def bent_canvases(
    sources: tuple[digits.Ints, ...], n: int, rng: np.random.Generator
) -> tuple[digits.Bytes, digits.Scenes]:
    """n fresh canvases (n, 64, 64, 3) with bent digits, and what stands on them."""
    scenes = digits.draw_scenes(sources, n, rng)
    patches = torch.from_numpy(digits.ink()[scenes.source].reshape(-1, 24, 24).astype(np.float32))
    drawn = bend(patches, rng).round().numpy().astype(np.int64).reshape(n, 2, 24, 24)
    return digits.render(scenes, drawn), scenes


Draw = Callable[[tuple[digits.Ints, ...], int, np.random.Generator], tuple[Tensor, Tensor]]
"""Sources per digit, how many, from which generator -> inputs (n, 3, 64, 64) and labels (n,)."""
Further = Callable[[Sequence[Tensor]], Tensor]


def train(
    settings: Settings,
    draw: Draw = training_batch,
    start: DigitPairNet | None = None,
    further: Further | None = None,
    head_rate: float = 1.0,
) -> DigitPairNet:
    """The trained network, in evaluation mode.

    Parameters
    ----------
    draw : makes the batches.
    start : the network that learns on; a new one if None.
    further : a penalty on the blocks' outputs beside the two of :func:`penalties`.
    head_rate : how much faster than the rest the classifier learns; where it does, it does not decay.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng([settings.seed, 3])
    sources = digits.split_sources()["train"]
    net = DigitPairNet() if start is None else start.train().requires_grad_(True)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append(out)

    hooks = [m.register_forward_hook(keep) for m in net.modules() if isinstance(m, Bottleneck)]
    head = list(net.fc.parameters())
    body = [p for name, p in net.named_parameters() if not name.startswith("fc.")]
    rates_at_peak = [settings.peak_rate, head_rate * settings.peak_rate]
    decays = [settings.weight_decay, settings.weight_decay if head_rate == 1.0 else 0.0]
    optimiser = torch.optim.SGD(
        [{"params": p, "weight_decay": d} for p, d in zip((body, head), decays, strict=True)],
        lr=settings.peak_rate,
        momentum=settings.momentum,
        nesterov=True,
    )
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates_at_peak, total_steps=settings.steps, pct_start=0.25
    )
    for step in range(settings.steps):
        seen.clear()
        inputs, labels = draw(sources, settings.batch, rng)
        error = F.cross_entropy(net(inputs), labels)
        ramp = min(1.0, step / (settings.penalty_ramp * settings.steps))
        level, inequality = penalties(seen)
        penalty = settings.activation_penalty * level + settings.inequality_penalty * inequality
        if further is not None:
            penalty = penalty + further(seen)
        optimiser.zero_grad()
        torch.autograd.backward(error + ramp * penalty)
        optimiser.step()
        rates.step()
        if step % 50 == 49:
            told = (step + 1, error.item(), level.item(), inequality.item())
            log.info("step %d: cross entropy %.4f, activation %.3f, inequality %.3f", *told)
    for hook in hooks:
        hook.remove()
    return net.eval().requires_grad_(False)


def correct_of(net: nn.Module, scenes: digits.Scenes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the scenes the network names rightly, (n,)."""
    with torch.inference_mode():
        chunks = np.array_split(np.arange(len(scenes)), max(1, len(scenes) // 200))
        canvases = digits.render(scenes)
        guess = np.concatenate([net(as_input(canvases[c])).argmax(1).numpy() for c in chunks])
    right: np.ndarray[Any, np.dtype[np.bool_]] = guess == scenes.label
    return right


def measure(net: nn.Module, images: int = 1000, seed: int = 11) -> dict[str, Any]:
    """Accuracy on fresh canvases from each validation half; 95 % interval by resampling source digits."""
    result: dict[str, Any] = {}
    sources = digits.split_sources()
    for stream, half in enumerate(("lists", "judging")):
        scenes = digits.draw_scenes(sources[half], images, np.random.default_rng([seed, stream]))
        right = correct_of(net, scenes)
        known, place = np.unique(scenes.source, return_inverse=True)
        place = place.reshape(scenes.source.shape)
        rng = np.random.default_rng([seed, stream, 1])
        spread = []
        for _ in range(1000):
            times = np.bincount(rng.integers(0, len(known), len(known)), minlength=len(known))
            weight = times[place].prod(axis=1)
            spread.append(float((weight * right).sum() / weight.sum()))
        low, high = np.percentile(spread, [2.5, 97.5])
        result[half] = {
            "images": images,
            "sources": len(known),
            "accuracy": round(float(right.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }
    return result


def write(
    net: nn.Module, settings: Settings, weights: Path, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the weights and, beside them, the measurement with its settings; returns the measurement.

    more : further figures for it.
    """
    weights.parent.mkdir(parents=True, exist_ok=True)
    part = weights.with_name(weights.name + ".part")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, part)
    report = {
        "accuracy": measure(net),
        "parameters": sum(p.numel() for p in net.parameters()),
        "settings": asdict(settings),
        "sha256": hashlib.sha256(part.read_bytes()).hexdigest(),
        "torch": torch.__version__.split("+")[0],
        **(more or {}),
    }
    part.replace(weights)
    beside = weights.with_suffix(".json")
    part = beside.with_name(beside.name + ".part")
    part.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(beside)
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of ``python -m ingest.demo.train``."""
    parser = argparse.ArgumentParser(description=train.__doc__)
    parser.add_argument(
        "--out", type=Path, default=WEIGHTS, help="the weights file; the report goes beside it"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--activation-penalty", type=float, default=Settings.activation_penalty)
    parser.add_argument("--inequality-penalty", type=float, default=Settings.inequality_penalty)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    settings = Settings(
        seed=given.seed,
        steps=given.steps,
        activation_penalty=given.activation_penalty,
        inequality_penalty=given.inequality_penalty,
    )
    report = write(train(settings), settings, given.out)
    log.info("%s", json.dumps(report["accuracy"]))


if __name__ == "__main__":
    main()
