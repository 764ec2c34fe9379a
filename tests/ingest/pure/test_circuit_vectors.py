"""Circuit vectors against plain autograd, one pair at a time, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ingest.numerics import pure


class Block(nn.Module):
    """relu(F(x) + x), as a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.norm(self.first(x)))) + x)


class Tokens(nn.Module):
    """GELU of a layer behind attention over the positions; (B, 7, 6) -> (B, 7, 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.hidden = nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.hidden(x + self.attention(x, x, x, need_weights=False)[0]))


Case = tuple[Tensor, Callable[[Tensor], Tensor], Tensor, Tensor]


@pytest.fixture(params=["conv", "tokens"])
def case(request: pytest.FixtureRequest) -> Case:
    """Lower units (B, C, P), F on units, and pairs: one image has none, one has many, one twice the same."""
    torch.manual_seed(3)
    if request.param == "conv":
        block = Block().double().eval().requires_grad_(False)
        lower = torch.randn(5, 6, 12, dtype=torch.float64)

        def units(u: Tensor) -> Tensor:
            return block(u.view(-1, 6, 3, 4)).flatten(2)
    else:
        tokens = Tokens().double().eval().requires_grad_(False)
        lower = torch.randn(5, 6, 7, dtype=torch.float64)

        def units(u: Tensor) -> Tensor:
            return tokens(u.transpose(1, 2)).transpose(1, 2)

    image = torch.tensor([4, 0, 0, 2, 4, 4, 4, 4, 3, 4, 2, 2])
    channel = torch.tensor([1, 5, 2, 0, 0, 3, 4, 5, 1, 2, 0, 4])
    return lower, units, image, channel


def literal(case: Case, start: Callable[[Tensor], Tensor]) -> Tensor:
    """(n, C) R, the definition: a · ∂/∂a of Σ start · h, one pair at a time."""
    lower, units, image, channel = case
    rows = []
    for i, k in zip(image.tolist(), channel.tolist(), strict=True):
        a = lower[i : i + 1].clone().requires_grad_(True)
        h = units(a)[0, k]
        (g,) = torch.autograd.grad((start(h.detach()) * h).sum(), a)
        rows.append((a.detach() * g)[0].sum(1))
    return torch.stack(rows)


def look(case: Case, chunk: int, skip: int = 0) -> pure.Look:
    lower, units, image, channel = case
    return pure.Look(lower, lambda a, rows: units(a), image, channel, skip, chunk)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_the_authors_vectors_are_gradient_times_activation_of_half_the_squared_map(
    case: Case, chunk: int
) -> None:
    lower, units, image, channel = case
    rows = []
    for i, k in zip(image.tolist(), channel.tolist(), strict=True):
        a = lower[i : i + 1].clone().requires_grad_(True)
        (g,) = torch.autograd.grad(0.5 * (units(a)[0, k].clamp(min=0) ** 2).sum(), a)
        r = (a.detach() * g)[0].sum(1)
        rows.append(r / (r.abs().sum() + 1e-10))
    torch.testing.assert_close(pure.pure(look(case, chunk)), torch.stack(rows), rtol=1e-12, atol=1e-15)


def test_other_starts(case: Case) -> None:
    def peak(h: Tensor) -> Tensor:
        s = torch.zeros_like(h)
        best = int(h[1:].argmax()) + 1
        s[best] = max(0.0, float(h[best]))
        return s

    ones = literal(case, torch.ones_like)
    expected = ones / (ones.abs().sum(1, keepdim=True) + 1e-10)
    torch.testing.assert_close(pure.one(look(case, 2)), expected, rtol=1e-12, atol=1e-15)
    at_peak = literal(case, peak)
    expected = at_peak / (at_peak.norm(dim=1, keepdim=True) + 1e-10)
    torch.testing.assert_close(pure.at_max_l2(look(case, 2, skip=1)), expected, rtol=1e-12, atol=1e-15)


def test_activation_variants(case: Case) -> None:
    lower, units, image, channel = case
    maps = units(lower)
    for n, (i, k) in enumerate(zip(image.tolist(), channel.tolist(), strict=True)):
        best = int(maps[i, k].argmax())
        torch.testing.assert_close(pure.local(look(case, 2))[n], maps[i, :, best])
        torch.testing.assert_close(pure.whole_map(look(case, 2))[n], maps[i].clamp(min=0).mean(1))


def test_every_variant_gives_one_row_a_pair_whatever_the_chunk(case: Case) -> None:
    for name, vectors in pure.VARIANTS.items():
        small, large = vectors(look(case, 2)), vectors(look(case, 64))
        assert len(small) == len(case[2]), name
        assert small.isfinite().all()
        torch.testing.assert_close(small, large, rtol=1e-12, atol=1e-14)


def test_relevance_is_complete_where_the_segment_is_linear_without_bias() -> None:
    torch.manual_seed(0)
    weight = torch.rand(3, 5, dtype=torch.float64)
    lower = torch.rand(2, 5, 4, dtype=torch.float64)
    pairs = pure.Look(
        lower, lambda a, rows: torch.relu(weight @ a), torch.tensor([0, 1]), torch.tensor([2, 0])
    )
    h = torch.stack([(weight @ lower)[0, 2], (weight @ lower)[1, 0]])
    torch.testing.assert_close(pure.relevance(pairs).sum(1), (h**2).sum(1))


def test_a_silent_neuron_has_a_zero_vector() -> None:
    lower = torch.rand(2, 3, 4)
    pairs = pure.Look(lower, lambda a, rows: torch.relu(-a), torch.tensor([0, 1]), torch.tensor([1, 1]))
    assert not pure.pure(pairs).any()


def test_no_pairs_no_vectors() -> None:
    none = torch.empty(0, dtype=torch.int64)
    pairs = pure.Look(torch.rand(2, 3, 4), lambda a, rows: a, none, none)
    assert all(len(vectors(pairs)) == 0 for vectors in pure.VARIANTS.values())
