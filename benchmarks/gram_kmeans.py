"""Two clusters for each of many neurons' references, all at once in Gram space, against one scikit-learn KMeans each.

2,048 neurons with 100 references of 1,024 numbers: PURE's ResNet-50. Half of the neurons have two senses. Both sides
take the best of ten starts. ``ATLAS_BENCH_NEURONS`` takes fewer neurons, where time is short.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from benchmarks.harness import BenchmarkError, Result, timed
from ingest.numerics.kmeans_gram import gram, kmeans

NEURONS = int(os.environ.get("ATLAS_BENCH_NEURONS", "2048"))
REFERENCES, LENGTH, STARTS = 100, 1024, 10
ROUNDS = 3
PEERS = 64
"""Neurons that the peer is timed on; its time is scaled, each costing it as much as another."""
SEED = 0


def make_vectors() -> NDArray[np.float32]:
    """(NEURONS, REFERENCES, LENGTH), rows of L1 norm 1 as circuit vectors are, of few effective dimensions."""
    rng = np.random.default_rng(SEED)
    basis = rng.standard_normal((16, LENGTH)).astype(np.float32)
    loads = rng.standard_normal((NEURONS, REFERENCES, 16)).astype(np.float32)
    side = rng.integers(0, 2, (NEURONS, REFERENCES))
    loads[::2, :, 0] += 3 * side[::2]
    vectors = loads @ basis + 0.5 * rng.standard_normal((NEURONS, REFERENCES, LENGTH), dtype=np.float32)
    found: NDArray[np.float32] = vectors / np.abs(vectors).sum(-1, keepdims=True)
    return found


def ours(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Inertia of every neuron, from the vectors on."""
    found: NDArray[np.float64] = kmeans(
        gram(torch.from_numpy(vectors)), 2, restarts=STARTS, seed=SEED
    ).inertia.numpy()
    return found


def peer(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same of the sampled neurons, one after another."""
    return np.array([KMeans(2, n_init=STARTS, random_state=SEED).fit(own).inertia_ for own in vectors])


def run() -> Result:
    """One result; target 8, at an inertia that is no worse."""
    vectors = make_vectors()
    sampled = np.linspace(0, NEURONS - 1, min(PEERS, NEURONS)).astype(int)
    worse = ours(vectors)[sampled] / peer(vectors[sampled]) - 1
    if worse.mean() > 1e-6 or worse.max() > 1e-2:
        raise BenchmarkError(
            f"gram_kmeans: inertia is worse by {worse.mean():.2g}, at most {worse.max():.2g}"
        )
    taken = []
    for number in range(ROUNDS):
        theirs = timed(lambda: peer(vectors[sampled])) if number % 2 else 0.0
        mine = timed(lambda: ours(vectors))
        theirs = theirs or timed(lambda: peer(vectors[sampled]))
        taken.append((mine, theirs * NEURONS / len(sampled)))
    ratios = [theirs / mine for mine, theirs in taken]
    return Result(
        name="gram_kmeans",
        ours=float(np.median([mine for mine, _ in taken])),
        peer=float(np.median([theirs for _, theirs in taken])),
        unit="s",
        target="ratio ≥ 8",
        ratio=float(np.median(ratios)),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=float(worse.mean()),
        pairs=ROUNDS,
        what=f"{NEURONS} neurons × {REFERENCES} × {LENGTH}, k = 2, {STARTS} starts; difference: our inertia over the "
        f"peer's less 1, mean; {len(sampled)} neurons of the peer timed and scaled",
    )
