"""CLA's scores of one scope: the images one by one, every link of layers, a streaming mean.

Notation: I images of the scope; per link C sources and D targets; A (C, D) as in `ingest.numerics.cla`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.methods.cla_job import Link
from ingest.numerics.cla import CHUNK_BYTES, Ends, Moments, attribution
from ingest.numerics.cla_circuit import Array
from ingest.segments import Trace

VERSION = "1"
Floats = NDArray[np.float32]
Batches = Iterable[Tensor]
"""Images (B, 3, H, W) on the model's device."""


@dataclass(frozen=True)
class ScopeScores:
    """A scope's scores, per link the mean and population standard deviation over ``n`` images, (C, D) float32."""

    n: int
    means: tuple[Floats, ...]
    stds: tuple[Floats, ...]


def scope_scores(
    trace: Trace,
    links: Sequence[Link],
    batches: Batches,
    budget: int = CHUNK_BYTES,
    progress: Callable[[int], None] = lambda done: None,
) -> ScopeScores:
    """Scores of one scope; ``progress`` is told the number of images done.

    Raises DataError if there is no image.
    """
    moments = [Moments() for _ in links]
    nodes = _nodes(links)
    for batch in batches:
        for place in range(len(batch)):
            with torch.no_grad():
                clean = trace.values(batch[place : place + 1], nodes)
            for link, own in zip(links, moments, strict=True):
                own.add(_one(link, clean, budget))
            progress(moments[0].n)
    if not moments or not moments[0].n:
        raise DataError("no image to score", expected=">= 1 image", got=0)
    return ScopeScores(
        moments[0].n,
        tuple(own.mean.float().cpu().numpy() for own in moments),
        tuple(own.std.float().cpu().numpy() for own in moments),
    )


def chain_scores(links: Sequence[Link], matrices: Sequence[Array], layers: int) -> list[Array]:
    """The L − 1 matrices between adjacent layers in order, zeros where the next does not depend on the last."""
    found: list[Array | None] = [None] * (layers - 1)
    widths = {}
    for link, matrix in zip(links, matrices, strict=True):
        widths[link.source.ordinal] = link.source.channels
        if link.target is not None:
            widths[link.target.ordinal] = link.target.channels
            if link.hops == 1:
                found[link.source.ordinal] = np.asarray(matrix, np.float64)
    return [np.zeros((widths[i], widths[i + 1])) if m is None else m for i, m in enumerate(found)]


def _nodes(links: Sequence[Link]) -> list[str]:
    wanted = [name for link in links for name in (link.source.node, *link.segment.frozen)]
    wanted += [name for link in links if link.ending is not None for name in link.ending.nodes]
    return list(dict.fromkeys(wanted))


def _one(link: Link, clean: dict[str, Tensor], budget: int) -> Tensor:
    """A (C, D) of one link on one image."""
    ends = Ends(link.source.channel_axis, 1 if link.target is None else link.target.channel_axis)
    ending = None if link.ending is None else link.ending.bind(clean)
    return attribution(link.segment.bind(clean), clean[link.source.node], ends, budget, ending)
