"""The numbers of a PURE run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PureParameters:
    """All numbers of a PURE run.

    references : best images of a neuron that are split.
    senses : most senses a neuron is split into.
    restarts : of each clustering.
    least : references that the smallest sense of a split must have.
    lower : layer whose neurons feed the senses; empty is the layer before.
    variant : which vectors are split.
    chunk_bytes : memory for one batch of gradients.
    """

    references: int = 100
    senses: int = 5
    restarts: int = 10
    least: int = 10
    lower: str = ""
    variant: str = "pure"
    chunk_bytes: int = 256 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """For the Run; memory is no part of what a run is."""
        fields = asdict(self)
        del fields["chunk_bytes"]
        return fields
