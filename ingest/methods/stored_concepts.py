"""The concepts of a finished GIG run, read back from its spool: what questions and evaluations start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.errors import DataError
from atlas.schema import TABLES
from atlas.spool import Spool
from ingest.layers import LayerSpec
from ingest.methods.survey import Subject


@dataclass(frozen=True)
class StoredConcepts:
    """One layer's dictionary as the graph holds it.

    id : of the dictionary.      ids : of its K concepts, by ordinal.      vectors : (K, C) float32 unit rows.
    penalty : λ.
    """

    id: str
    ids: tuple[str, ...]
    vectors: Tensor
    penalty: float


def stored_concepts(
    spools: Path, run: str, subject: Subject, layers: Sequence[LayerSpec]
) -> dict[str, StoredConcepts]:
    """Layer name → its dictionary, for the layers that have one.

    Raises DataError if the run's spool is gone, or holds no dictionary.
    """
    folder = spools / run
    if not folder.is_dir():
        raise DataError(
            "the spool of this run is gone", where=folder, next_step="run the same `atlas ingest` again"
        )
    spool = Spool.open(folder)
    owner = {row["end"]: row["start"] for row in _rows(spool, "Layer-HAS_DICTIONARY-Dictionary")}
    names = {subject.layer_id(layer): layer.name for layer in layers}
    concepts: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(spool, "Concept"):
        concepts.setdefault(row["dictionary"], []).append(row)
    found = {}
    for row in _rows(spool, "Dictionary"):
        own = sorted(concepts.get(row["id"], []), key=lambda concept: int(concept["ordinal"]))
        name = names.get(owner.get(row["id"], ""))
        if name is not None and own:
            vectors = torch.from_numpy(np.array([concept["vector"] for concept in own], np.float32))
            ids = tuple(str(concept["id"]) for concept in own)
            found[name] = StoredConcepts(str(row["id"]), ids, vectors, float(row["λ"]))
    if not found:
        raise DataError("this run holds no dictionary", where=run, next_step="`atlas ingest --methods gig`")
    return found


def _rows(spool: Spool, name: str) -> list[dict[str, Any]]:
    table = TABLES[name]
    columns = [column.name for column in table.columns]
    return [
        dict(zip(columns, row, strict=True)) for batch in spool.batches(table, size=1000) for row in batch
    ]
