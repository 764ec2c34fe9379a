"""Senses of a layer that are fed alike, as a table, made of the tables of all its senses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.spool import Coded
from ingest.methods.stage import Columns, Table
from ingest.numerics.resemblance import Entries, alike, shared

Ints = NDArray[np.int64]

RESEMBLES = "Sense-RESEMBLES-Sense"
PART_BYTES = 32 * 2**20
"""Of cosines held at once; larger parts leave the processor's cache and take twice as long."""
_OWNED, _FED, _SEEN = "Neuron-HAS_SENSE-Sense", "Neuron-FEEDS_SENSE-Sense", "Sense-EXEMPLIFIED_BY-Image"


def alike_table(shards: Iterable[Sequence[Table]], most: int) -> Table | None:
    """The best ``most`` senses of other neurons for every sense of a layer; None where there is no pair.

    Parameters
    ----------
    shards : the tables of each block of the layer, in which neurons and images are coded alike.
    """
    # Of each block only what is compared; it holds much else.
    blocks = [
        {name: columns for name, columns in tables if name in (_OWNED, _FED, _SEEN)} for tables in shards
    ]
    blocks = [block for block in blocks if block]
    if not blocks:
        return None
    owned = {
        str(sense): str(neuron)
        for block in blocks
        for neuron, sense in zip(
            *(np.asarray(block[_OWNED][end]).tolist() for end in ("start", "end")), strict=True
        )
    }
    # Ties go by id, so the senses stand by id, whatever the blocks were.
    ids = sorted(owned)
    owner = np.unique([owned[sense] for sense in ids], return_inverse=True)[1]
    sense, neuron = _coded(blocks, _FED, "end", "start", ids)
    relevance = np.concatenate([np.asarray(block[_FED]["relevance"], np.float64) for block in blocks])
    entries = Entries(sense, neuron, torch.from_numpy(relevance))
    found = alike(entries, torch.from_numpy(owner.astype(np.int64)), most, PART_BYTES)
    if not len(found.sense):
        return None
    seen = _coded(blocks, _SEEN, "start", "end", ids)
    pair = (found.sense, found.other)
    table: dict[str, Any] = {
        "start": Coded(found.sense.numpy(), ids),
        "end": Coded(found.other.numpy(), ids),
        "cosine": found.cosine.numpy(),
        "neurons": shared(sense, neuron, *pair, PART_BYTES).numpy(),
        "images": shared(*seen, *pair, PART_BYTES).numpy(),
        "rank": found.rank.numpy(),
    }
    return RESEMBLES, table


def _coded(
    blocks: Sequence[dict[str, Columns]], table: str, sense: str, item: str, ids: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Places of the senses among ``ids``, and codes of what they are joined to, over all blocks."""
    place = {name: at for at, name in enumerate(ids)}
    senses, items = [], []
    for block in blocks:
        own, other = block[table][sense], block[table][item]
        if not isinstance(own, Coded) or not isinstance(other, Coded):
            raise TypeError(f"{table} holds no codes")
        senses.append(np.array([place[str(name)] for name in own.names], np.int64)[np.asarray(own.codes)])
        items.append(np.asarray(other.codes, np.int64))
    return torch.from_numpy(np.concatenate(senses)), torch.from_numpy(np.concatenate(items))
