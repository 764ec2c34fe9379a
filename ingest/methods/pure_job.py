"""The numbers of a PURE run."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from atlas.errors import DataError
from ingest.numerics.pure import VARIANTS

MOST_SENSES = 20
LRP = ("lrp-epsilon", "lrp-flat")
"""Variants of the extra ``lrp``."""


@dataclass(frozen=True)
class PureParameters:
    """All numbers of a PURE run.

    references : best list images of a neuron that are split (100; fewer where the neuron is silent).
    senses : how many senses a split may have, ``LOW..HIGH`` (the largest silhouette decides) or one number.
    restarts : of each clustering.
    least : references that the smallest sense of a split must have.
    level : share of false splits that is accepted among the splits (Benjamini–Hochberg over all neurons).
    lower : layer whose neurons feed the senses; empty is the nearest layer before.
    variant : which vectors are split: pure (the authors'), one, at-max, at-max-l2, map, local, weighted,
        hybrid, and with the extra ``lrp`` lrp-epsilon and lrp-flat.
    feeds : stored lower neurons a sense.
    flow_images : references of a sense that its flow to the next layer is averaged over.
    flow_targets : stored neurons of the next layer a sense.
    alike : stored senses of other neurons of the layer that are fed most alike, a sense; 0 stores none.
    chunk_bytes : memory for the gradients of one pass.
    vector_bytes : memory for the vectors of the neurons that are split together.
    """

    references: int = 100
    senses: str = "2..5"
    restarts: int = 10
    least: int = 10
    level: float = 0.05
    lower: str = ""
    variant: str = "pure"
    feeds: int = 20
    flow_images: int = 10
    flow_targets: int = 20
    alike: int = 10
    chunk_bytes: int = 256 * 2**20
    vector_bytes: int = 512 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """For the Run; memory is no part of what a run is."""
        fields = asdict(self)
        del fields["chunk_bytes"], fields["vector_bytes"]
        return fields

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of senses that are tried. Raises DataError if ``senses`` says no such numbers."""
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", self.senses)
        low, high = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
        if not 2 <= low <= high <= MOST_SENSES:
            raise DataError(
                "not a number of senses",
                where="pure.senses",
                expected=f"LOW..HIGH or one number, from 2 to {MOST_SENSES}",
                got=self.senses,
            )
        return tuple(range(low, high + 1))

    def check(self) -> None:
        """Raise DataError for parameters that no run can have."""
        _ = self.counts
        if self.variant not in (*VARIANTS, *LRP):
            raise DataError(
                "no such variant",
                where="pure.variant",
                expected=", ".join([*VARIANTS, *LRP]),
                got=self.variant,
            )
        for name in ("references", "restarts", "least", "feeds", "flow_images", "flow_targets", "alike"):
            least = int(name != "alike")
            if getattr(self, name) < least:
                raise DataError(
                    "too small", where=f"pure.{name}", expected=f"at least {least}", got=getattr(self, name)
                )
