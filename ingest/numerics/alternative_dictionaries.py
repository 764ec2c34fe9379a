"""Dictionaries that GIG's clusters are compared with, all as unit vectors (K, C) of vectors X (N, C).

* ``learned``: online dictionary learning (Mairal et al. 2009), scikit-learn's, with LARS as in GIG's paper.
* ``sae``: decoder rows of a sparse autoencoder (:mod:`ingest.numerics.sae`).

Each takes (vectors (N, C), K, seed, device) and gives (K, C) on that device, in the vectors' dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ingest.numerics.sae import TINY, SaeTraining, train_sae

Maker = Callable[[Tensor, int, int, torch.device | str], Tensor]
EPOCHS = 10
BATCH = 64
SPARSITY = 0.1
TRAINING = SaeTraining()


def learned(vectors: Tensor, concepts: int, seed: int, device: torch.device | str) -> Tensor:
    """Online dictionary learning with LARS, on the CPU whatever the device. Vectors are scaled to a mean norm of 1.

    The penalty of its own sparse codes is :data:`SPARSITY`; the atoms are what is used here, codes are made anew.
    """
    # A second of processor time at the start of every process, for what few runs ask for.
    from sklearn.decomposition import MiniBatchDictionaryLearning

    x = vectors.detach().double().cpu().numpy()
    x = x / max(float(np.linalg.norm(x, axis=1).mean()), TINY)
    learner = MiniBatchDictionaryLearning(
        n_components=concepts,
        alpha=SPARSITY,
        max_iter=EPOCHS,
        batch_size=min(BATCH, len(x)),
        fit_algorithm="lars",
        random_state=seed,
        shuffle=True,
    )
    atoms = torch.from_numpy(learner.fit(x).components_).to(vectors)
    return _unit(atoms, _draws(vectors, concepts, seed)).to(device)


def sae(vectors: Tensor, concepts: int, seed: int, device: torch.device | str) -> Tensor:
    """Decoder rows of a sparse autoencoder trained on the device."""
    found = train_sae(vectors.to(device), concepts, seed, TRAINING).concepts.to(vectors)
    return _unit(found, _draws(vectors, concepts, seed)).to(device)


def _draws(vectors: Tensor, concepts: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(concepts, vectors.shape[1], generator=generator, dtype=torch.float64).to(vectors)


def _unit(rows: Tensor, instead: Tensor) -> Tensor:
    """Rows at unit length; a row of zeros, an atom that was never used, gets a drawn direction."""
    rows = torch.where(rows.norm(dim=1, keepdim=True) > TINY, rows, instead)
    return normalize(rows, dim=1)


ALTERNATIVES: Mapping[str, Maker] = {
    "learned": learned,
    "sae": sae,
}
"""Name -> maker; the registry of dictionaries adds them to its own."""
