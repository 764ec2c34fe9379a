"""Which senses of a layer are fed alike: the best few of each, by cosine of what is stored of its feeders.

Notation
--------
S senses of one layer, n lower neurons, P pairs.
X : (S, n) relevances, zero where none is stored; a few entries a row.
cos : (S, S) X_a · X_b / (|X_a| |X_b|), zero where a sense has no feeder and between senses of one neuron.

All pairs are compared, some columns of cos at a time, so that memory is bounded whatever S is. A cosine is rounded to
``DIGITS`` decimals: what is equal but for the order of a sum ties, and ties go to the lower place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DIGITS = 12


@dataclass(frozen=True)
class Entries:
    """The entries of X that are stored, each place once: row and column (E,), int64; value (E,), float64."""

    row: Tensor
    column: Tensor
    value: Tensor


@dataclass(frozen=True)
class Alike:
    """Pairs, (P,) each, by sense and rank: a sense, another, their cosine, and its rank among those of the first."""

    sense: Tensor
    other: Tensor
    cosine: Tensor
    rank: Tensor


def alike(entries: Entries, owner: Tensor, most: int, chunk_bytes: int) -> Alike:
    """The best ``most`` senses of other neurons for every sense, those with a cosine above zero.

    Parameters
    ----------
    owner : (S,) neuron of each sense, int64.
    chunk_bytes : memory for the part of cos that is held at once.
    """
    x, senses = _unit_rows(entries, len(owner)), len(owner)
    width = max(1, chunk_bytes // (8 * (4 * senses + x.shape[1])))
    found = []
    for first in range(0, senses, width):
        own = torch.arange(first, min(senses, first + width), device=owner.device)
        # (n, R) of these senses times all rows: one factor is dense, and only for a chunk.
        part = torch.index_select(x, 0, own).to_dense().T.contiguous()
        cosine = torch.sparse.mm(x, part).T.round(decimals=DIGITS)
        cosine[owner[own].unsqueeze(1) == owner.unsqueeze(0)] = 0
        row, other, value, rank = _best(cosine, most)
        found.append((own[row], other, value, rank))
    if not found:
        none = entries.row[:0]
        return Alike(none, none, entries.value[:0], none)
    return Alike(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def shared(sense: Tensor, item: Tensor, first: Tensor, second: Tensor, chunk_bytes: int) -> Tensor:
    """(P,) how many items two senses have in common.

    Parameters
    ----------
    sense, item : (E,) int64; the items of each sense, such as its feeders or its references.
    first, second : (P,) int64, senses.
    chunk_bytes : memory for the items of the pairs that are compared at once.
    """
    if not len(sense) or not len(first):
        return torch.zeros_like(first)
    wide = int(item.max()) + 1
    codes = torch.unique(sense * wide + item)
    senses = int(torch.stack([sense.max(), first.max(), second.max()]).max()) + 1
    counts = torch.bincount(codes // wide, minlength=senses)
    starts = counts.cumsum(0) - counts
    width = max(1, chunk_bytes // (48 * max(1, int(counts.max()))))
    found = []
    for at in range(0, len(first), width):
        a, b = first[at : at + width], second[at : at + width]
        own = counts[a]
        pair = torch.repeat_interleave(torch.arange(len(a), device=a.device), own)
        place = torch.arange(len(pair), device=a.device) - (own.cumsum(0) - own)[pair]
        wanted = b[pair] * wide + codes[starts[a][pair] + place] % wide
        near = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
        found.append(torch.bincount(pair[codes[near] == wanted], minlength=len(a)))
    return torch.cat(found)


def _unit_rows(entries: Entries, senses: int) -> Tensor:
    """(S, n) sparse X, every row of length 1; n is the last neuron that feeds one."""
    square = torch.zeros(senses, dtype=entries.value.dtype, device=entries.value.device)
    square.index_add_(0, entries.row, entries.value**2)
    unit = entries.value / square.sqrt()[entries.row]
    neurons = int(entries.column.max()) + 1 if len(entries.column) else 1
    at = torch.stack([entries.row, entries.column])
    return torch.sparse_coo_tensor(
        at, unit, (senses, neurons), device=unit.device, check_invariants=True
    ).coalesce()


def _best(cosine: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row, column, value and rank of the largest positive entries of each row; ties by column."""
    count = min(most, cosine.shape[1])
    least = cosine.topk(count, dim=1).values[:, -1:]
    # Those that tie with the last are here too, so that the choice among them is by column.
    row, column = torch.nonzero((cosine >= least) & (cosine > 0), as_tuple=True)
    value = cosine[row, column]
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(row[order], stable=True)]
    row, column, value = row[order], column[order], value[order]
    sizes = torch.bincount(row, minlength=len(cosine))
    rank = torch.arange(len(row), device=row.device) - (sizes.cumsum(0) - sizes)[row] + 1
    kept = rank <= most
    return row[kept], column[kept], value[kept], rank[kept]
