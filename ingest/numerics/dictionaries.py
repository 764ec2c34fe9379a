"""Ways to make a layer's concept vectors, behind one interface (methods 4.1).

Notation: X (N, C) feature vectors, centred; V (K', C) unit concept vectors, K' ≤ K; one seed a call.

A maker is a pure function of (vectors, K, seed, device). It says what its concepts are by their vectors alone: sizes
and norms are taken from the vectors whose nearest concept each is, the same way for every maker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ingest.numerics.alternative_dictionaries import ALTERNATIVES
from ingest.numerics.clustering import bisecting_kmeans

Maker = Callable[[Tensor, int, int, torch.device | str], Tensor]
"""(X (N, C), K, seed, device) → V (K', C) unit rows, on that device."""


def kmeans(vectors: Tensor, concepts: int, seed: int, device: torch.device | str) -> Tensor:
    """Spherical bisecting k-means, the paper's dictionary. Raises DataError as ``bisecting_kmeans``."""
    return bisecting_kmeans(vectors.to(device), concepts, seed).centroids


def random_exemplars(vectors: Tensor, concepts: int, seed: int, device: torch.device | str) -> Tensor:
    """K feature vectors drawn without replacement from those that are not zero: what clustering must beat."""
    kept = vectors[vectors.norm(dim=1) > 0]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))
    return normalize(kept[order[:concepts].to(kept.device)].to(device), dim=1)


def gaussian(vectors: Tensor, concepts: int, seed: int, device: torch.device | str) -> Tensor:
    """K directions drawn evenly from the sphere: what any dictionary must beat."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(concepts, vectors.shape[1], generator=generator, dtype=vectors.dtype)
    return normalize(drawn.to(device), dim=1)


DICTIONARIES: dict[str, Maker] = {
    "kmeans": kmeans,
    "random_exemplars": random_exemplars,
    "gaussian": gaussian,
    **ALTERNATIVES,
}
"""Name → maker; what ``gig.dictionary`` may say."""


@dataclass(frozen=True)
class Membership:
    """For each of N vectors its nearest concept by cosine (−1 for zero vectors) and that cosine; per concept
    (K,) the vectors it is nearest to and their mean norm (0 without any).
    """

    nearest: Tensor
    similarity: Tensor
    sizes: Tensor
    norms: Tensor


def membership(vectors: Tensor, concepts: Tensor, chunk: int = 4096) -> Membership:
    """Who belongs to which concept; vectors (N, C) centred, concepts (K, C) unit, ties to the lower ordinal."""
    lengths = vectors.norm(dim=1)
    nearest = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    similarity = torch.empty(len(vectors), dtype=vectors.dtype, device=vectors.device)
    for start in range(0, len(vectors), chunk):
        part = slice(start, start + chunk)
        similarity[part], nearest[part] = (normalize(vectors[part], dim=1) @ concepts.T).max(dim=1)
    nearest[lengths == 0] = -1
    kept = nearest >= 0
    sizes = torch.bincount(nearest[kept], minlength=len(concepts))
    sums = torch.zeros(len(concepts), dtype=torch.float64, device=vectors.device)
    sums.index_add_(0, nearest[kept], lengths[kept].double())
    return Membership(nearest, similarity, sizes, sums / sizes.clamp(min=1))
