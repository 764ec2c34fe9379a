"""The numbers of a GIG run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GigParameters:
    """All numbers of a GIG run.

    dictionary : how concepts are found; a name of the dictionary registry, or ``file:PATH``.
    concepts : K per layer; 0 is min(8 C, N / 4).
    l0 : wished share of zero coefficients; 0 is .9965, but five active concepts at least.
    steps : midpoint steps of the path integral.
    top_concepts : targets per class and layer.
    images_per_class : images that a class's contributions are averaged over, at most.
    space : ``pre`` or ``post`` activation.
    target : what of a class is explained: ``logit`` or ``probability``.
    residual : add what the codes leave out to the path as a constant; the paper does not.
    keep : stored sources per target and source layer.
    express : stored concepts per image and layer.
    exemplars : pictures and largest channels a concept is shown by.
    chunk_bytes : memory for one batch of gradients.
    """

    dictionary: str = "kmeans"
    concepts: int = 0
    l0: float = 0.0
    steps: int = 32
    top_concepts: int = 20
    images_per_class: int = 10
    space: str = "pre"
    target: str = "logit"
    residual: bool = False
    keep: int = 32
    express: int = 10
    exemplars: int = 10
    chunk_bytes: int = 64 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """For the Run; memory is no part of what a run is."""
        fields = asdict(self)
        del fields["chunk_bytes"]
        return fields
