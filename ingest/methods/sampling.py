"""One feature vector per image and layer, at a position drawn by its relevance for the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ingest.layers import to_units
from ingest.methods.concepts import Vectors
from ingest.methods.relevance import RelevanceChain, uniforms


def sample_vectors(
    chain: RelevanceChain,
    batches: Iterable[tuple[list[int], Tensor]],
    ids: Sequence[str],
    seed: int,
    done: Callable[[int], None],
) -> list[Vectors]:
    """The vectors of each layer.

    Parameters
    ----------
    batches : rows of the store and their images (B, 3, H, W).
    ids : of all the store's images; a draw depends on seed, image and layer alone.
    done : told how many images are through.
    """
    found: list[list[Vectors]] = [[] for _ in chain.spaces]
    count = 0
    for indices, x in batches:
        clean = chain.clean(x)
        names = [ids[row] for row in indices]
        for n, (space, weights) in enumerate(zip(chain.spaces, chain.relevances(clean), strict=True)):
            drawn = chain.sampled(n, weights, clean, uniforms(seed, names, space.layer.name).to(x.device))
            units = to_units(clean[space.node], space.layer)
            vectors = units[torch.arange(len(x), device=x.device), :, drawn.positions]
            found[n].append(
                Vectors(
                    np.array(indices),
                    drawn.positions.cpu().numpy(),
                    drawn.by_srd.cpu().numpy(),
                    vectors.float().cpu().numpy(),
                )
            )
        count += len(x)
        done(count)
    return [Vectors.join(parts) for parts in found]
