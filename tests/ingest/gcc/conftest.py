"""Small random networks with their lists, and GCC written down literally: loops, three whole forwards a source."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from ingest.layers import LayerSpec, choose_layers, to_units
from ingest.methods.gcc_job import Lists, Query, query_of_tensor
from ingest.methods.pairs import make_pairs
from ingest.numerics.pooling import top_share_mean
from ingest.segments import Trace
from ingest.store import TopLists

POOL = 0.1
Edge = tuple[int, int, int]


class Block(nn.Module):
    """relu(F(x) + shortcut(x)) with a bottleneck inside."""

    def __init__(self, before: int, width: int, inner: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        plain = stride == 1 and before == width
        self.shortcut = nn.Identity() if plain else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.conv2(inside))))
        out += self.shortcut(x)
        return self.relu(out)


class Residual(nn.Module):
    """(B, 3, s, s) -> (B, 5); one block a width, the first of each new width with a projection."""

    def __init__(self, widths: Sequence[int], inner: int, stride: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride, 1)
        before, blocks = 16, []
        for width in widths:
            blocks.append(Block(before, width, inner))
            before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Random weights and batch statistics, evaluation mode, float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval().requires_grad_(False)
    for name, p in [*module.named_parameters(), *module.named_buffers()]:
        if p.is_floating_point():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            fan = math.sqrt(max(1, p[0].numel())) if p.dim() > 1 else 1.0
            p.copy_(noise.abs() + 0.5 if "var" in name or name.endswith("bn3.weight") else noise / fan)
    return module


@dataclass(frozen=True)
class World:
    """A network, its layers, some images, and lists over them."""

    module: nn.Module
    trace: Trace
    layers: tuple[LayerSpec, ...]
    images: Tensor
    pooled: tuple[np.ndarray, ...]
    lists: Lists

    def query(self, index: int) -> Query:
        x = self.images[index : index + 1]
        return query_of_tensor(self.trace, self.layers, self.lists, x, f"i{index:05d}", listed=True)

    def pairs(self):
        return make_pairs(self.trace, self.layers)


def build_world(
    module: nn.Module, images: Tensor, globs: str | None, shares: tuple[float, float], name: str = "tiny"
) -> World:
    trace = Trace(module, tuple(images.shape[1:]))
    layers = choose_layers(SimpleNamespace(trace=trace, name=name), globs)
    with torch.inference_mode():
        values = trace.values(images, [layer.node for layer in layers])
    pooled = tuple(
        top_share_mean(to_units(values[x.node], x), POOL, skip=x.tokens_before).mean.numpy() for x in layers
    )
    count = len(images)
    ids = np.array([f"i{k:05d}" for k in range(count)])

    def top(matrix: np.ndarray, share: float) -> TopLists:
        order = np.argsort(-matrix.T, axis=1, kind="stable")[:, : math.ceil(share * count)]
        chosen = np.take_along_axis(matrix.T, order, axis=1)
        return TopLists(order, chosen, np.zeros_like(order), ids[order[:, -1]], count)

    lists = Lists(
        tuple(top(m, shares[0]) for m in pooled), tuple(top(m, shares[1]) for m in pooled), count, count, POOL
    )
    return World(module, trace, layers, images, pooled, lists)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return build_world


def _images(count: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, size // 2, size // 2, generator=generator, dtype=torch.float64)
    return nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")


@pytest.fixture(scope="session")
def residual() -> World:
    """Four blocks, two of them with an identity shortcut: 24, 24, 40, 40 channels on 6 x 6."""
    module = randomised(Residual((24, 24, 40, 40), 8, 2), seed=1)
    return build_world(module, _images(60, 12, 2), "blocks.*", (0.15, 0.6))


@pytest.fixture(scope="session")
def wide() -> World:
    """A pair whose target layer has 1,024 channels, on 2 x 2: the tail fit sees dozens of exceedances."""
    module = randomised(Residual((48, 1024), 16, 2), seed=3)
    return build_world(module, _images(80, 4, 4), "blocks.*", (0.4, 0.6))


def literal_threshold(s: list[float], q: float = 90.0, p: float = 0.95) -> float:
    """Methods 1.1, τ_NS, line by line. NaN: nothing is kept."""
    if not s:
        return math.nan
    values = np.array(s)
    u = np.percentile(values, q)
    e = values[values > u] - u
    if len(e) == 0:
        return math.nan
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            xi, _, sigma = stats.genpareto.fit(e, floc=0)
    except (stats.FitError, RuntimeError, ValueError):
        return float(np.percentile(values, 95))
    if not (math.isfinite(xi) and math.isfinite(sigma)):
        return float(np.percentile(values, 95))
    xi, sigma = max(xi, 1e-9), min(sigma, float(np.std(e)))
    r = u + (sigma / xi) * ((len(values) / len(e) * (1 - p)) ** (-xi) - 1)
    return r if r >= 0 else math.nan


class Literal:
    """GCC of one query by whole forwards and Python lists."""

    def __init__(self, world: World, query: int, floor: float = 0.1, masked: bool = True) -> None:
        self.world = world
        self.floor = floor
        self.masked = masked
        self.index = query
        self.x = world.images[query : query + 1]
        modules = dict(world.module.named_modules())
        self.modules = [modules[layer.name] for layer in world.layers]
        count = len(world.images)
        shares = [len(world.lists.roots[0].indices[0]), len(world.lists.masks[0].indices[0])]
        self.t1, self.t10 = (
            [
                [sorted(range(count), key=lambda i, c=c, m=m: (-m[i, c], i))[:n] for c in range(m.shape[1])]
                for m in world.pooled
            ]
            for n in shares
        )
        self.sensitivity: dict[tuple[int, int], list[float]] = {}
        self.raw: dict[tuple[int, int], list[float]] = {}

    def forward(self, layer: int, edit: Callable[[Tensor], Tensor] | None) -> tuple[Tensor, Tensor]:
        """One whole forward: the layer's (edited) output and the next layer's."""
        seen: dict[int, Tensor] = {}

        def keep(which: int, change: Callable[[Tensor], Tensor] | None) -> object:
            def hook(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
                seen[which] = out.clone() if change is None else change(out.clone())
                return seen[which].clone()

            return self.modules[which].register_forward_hook(hook)

        handles = [keep(layer, edit), keep(layer + 1, None)]
        try:
            self.world.module(self.x)
        finally:
            for handle in handles:
                handle.remove()
        return seen[layer], seen[layer + 1]

    def units(self, value: Tensor, layer: int) -> np.ndarray:
        """(C, P) of one image."""
        axis = self.world.layers[layer].channel_axis
        moved = np.moveaxis(value[0].numpy(), axis - 1, 0)
        return moved.reshape(len(moved), -1)

    def sensitivities(self, layer: int, channel: int) -> list[float]:
        """S_NS of one source on the query; three forwards."""
        if (layer, channel) in self.sensitivity:
            return self.sensitivity[layer, channel]
        axis = self.world.layers[layer].channel_axis

        def zero(value: Tensor) -> Tensor:
            value.select(axis, channel).zero_()
            return value

        clean, _ = self.forward(layer, None)
        _, before = self.forward(layer, lambda value: clean.clone())
        _, after = self.forward(layer, zero)
        first, second = self.units(before, layer + 1), self.units(after, layer + 1)
        raw = [max(0.0, float(np.mean(a - b))) for a, b in zip(first, second, strict=True)]
        total = sum(raw)
        self.raw[layer, channel] = raw
        self.sensitivity[layer, channel] = [r / total if total else math.nan for r in raw]
        return self.sensitivity[layer, channel]

    def overlap(self, layer: int, channel: int, target: int) -> Fraction:
        """Exact: overlaps often equal their mean, and the comparison is strict."""
        a, b = set(self.t1[layer][channel]), set(self.t1[layer + 1][target])
        return Fraction(len(a & b), len(b))

    def targets(self, layer: int, channel: int) -> dict[int, tuple[float, float]]:
        """Kept targets of one source: channel -> (S_NS, S_SF)."""
        s = self.sensitivities(layer, channel)
        candidates = [
            t
            for t in range(len(s))
            if not math.isnan(s[t])
            and s[t] != 0
            and (not self.masked or self.index in self.t10[layer + 1][t])
        ]
        cut = literal_threshold([s[t] for t in candidates])
        flows = {t: self.overlap(layer, channel, t) for t in candidates}
        if not candidates:
            return {}
        mean = sum(flows.values()) / len(flows)
        return {
            t: (s[t], float(flow))
            for t, flow in flows.items()
            if s[t] > cut and flow > mean and float(flow) > self.floor
        }

    def roots(self) -> list[tuple[int, int]]:
        return [
            (layer, c)
            for layer in range(len(self.world.layers) - 1)
            for c in range(self.world.layers[layer].channels)
            if self.index in self.t1[layer][c]
        ]

    def circuits(self) -> dict[tuple[int, int], tuple[dict[Edge, tuple[float, float]], bool]]:
        """Root -> (its edges with (S_NS, S_SF), whether an earlier root reaches it); depth first, with a cache."""
        cache: dict[tuple[int, int], dict[Edge, tuple[float, float]]] = {}

        def below(layer: int, channel: int) -> dict[Edge, tuple[float, float]]:
            if (layer, channel) not in cache:
                found: dict[Edge, tuple[float, float]] = {}
                if layer < len(self.world.layers) - 1:
                    for t, scores in self.targets(layer, channel).items():
                        found[layer, channel, t] = scores
                        found |= below(layer + 1, t)
                cache[layer, channel] = found
            return cache[layer, channel]

        visited: set[tuple[int, int]] = set()
        result = {}
        for root in self.roots():
            edges = below(*root)
            if edges:
                result[root] = (edges, root in visited)
            visited |= {root} | {(layer + 1, t) for layer, _, t in edges}
        return result


@pytest.fixture(scope="session")
def literal() -> type[Literal]:
    return Literal


@pytest.fixture(scope="session")
def literal_cut() -> Callable[[list[float]], float]:
    return literal_threshold
