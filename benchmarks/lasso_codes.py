"""Sparse codes of feature vectors by the batched homotopy against scikit-learn's ``sparse_encode(lasso_lars)``.

Equal first: the objective ½‖x − uV‖² + λ‖u‖₁ of every vector. Vectors are sums of a few concepts with noise, λ is what
leaves one concept in two hundred.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import sparse_encode
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.harness import Case, Result, compare
from ingest.numerics.lasso import lasso, penalty_for

CHANNELS, CONCEPTS, VECTORS, ACTIVE = 256, 2048, 1000, 10.0
TUNED_ON = 100


def world(
    seed: int = 0, channels: int = CHANNELS, concepts: int = CONCEPTS, vectors: int = VECTORS
) -> tuple[Tensor, Tensor]:
    """Vectors (N, C) of eight concepts each with noise, and concepts (K, C), float32."""
    generator = torch.Generator().manual_seed(seed)
    v = normalize(torch.randn(concepts, channels, generator=generator), dim=1)
    own = torch.randint(concepts, (vectors, 8), generator=generator)
    size = torch.rand(vectors, 8, generator=generator) + 0.5
    x = torch.einsum("nk,nkc->nc", size, v[own]) + 0.05 * torch.randn(vectors, channels, generator=generator)
    return x, v


def objective(x: Tensor, v: Tensor, codes: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """(N,) in float64."""
    rest = x.double().numpy() - codes @ v.double().numpy()
    found: NDArray[np.float64] = 0.5 * (rest**2).sum(axis=1) + penalty * np.abs(codes).sum(axis=1)
    return found


def run() -> Result:
    """Target 10."""
    x, v = world()
    penalty = penalty_for(x[:TUNED_ON], v, ACTIVE)
    xs, vs = x.double().numpy(), v.double().numpy()

    def difference(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
        a, b = (objective(x, v, codes, penalty) for codes in (mine, theirs))
        return float((np.abs(a - b) / b).max())

    l0 = lasso(x, v, penalty).l0
    case = Case(
        name="lasso_codes",
        target="ratio ≥ 10",
        what=f"{VECTORS} vectors of {CHANNELS} channels over {CONCEPTS} concepts, l0 {l0:.4f}; "
        "peer: sparse_encode(algorithm='lasso_lars')",
        difference=difference,
        tolerance=1e-6,
        pairs=3,
    )
    return compare(
        case,
        lambda: lasso(x, v, penalty).dense().numpy(),
        partial(sparse_encode, xs, vs, algorithm="lasso_lars", alpha=penalty),
    )
