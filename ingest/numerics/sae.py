"""A sparse autoencoder with the loss that GIG's paper compares with (arXiv 2409.01610, eq. 11).

Notation
--------
X (N, C) : vectors.       K : hidden units, one per concept.
W_e (C, K), b_e (K,) : encoder.       W_d (K, C), b_d (C,) : decoder; its rows are the concepts.
f = ReLU((x - b_d) W_e + b_e) : codes, ≥ 0.       x̂ = f W_d + b_d.
loss = mean over a batch of ‖x - x̂‖² + λ Σ_i f_i ‖W_d,i‖₂, so that codes cannot shrink while the decoder grows.

The paper names neither λ nor the optimiser: Adam (Kingma and Ba 2015), spelled out below. Vectors are scaled to a
mean squared norm of C, which gives λ a meaning that does not hang on a layer's scale. No unit is re-drawn: one that
never fires keeps the direction it was drawn with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

TINY = 1e-12
BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class SaeTraining:
    """How an autoencoder is trained.

    penalty : λ.      steps : batches.      batch : vectors of a batch.
    rate : Adam's, falling to zero along a cosine.
    """

    penalty: float = 5.0
    steps: int = 1000
    batch: int = 256
    rate: float = 3e-3


@dataclass(frozen=True)
class SparseAutoencoder:
    """A trained autoencoder in the units of the vectors it was trained on.

    encoder (C, K), bias (K,), decoder (K, C), centre (C,).
    """

    encoder: Tensor
    bias: Tensor
    decoder: Tensor
    centre: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, K) ≥ 0 of vectors (B, C)."""
        return torch.relu((x - self.centre) @ self.encoder + self.bias)

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors (B, C) of codes (B, K)."""
        vectors: Tensor = codes @ self.decoder + self.centre
        return vectors

    @property
    def concepts(self) -> Tensor:
        """(K, C) decoder rows at unit length."""
        return normalize(self.decoder, dim=1)


def sae_loss(model: SparseAutoencoder, x: Tensor, penalty: float) -> Tensor:
    """Eq. 11 on a batch (B, C): a scalar."""
    codes = model.encode(x)
    errors = (x - model.decode(codes)).square().sum(dim=1)
    loss: Tensor = (errors + penalty * codes @ model.decoder.norm(dim=1)).mean()
    return loss


def train_sae(x: Tensor, concepts: int, seed: int, training: SaeTraining | None = None) -> SparseAutoencoder:
    """Train on vectors (N, C) of any device; equal seeds give equal weights on equal machines.

    x : finite. concepts : K.
    """
    how = training or SaeTraining()
    scale = float((x.square().sum(dim=1).mean() / x.shape[1]).sqrt().clamp_min(TINY))
    y = x / scale
    generator = torch.Generator().manual_seed(seed)
    decoder = torch.randn(concepts, x.shape[1], generator=generator, dtype=torch.float64).to(x)
    decoder = 0.1 * decoder / decoder.norm(dim=1, keepdim=True)
    weights = [
        decoder.T.clone(),
        torch.zeros(concepts, dtype=x.dtype, device=x.device),
        decoder.clone(),
        y.mean(dim=0),
    ]
    first = [torch.zeros_like(weight) for weight in weights]
    second = [torch.zeros_like(weight) for weight in weights]
    for step in range(1, how.steps + 1):
        rows = torch.randint(len(y), (min(how.batch, len(y)),), generator=generator).to(x.device)
        rate = how.rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / how.steps))
        for place, slope in enumerate(_slopes(weights, y[rows], how.penalty)):
            first[place] = BETAS[0] * first[place] + (1 - BETAS[0]) * slope
            second[place] = BETAS[1] * second[place] + (1 - BETAS[1]) * slope.square()
            size = (second[place] / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            weights[place] = weights[place] - rate * first[place] / (1 - BETAS[0] ** step) / size
    encoder, bias, decoder, centre = weights
    return SparseAutoencoder(encoder, bias * scale, decoder, centre * scale)


def _slopes(weights: list[Tensor], batch: Tensor, penalty: float) -> tuple[Tensor, ...]:
    """Gradients of the loss in the four weights."""
    with torch.enable_grad():
        own = [weight.detach().requires_grad_() for weight in weights]
        return torch.autograd.grad(sae_loss(SparseAutoencoder(*own), batch, penalty), own)
