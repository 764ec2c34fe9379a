"""Circuit vectors: how one neuron got its activation on one image, told by the channels of a lower layer.

Notation
--------
B images, n (image, neuron) pairs; C_lo, P_lo channels and positions of the lower layer, C_hi, P_hi of the upper.
a : (B, C_lo, P_lo) lower activations.      F : the segment, F(a) (B, C_hi, P_hi).
k : the neuron, a channel of the upper layer; h = F(a)_k (P_hi,) its map on its image.
s : (P_hi,) initial relevance on that map, by default relu(h).
R : (C_lo,) Σ over positions of a · VJP of F at a with s on channel k, in units of h².
v : (C_lo,) R / (Σ|R| + 1e-10), unitless: the circuit vector.

Source: PURE (Dreyer et al. 2024, arXiv 2404.06453) as the authors compute it: gradient × activation of
½ Σ relu(h)² (methods 3.1), whose gradient is the VJP of relu(h). The other entries of :data:`VARIANTS` are ours, but
``one`` (zennit-crp's other start) and ``map`` (the paper's activation baseline).

All neurons of an image share its forward through F: the r-th pairs of all images of a chunk make one backward pass,
and images that run out of pairs leave the chunk. A pair's vector does not depend on what else is in the chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-10
LOCAL_SHARE = 0.25
"""Weight of :func:`local` in the hybrid's inner products, beside 1 each of relevance and :func:`weighted`."""
Forward = Callable[[Tensor, Tensor], Tensor]
"""F: (lower units of some images (b, C_lo, P_lo), their rows (b,) int64) -> upper units (b, C_hi, P_hi)."""
Raw = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""(raw lower activations, frozen inputs) -> raw upper activations, as a segment is called."""
Start = Callable[[Tensor, int], Tensor]
"""Maps h (m, P_hi) and the positions in front that have no place in the image -> initial relevance (m, P_hi)."""


@dataclass(frozen=True)
class Look:
    """Pairs of images and neurons, seen through a segment.

    lower : (B, C_lo, P_lo) activations.      forward : the segment.
    image, channel : (n,) int64 row of the batch and upper channel of each pair.
    skip : positions of the upper map without a place in the image (the class token).
    chunk : images in one pass, which bounds memory.
    width : channels of the upper layer that are neurons of it; those behind are read-outs, whose pairs get vectors
        but which no activation vector shows. None for all.
    hidden : (n, h) int64 upper channels that a pair's activation vectors show as zero; None for none.
    through : another function in the segment's place -> the forward that goes through it; None where there is none.

    What several variants start from is computed once a look and kept with it.
    """

    lower: Tensor
    forward: Forward
    image: Tensor
    channel: Tensor
    skip: int = 0
    chunk: int = 64
    width: int | None = None
    hidden: Tensor | None = None
    through: Callable[[Raw], Forward] | None = None

    @cached_property
    def relevance(self) -> Tensor:
        """(n, C_lo) R from the whole map."""
        return relevance(self)

    @cached_property
    def peak_relevance(self) -> Tensor:
        """(n, C_lo) R from the map's maximum alone."""
        return relevance(self, peak_start)

    @cached_property
    def peak_activations(self) -> Tensor:
        """(n, C_hi) all channels of the neuron's layer where the neuron is largest."""

        def read(maps: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
            return maps[rows, :, peaks(maps[rows, channels], self.skip)]

        return _activations(self, read)


class _Round(NamedTuple):
    """Pairs of one backward pass: their places in the look, and the rows of the chunk they read."""

    pairs: Tensor
    rows: Tensor


def relu_start(h: Tensor, skip: int) -> Tensor:
    """relu(h): the authors' start."""
    return h.clamp(min=0)


def one_start(h: Tensor, skip: int) -> Tensor:
    """1 at every position."""
    return torch.ones_like(h)


def peak_start(h: Tensor, skip: int) -> Tensor:
    """relu(h) at the map's largest value (the first of equals), 0 elsewhere."""
    at = peaks(h, skip)[:, None]
    return torch.zeros_like(h).scatter_(1, at, h.gather(1, at).clamp(min=0))


def peaks(h: Tensor, skip: int) -> Tensor:
    """(m,) position of the largest value of maps (m, P), those in front left out."""
    return h[:, skip:].argmax(1) + skip if h.shape[1] > skip else h.argmax(1)


def relevance(look: Look, start: Start = relu_start, *, times_input: bool = True) -> Tensor:
    """(n, C_lo) R of every pair, before any normalisation.

    ``times_input`` False sums the gradient itself, for segments whose backward pass already carries relevance (LRP).
    Rows of pairs whose start is zero everywhere are zero.
    """
    found = look.lower.new_zeros((len(look.image), look.lower.shape[1]))
    for rows, rounds in _passes(look):
        a = look.lower[rows].detach().requires_grad_(True)
        with torch.enable_grad():
            b = look.forward(a, rows)
        maps = b.detach()
        cotangent = torch.zeros_like(maps)
        for number, turn in enumerate(rounds, start=1):
            channels = look.channel[turn.pairs]
            cotangent[turn.rows, channels] = start(maps[turn.rows, channels], look.skip)
            (g,) = torch.autograd.grad(b, a, cotangent, retain_graph=number < len(rounds))
            cotangent[turn.rows, channels] = 0
            r = torch.einsum("bcp,bcp->bc", a.detach(), g) if times_input else g.sum(2)
            found[turn.pairs] = r[turn.rows]
    return found


def l1_unit(r: Tensor) -> Tensor:
    """Rows over (their L1 norm + 1e-10); zero rows stay zero."""
    return r / (r.abs().sum(1, keepdim=True) + EPSILON)


def l2_unit(r: Tensor) -> Tensor:
    """Rows over (their L2 norm + 1e-10); zero rows stay zero."""
    norm: Tensor = r.norm(dim=1, keepdim=True)
    return r / (norm + EPSILON)


def pure(look: Look) -> Tensor:
    """(n, C_lo) the authors' circuit vectors."""
    return l1_unit(look.relevance)


def one(look: Look) -> Tensor:
    """(n, C_lo) relevance 1 at every position of the neuron's map."""
    return l1_unit(relevance(look, one_start))


def at_max(look: Look) -> Tensor:
    """(n, C_lo) relevance started at the neuron's maximum alone."""
    return l1_unit(look.peak_relevance)


def at_max_l2(look: Look) -> Tensor:
    """(n, C_lo) :func:`at_max` over its L2 norm."""
    return l2_unit(look.peak_relevance)


def whole_map(look: Look) -> Tensor:
    """(n, C_hi) mean over positions of relu of all channels of the neuron's layer: the paper's baseline."""
    return _activations(look, lambda maps, rows, channels: maps.clamp(min=0).mean(2)[rows])


def local(look: Look) -> Tensor:
    """(n, C_hi) all channels of the neuron's layer where the neuron is largest."""
    return look.peak_activations


def weighted(look: Look) -> Tensor:
    """(n, C_hi) signed roots of all channels of the neuron's layer, summed with the weights relu(h)², of length 1.

    Between :func:`whole_map` and :func:`local`: what is active where the neuron is.
    """

    def read(maps: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
        return torch.einsum("mp,mcp->mc", maps[rows, channels].clamp(min=0).square(), maps[rows])

    return l2_unit(signed_root(_activations(look, read)))


def hybrid(look: Look) -> Tensor:
    """(n, C_lo + 2 C_hi) signed roots of R, :func:`weighted` and those of :func:`local`, of lengths 1, 1 and ½."""
    near = l2_unit(signed_root(look.peak_activations))
    parts = [l2_unit(signed_root(look.relevance)), weighted(look), LOCAL_SHARE**0.5 * near]
    return torch.cat(parts, 1)


def signed_root(r: Tensor) -> Tensor:
    """sign(r) √|r|: a few large channels no longer decide all distances."""
    return r.sign() * r.abs().sqrt()


VARIANTS: Mapping[str, Callable[[Look], Tensor]] = {
    "pure": pure,
    "one": one,
    "at-max": at_max,
    "at-max-l2": at_max_l2,
    "map": whole_map,
    "local": local,
    "weighted": weighted,
    "hybrid": hybrid,
}
"""Name -> vectors (n, D) that references are clustered by."""


def _activations(look: Look, read: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    parts: Tensor | None = None
    with torch.no_grad():
        for start in range(0, len(look.lower), look.chunk):
            rows = torch.arange(start, min(len(look.lower), start + look.chunk), device=look.lower.device)
            pairs = torch.nonzero((look.image >= start) & (look.image < start + look.chunk))[:, 0]
            if not len(pairs):
                continue
            maps = look.forward(look.lower[rows], rows)
            values = read(maps, look.image[pairs] - start, look.channel[pairs])[:, : look.width]
            if look.hidden is not None:
                values = values.scatter(1, look.hidden[pairs], 0)
            if parts is None:
                parts = values.new_empty((len(look.image), values.shape[1]))
            parts[pairs] = values
    return look.lower.new_empty((0, 0)) if parts is None else parts


def _passes(look: Look) -> Iterator[tuple[Tensor, list[_Round]]]:
    """Rows of the batch that run together, and their backward passes.

    Images with most pairs come first; when half of a chunk's images have run out, the rest goes on in a new pass.
    """
    counts = torch.bincount(look.image, minlength=len(look.lower))
    order = torch.argsort(counts, descending=True, stable=True)
    order = order[counts[order] > 0]
    by_image = torch.argsort(look.image, stable=True)
    first = torch.cumsum(counts, 0) - counts
    for start in range(0, len(order), look.chunk):
        rows, done = order[start : start + look.chunk], 0
        while len(rows):
            # Descending counts: those that go on after any round are a beginning of the chunk.
            left = counts[rows]
            stop = int(left[len(rows) // 2]) if len(rows) > 1 else int(left[0])
            rounds = []
            for turn in range(done, stop):
                alive = int((left > turn).sum())
                pairs = by_image[first[rows[:alive]] + turn]
                rounds.append(_Round(pairs, torch.arange(alive, device=rows.device)))
            if rounds:
                yield rows, rounds
            done = stop
            rows = rows[left > stop]
