"""The numbers of a CLA run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ClaParameters:
    """All numbers of a CLA run.

    k : neurons of a circuit per layer.
    keep : targets per scope and layer whose edges are stored, those of largest total attribution.
    hops : layers an edge may span.
    images_per_scope : images a scope's scores are averaged over, at most.
    scopes : ``classes``, or a JSON file {name: [image names]}.
    screen : also store first-order screening edges.
    chunk_bytes : memory for one batch of gradients.
    """

    k: int = 8
    keep: int = 64
    hops: int = 1
    images_per_scope: int = 10
    scopes: str = "classes"
    screen: bool = False
    chunk_bytes: int = 256 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """For the Run; memory is no part of what a run is."""
        fields = asdict(self)
        del fields["chunk_bytes"]
        return fields
