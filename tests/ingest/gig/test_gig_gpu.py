"""The same clusters, codes and contributions on a GPU as on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from ingest.numerics.clustering import bisecting_kmeans
from ingest.numerics.gig import Line, contributions, integrated_gradients
from ingest.numerics.lasso import lasso, penalty_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_clusters():
    x = draw(2000, 32)
    here, there = bisecting_kmeans(x, 64), bisecting_kmeans(x.cuda(), 64)
    assert there.inertia == pytest.approx(here.inertia, rel=1e-6)
    assert torch.allclose(here.centroids, there.centroids.cpu(), atol=1e-6)
    assert torch.equal(here.labels, there.labels.cpu())


def test_codes():
    x, v = draw(200, 32), normalize(draw(300, 32, seed=1), dim=1)
    penalty = penalty_for(x, v, 6.0)
    assert penalty_for(x.cuda(), v.cuda(), 6.0) == pytest.approx(penalty, rel=1e-6)
    here, there = lasso(x, v, penalty), lasso(x.cuda(), v.cuda(), penalty)
    assert torch.equal(here.atoms, there.atoms.cpu())
    assert torch.allclose(here.values, there.values.cpu(), atol=1e-9)


def test_contributions():
    conv = nn.Conv2d(6, 5, 3, padding=1).double().requires_grad_(False)
    moving, targets = draw(2, 6, 4, 4), draw(3, 5, 1, 1, seed=2)
    v, values = normalize(draw(7, 6, seed=3), dim=1), draw(20, seed=4)
    rows, atoms = torch.arange(20) % 16, torch.arange(20) % 7
    found = []
    for device in ("cpu", "cuda"):
        own = conv.to(device)
        line = Line(moving.to(device), torch.zeros(1, 6, 4, 4, dtype=torch.float64, device=device))
        integral = integrated_gradients(lambda x, _, own=own: own(x).relu(), line, targets.to(device), 8)
        gradients = integral.gradients[:, 0].flatten(2).transpose(1, 2)
        change = (integral.end - integral.start)[:, 0]
        parts = (part.to(device) for part in (rows, atoms, values, v))
        found.append(contributions(gradients, change, *parts).scores.cpu())
    assert torch.allclose(*found, atol=1e-9)
