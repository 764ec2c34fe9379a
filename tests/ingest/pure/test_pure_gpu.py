"""Vectors and clusters on a GPU are those of the CPU."""

from __future__ import annotations

import pytest
import torch

from ingest.numerics.kmeans_gram import gram, kmeans
from ingest.numerics.pure import VARIANTS, Look
from ingest.numerics.split_test import split_test


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", VARIANTS)
def test_vectors(name: str) -> None:
    torch.manual_seed(0)
    weight, lower = torch.randn(7, 5), torch.rand(6, 5, 12)
    image, channel = torch.arange(6).repeat(4), torch.randint(0, 7, (24,))

    def vectors(device: str) -> torch.Tensor:
        w = weight.to(device)
        pairs = image.to(device), channel.to(device)
        look = Look(lower.to(device), lambda a, rows: torch.relu(w @ a), *pairs, chunk=4)
        return VARIANTS[name](look).cpu()

    torch.testing.assert_close(vectors("cuda"), vectors("cpu"), rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_clusters_and_p() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(20, 60, 30, dtype=torch.float64)
    vectors[:, :25, 0] += 8
    present = torch.ones(20, 60, dtype=torch.bool)
    g = gram(vectors)
    here = kmeans(g, 2)
    there = kmeans(g.cuda(), 2)
    assert torch.equal(there.labels.cpu(), here.labels)
    torch.testing.assert_close(there.silhouette.cpu(), here.silhouette)
    p = split_test(g, present, here.labels).p
    assert split_test(g.cuda(), present.cuda(), there.labels).p == pytest.approx(p)
