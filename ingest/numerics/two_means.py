"""Spherical 2-means of many clusters at once: what bisecting k-means splits by (methods 4.1).

Notation
--------
x̂ : (N, C) unit vectors.      y : (N, D) what large clusters are split by, kept so that each cluster is a slice of it.
m : members of a cluster.
R : restarts.      G : clusters in a block.
split : the members on one side of the plane between two centres; a centre is the normalised sum of its side.
quality : ‖Σ one side‖ + ‖Σ other side‖ = m − inertia, what Lloyd's iterations make larger.

A split depends on its own members and the seed alone. Small clusters are padded to one (G, m, C) block, all restarts
in two matrix products an iteration. Of a large one the restarts are tried on some members, evenly taken; the best
goes on over all of them, panel by panel, each read once an iteration. Where few principal directions of x̂ hold nearly
all of its length (``energy``), y is x̂ in these, so that large clusters cost D and not C; else y is x̂.

Source: Steinbach et al. 2000; Dhillon & Modha 2001 for the spherical form. Our choice: the first centre is a member
drawn evenly, the second one drawn by 1 − ⟨x̂, c⟩.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Ints = NDArray[np.int64]
Slice = tuple[int, int]
SAME = 1e-6
"""Two directions closer than this in 1 − ⟨x̂, ŷ⟩ are one."""
CACHED_BYTES = 2 * 2**20
CHUNK_BYTES = 256 * 2**20
PRINCIPAL_ON = 4096
"""Vectors that principal directions are found on."""


@dataclass(frozen=True)
class Search:
    """How a split is searched for.

    restarts : first centres tried.      iterations : of Lloyd, at most.
    gain : least fall of the inertia, as a share of it, that is worth another iteration.
    sample : members that restarts are tried on, of a large cluster: one with twice as many or more.
    energy : share of the squared length that the principal directions must hold; 1 keeps all C.
    chunk_bytes : of one block; 0 is what a processor's cache holds, or 256 MiB on a GPU.
    """

    restarts: int = 5
    iterations: int = 20
    gain: float = 1e-3
    sample: int = 512
    energy: float = 0.95
    chunk_bytes: int = 0


class Splitter:
    """Splits clusters of unit vectors (N, C), many at once.

    A cluster is a slice of ``rows`` (N,), which says which vectors these are, ascending in every cluster. ``unit``
    may be put in the same order.
    """

    def __init__(self, unit: Tensor, seed: int, search: Search) -> None:
        self.rows = torch.arange(len(unit), device=unit.device)
        few = principal(unit, search.energy) if len(unit) >= 2 * search.sample else None
        self._y = unit if few is None else few
        self._unit = None if few is None else unit
        self._seed = seed
        self._search = search
        default = CACHED_BYTES if unit.device.type == "cpu" else CHUNK_BYTES
        row = self._y.shape[1] * self._y.element_size()
        self._held = max(1, (search.chunk_bytes or default) // row)

    def members(self, own: Slice) -> Tensor:
        """(m, C) the unit vectors of a cluster."""
        start, stop = own
        return self._y[start:stop] if self._unit is None else self._unit[self.rows[start:stop]]

    def split(self, clusters: Sequence[Slice]) -> list[tuple[Slice, Slice] | None]:
        """Per cluster its two parts, the larger first, or None if it has one direction."""
        sides: dict[Slice, Tensor | None] = dict.fromkeys(clusters)
        draws = dict(zip(clusters, self._draws(clusters), strict=True))
        large = [own for own in clusters if own[1] - own[0] >= 2 * self._search.sample]
        small = [own for own in clusters if 1 < own[1] - own[0] < 2 * self._search.sample]
        step = max(1, self._held // self._search.sample)
        for block in (large[at : at + step] for at in range(0, len(large), step)):
            sides |= zip(block, self._sampled(block, draws), strict=True)
        for block in self._blocks(small):
            sides |= zip(
                block, self._whole(block, [self._y[slice(*own)] for own in block], draws), strict=True
            )
        for own in (own for own in clusters if sides[own] is None and own[1] - own[0] > 1):
            # What looks like one direction in part of the members or of their coordinates may be several.
            sides |= zip([own], self._whole([own], [self.members(own)], draws), strict=True)
        return [self._parted(own, sides[own]) for own in clusters]

    def _parted(self, own: Slice, side: Tensor | None) -> tuple[Slice, Slice] | None:
        """Puts the members of the larger side first; None where there is no split."""
        if side is None:
            return None
        one, other = torch.nonzero(side).flatten(), torch.nonzero(~side).flatten()
        if not len(one) or not len(other):
            return None
        order = torch.cat([one, other] if len(one) >= len(other) else [other, one])
        start, stop = own
        self._y[start:stop] = self._y[start:stop][order]
        self.rows[start:stop] = self.rows[start:stop][order]
        middle = start + max(len(one), len(other))
        return (start, middle), (middle, stop)

    def _blocks(self, clusters: Sequence[Slice]) -> Iterator[list[Slice]]:
        """Clusters in blocks of like sizes within the budget."""
        block: list[Slice] = []
        for own in sorted(clusters, key=lambda own: (own[0] - own[1], own[0])):
            size = own[1] - own[0]
            widest = block[0][1] - block[0][0] if block else 0
            if block and ((len(block) + 1) * widest > self._held or 4 * size < 3 * widest - 4):
                yield block
                block = []
            block.append(own)
        if block:
            yield block

    def _whole(
        self, clusters: Sequence[Slice], members: list[Tensor], draws: Mapping[Slice, Tensor]
    ) -> list[Tensor | None]:
        """Per cluster (m,) one side of the best restart, over all of its members (m, C or D); None if it is one."""
        sizes = [len(own) for own in members]
        x = pad_sequence(members, batch_first=True) if len(members) > 1 else members[0][None]
        inside = torch.arange(x.shape[1], device=x.device) < torch.tensor(sizes, device=x.device)[:, None]
        first, second, spread = _centres(x, inside, torch.stack([draws[own] for own in clusters]))
        found = self._lloyd(x, inside, first - second)
        apart = (spread > SAME).tolist()
        return [found.side[g, :size] if apart[g] else None for g, size in enumerate(sizes)]

    def _sampled(self, clusters: Sequence[Slice], draws: Mapping[Slice, Tensor]) -> list[Tensor | None]:
        """The same for large clusters, restarts over a sample; None where it does not part."""
        count = self._search.sample
        some = torch.arange(count, device=self._y.device)
        at = torch.stack([start + some * (stop - start) // count for start, stop in clusters])
        x = self._y[at]
        inside = torch.ones(at.shape, dtype=torch.bool, device=x.device)
        first, second, spread = _centres(x, inside, torch.stack([draws[own] for own in clusters]))
        tried = self._lloyd(x, inside, first - second)
        towards = _difference(tried.one, x.sum(1, keepdim=True))[0][:, 0]
        apart = (spread > SAME).tolist()
        return [
            self._streamed(own, towards[g], count) if apart[g] else None for g, own in enumerate(clusters)
        ]

    def _streamed(self, own: Slice, difference: Tensor, sampled: int) -> Tensor | None:
        """Lloyd's iterations over all members, from the ``difference`` (C,) of two centres."""
        x = self._y[own[0] : own[1]]
        total = x.sum(0)
        side = torch.empty(len(x), dtype=torch.bool, device=x.device)
        panel, before = max(1, self._held // 2), -1.0
        for _ in range(self._search.iterations):
            one = torch.zeros_like(total)
            for rows, mark in zip(torch.split(x, panel), torch.split(side, panel), strict=True):
                torch.gt(rows @ difference, 0, out=mark)
                one += mark.to(x.dtype) @ rows
            towards, quality = _difference(one, total)
            reached = float(quality)
            if reached - before <= self._search.gain * (len(x) - reached):
                break
            before = reached
            difference = towards
        count = int(side.sum())
        return side if 0 < count < len(x) else None

    def _lloyd(self, x: Tensor, inside: Tensor, difference: Tensor) -> _Split:
        """The best restart of each cluster.

        x : (G, m, C), zero rows where not ``inside`` (G, m).      difference : (G, R, C) of the two centres.
        """
        total, sizes = x.sum(1, keepdim=True), inside.sum(1, keepdim=True)
        across, before = x.transpose(1, 2), x.new_full((len(x), 1), -1.0)
        for _ in range(self._search.iterations):
            # Rows behind the members are zero and so on no side.
            side = difference @ across > 0
            one = side.to(x.dtype) @ x
            towards, quality = _difference(one, total)
            reached = quality.amax(1)
            # Each cluster stops by itself: what it becomes does not depend on those beside it.
            moving = reached - before > self._search.gain * (sizes - reached)
            if not bool(moving.any()):
                break
            before = torch.where(moving, reached, before)
            difference = torch.where(moving[..., None], towards, difference)
        # A side without members is no split; another restart may have one.
        count = side.sum(2)
        empty = (count == 0) | (count == sizes)
        best = quality[..., 0].masked_fill(empty, -1).argmax(1)
        rows = torch.arange(len(x), device=x.device)
        return _Split(side[rows, best], one[rows, best][:, None])

    def _draws(self, clusters: Sequence[Slice]) -> Tensor:
        """(G, R, 2) numbers that depend on a cluster's first member, its size and the seed."""
        starts = torch.tensor([start for start, _ in clusters], device=self.rows.device)
        first = self.rows[starts].cpu().numpy().astype(np.uint64)
        size = np.array([stop - start for start, stop in clusters], np.uint64)
        start = np.uint64(self._seed * 0x9E3779B97F4A7C15 % 2**64)
        base = _mix(_mix(first ^ start) ^ size)
        turns = np.arange(2 * self._search.restarts, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        bits = _mix(base[:, None] + turns) >> np.uint64(11)
        numbers = (bits.astype(np.float64) / 2.0**53).reshape(len(clusters), -1, 2)
        return torch.from_numpy(numbers).to(self._y.device, self._y.dtype)


@dataclass(frozen=True)
class _Split:
    """One side of G clusters: its members (G, m), their sum (G, 1, C)."""

    side: Tensor
    one: Tensor


def principal(unit: Tensor, energy: float) -> Tensor | None:
    """(N, D) unit vectors (N, C) in the directions that hold ``energy`` of their squared length, normalised again.

    The directions are those of at most 4,096 vectors, evenly taken. None where it takes more than half of C.
    """
    some = unit[:: -(-len(unit) // PRINCIPAL_ON)]
    values, directions = torch.linalg.eigh(some.T @ some)
    held = values.flip(0).cumsum(0)
    count = int((held < energy * held[-1]).sum()) + 1
    if 2 * count > unit.shape[1]:
        return None
    return torch.nn.functional.normalize(unit @ directions[:, -count:], dim=1)


def _difference(one: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Unit sums of both sides, one less the other (…, C); the sum of their lengths (…, 1)."""
    other = total - one
    least = torch.finfo(one.dtype).tiny
    here = torch.linalg.vector_norm(one, dim=-1, keepdim=True)
    there = torch.linalg.vector_norm(other, dim=-1, keepdim=True)
    return one / here.clamp(min=least) - other / there.clamp(min=least), here + there


def _centres(x: Tensor, inside: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two members per restart, (G, R, C) each, and (G,) the largest 1 − ⟨first, member⟩ seen.

    The first is drawn evenly, the second with a weight of 1 − ⟨first, member⟩.
    """
    rows = torch.arange(len(x), device=x.device)[:, None]
    sizes = inside.sum(1, keepdim=True)
    first = x[rows, (draws[..., 0] * sizes).long().clamp(max=x.shape[1] - 1)]
    apart = (1 - first @ x.transpose(1, 2)).clamp(min=0) * inside[:, None]
    apart = apart.masked_fill(apart <= SAME, 0)
    sums = apart.double().cumsum(2)
    wished = draws[..., 1:].double() * sums[..., -1:]
    at = torch.searchsorted(sums, wished, right=True).squeeze(2).clamp(max=x.shape[1] - 1)
    return first, x[rows, at], apart.amax((1, 2))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: bits of neighbouring numbers become unlike."""
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
