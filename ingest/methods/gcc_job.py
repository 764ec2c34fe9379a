"""What a GCC job works on: adjacent layers with their segments, the lists, and one query.

Notation: L layers in execution order, pair l joins layer l to l + 1; C_l channels of layer l; N images of
the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec, to_units
from ingest.numerics.gcc import Thresholds
from ingest.numerics.pooling import top_share_mean
from ingest.segments import Trace
from ingest.store import ActivationStore, TopLists

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Loader = Callable[[Sequence[int]], Iterable[tuple[Sequence[int], Tensor]]]
"""Rows of the store -> batches of (rows, images (B, 3, H, W))."""

SMALL = 500
_LEAST_LIST = 2


@dataclass(frozen=True)
class GccParameters:
    """All numbers of a GCC run; defaults are the paper's code, list lengths scaled to the images at hand.

    root_share, mask_share : shares of the list images in T1 and T10.
    thresholds : what makes an edge of one query.
    flow_images : best images of a source that its data-set sensitivity is averaged over.
    keep_sensitivity, keep_overlap, keep_most : per source the best targets by sensitivity, all with a larger
        overlap than this, and no more than this many together.
    exemplars : pictures a circuit is shown by.
    chunk_bytes : memory for the activations of one batch of ablations.
    """

    root_share: float = 0.01
    mask_share: float = 0.10
    thresholds: Thresholds = field(default_factory=Thresholds)
    flow_images: int = 10
    keep_sensitivity: int = 64
    keep_overlap: float = 0.05
    keep_most: int = 256
    exemplars: int = 10
    chunk_bytes: int = 64 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """Flat, for the Run; memory is no part of what a run is."""
        fields = asdict(self)
        del fields["chunk_bytes"]
        return {**fields.pop("thresholds"), **fields}


@dataclass(frozen=True)
class Lists:
    """Root lists (T1) and mask lists (T10) of every layer, made from ``images`` images of a store of
    ``rows``.

    ``pool_share`` is the share of positions that the ranking activation averages.
    """

    roots: tuple[TopLists, ...]
    masks: tuple[TopLists, ...]
    images: int
    rows: int
    pool_share: float


@dataclass(frozen=True)
class Query:
    """One image asked about.

    id : its image id.      x : (1, 3, H, W).
    roots, masked : per layer (C_l,) whether the root list and the mask list hold it, or would.
    activations : per layer (C_l,) float32 ranking activations.
    """

    id: str
    x: Tensor
    roots: tuple[Bools, ...]
    masked: tuple[Bools, ...]
    activations: tuple[NDArray[np.float32], ...]

    def root_channels(self) -> list[Ints]:
        """Per layer the root channels, ascending."""
        return [np.flatnonzero(marks) for marks in self.roots]


def make_lists(store: ActivationStore, parameters: GccParameters, subset: Bools | None = None) -> Lists:
    """The lists of every layer over the images of ``subset`` (N,), all by default.

    Raises DataError if a root list would hold fewer than two images: overlaps would then be 0 or 1.
    """
    images = len(store.rows(subset))
    layers = store.layers
    roots = tuple(store.lists(layer.name, parameters.root_share, subset) for layer in layers)
    if roots[0].indices.shape[1] < _LEAST_LIST:
        raise DataError(
            "too few images for root lists",
            expected=f">= {_LEAST_LIST} images a list",
            got=f"{roots[0].indices.shape[1]} of {images} at a root share of {parameters.root_share}",
            next_step="use more images or a larger --root-share",
        )
    masks = tuple(store.lists(layer.name, parameters.mask_share, subset) for layer in layers)
    return Lists(roots, masks, images, store.images, store.plan.pool_share)


def remarks(lists: Lists) -> list[str]:
    """What a reader of the run should know about its lists."""
    if lists.images >= SMALL:
        return []
    length = lists.roots[0].indices.shape[1]
    return [
        f"lists made from {lists.images} images, fewer than {SMALL}: "
        f"a root list holds {length}, so overlaps are coarse"
    ]


def query_of_row(store: ActivationStore, lists: Lists, row: int, x: Tensor, *, listed: bool) -> Query:
    """A query among the store's images. ``listed``: the lists were made with it, so ties follow its id."""
    activations = tuple(np.asarray(store.pooled(layer.name)[row]) for layer in store.layers)
    return _query(store.ids[row], x, activations, lists, store.ids[row] if listed else None)


def query_of_tensor(
    trace: Trace, layers: Sequence[LayerSpec], lists: Lists, x: Tensor, name: str, *, listed: bool = False
) -> Query:
    """A new image (1, 3, H, W) as a query: its own activations against the lists' floors.

    ``listed``: the lists were made with this image and ``name`` is its id, so ties follow it.
    """
    with torch.inference_mode():
        values = trace.values(x, [layer.node for layer in layers])
        activations = tuple(_ranking(values[layer.node], layer, lists.pool_share) for layer in layers)
    return _query(name, x, activations, lists, name if listed else None)


def _ranking(value: Tensor, layer: LayerSpec, share: float) -> NDArray[np.float32]:
    pooled = top_share_mean(to_units(value, layer), share, skip=layer.tokens_before)
    ranking: NDArray[np.float32] = pooled.mean.cpu().numpy()[0]
    return ranking


def _query(
    name: str, x: Tensor, activations: tuple[NDArray[np.float32], ...], lists: Lists, tie: str | None
) -> Query:
    roots = tuple(r.would_hold(a, tie) for r, a in zip(lists.roots, activations, strict=True))
    masked = tuple(m.would_hold(a, tie) for m, a in zip(lists.masks, activations, strict=True))
    return Query(name, x, roots, masked, activations)
