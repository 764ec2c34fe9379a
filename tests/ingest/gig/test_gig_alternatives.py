"""The dictionaries that clusters are compared with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ingest.numerics import alternative_dictionaries
from ingest.numerics.alternative_dictionaries import ALTERNATIVES, learned
from ingest.numerics.sae import SaeTraining, SparseAutoencoder, sae_loss, train_sae


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary by autoencoder need not be good here."""
    monkeypatch.setattr(alternative_dictionaries, "TRAINING", SaeTraining(steps=20))


def planted(n: int = 400, channels: int = 8, concepts: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors that are non-negative sparse sums of planted directions, and these directions."""
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(concepts, channels, generator=generator, dtype=torch.float64)
    atoms /= atoms.norm(dim=1, keepdim=True)
    codes = torch.rand(n, concepts, generator=generator, dtype=torch.float64) + 0.5
    codes *= torch.rand(n, concepts, generator=generator) < 0.3
    return codes @ atoms, atoms


def test_the_loss_is_the_paper_s() -> None:
    generator = torch.Generator().manual_seed(1)
    e, b, d, c, x = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((3, 4), (4,), (4, 3), (3,), (6, 3))
    )
    total = 0.0
    for row in x:
        f = torch.clamp((row - c) @ e + b, min=0)
        total += float(((row - f @ d - c) ** 2).sum() + 0.7 * sum(f[i] * d[i].norm() for i in range(4)))
    found = sae_loss(SparseAutoencoder(e, b, d, c), x, 0.7)
    assert float(found) == pytest.approx(total / 6)


def test_training_lowers_the_loss_and_finds_planted_directions() -> None:
    x, atoms = planted(200)
    y = x / (x.square().sum(dim=1).mean() / 8).sqrt()
    how = SaeTraining(penalty=0.3, steps=200, batch=100, rate=2e-2)
    trained = train_sae(y, 10, 0, how)
    started = train_sae(y, 10, 0, SaeTraining(penalty=0.3, steps=0))
    assert float(sae_loss(trained, y, 0.3)) < 0.3 * float(sae_loss(started, y, 0.3))
    assert float((atoms @ trained.concepts.T).max(dim=1).values.min()) > 0.95


def test_codes_are_in_the_units_of_the_vectors() -> None:
    x, _ = planted()
    how = SaeTraining(steps=50)
    small, large = train_sae(x, 6, 0, how), train_sae(1000 * x, 6, 0, how)
    torch.testing.assert_close(1000 * small.encode(x), large.encode(1000 * x), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(1000 * small.decode(small.encode(x)), large.decode(large.encode(1000 * x)))


@pytest.mark.parametrize("name", sorted(ALTERNATIVES))
def test_each_gives_unit_rows_the_same_for_the_same_seed(name: str) -> None:
    x, _ = planted(60, 6, 3)
    first, again, other = (ALTERNATIVES[name](x.float(), 9, seed, "cpu") for seed in (3, 3, 4))
    assert first.shape == (9, 6)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first.norm(dim=1), torch.ones(9))
    torch.testing.assert_close(first, again)
    assert not torch.allclose(first, other)


def test_online_learning_finds_planted_directions() -> None:
    _, atoms = planted(1, 8, 4)
    scale = torch.rand(200, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    found = learned(scale * atoms.repeat(50, 1), 4, 0, "cpu")
    assert float((atoms @ found.T).abs().max(dim=1).values.min()) > 0.9


def test_more_concepts_than_vectors() -> None:
    x, _ = planted(10, 8, 3)
    for make in ALTERNATIVES.values():
        found = make(x, 24, 0, "cpu")
        assert found.shape == (24, 8)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(24, dtype=torch.float64))


def test_vectors_that_are_all_zero() -> None:
    zeros = torch.zeros(10, 4)
    for make in ALTERNATIVES.values():
        found = make(zeros, 3, 0, "cpu")
        torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
