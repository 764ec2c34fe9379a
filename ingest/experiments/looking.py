"""Vectors of many neurons' references by every variant, trained neurons and spliced ones alike.

Notation: S neurons with n references each; D_v numbers of a variant's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ingest.experiments.splice import Batches, Ints, Splices
from ingest.methods.pure import Lens, pair_vectors
from ingest.numerics.pure import VARIANTS, Look
from ingest.segments import Trace


@dataclass(frozen=True)
class SplicedLens(Lens):
    """A lens whose upper layer has spliced neurons behind its channels.

    Activation vectors show neither the spliced neurons nor, for a pair of one of them, its parents: these would tell
    the truth by themselves.
    """

    splices: Splices

    @classmethod
    def of(cls, lens: Lens, splices: Splices) -> SplicedLens:
        """The lens with spliced neurons."""
        return cls(lens.lower, lens.upper, lens.segment, splices)

    def look(self, clean: Mapping[str, Tensor], image: Tensor, channel: Tensor, chunk_bytes: int) -> Look:
        """As that of a lens; channels from the layer's width on are spliced neurons."""
        plain = super().look(clean, image, channel, chunk_bytes)
        width = self.upper.channels

        def forward(units: Tensor, rows: Tensor) -> Tensor:
            upper = plain.forward(units, rows)
            return torch.cat([upper, self.splices.read(upper)], 1)

        parents = torch.from_numpy(self.splices.parents).to(channel.device)
        return replace(plain, forward=forward, width=width, hidden=parents[channel - width])


@dataclass(frozen=True)
class Watched:
    """Neurons whose references are looked at.

    rows : (S, n) references, rows of the store.
    channels : (S,) channels of the upper layer; with ``splices`` the ordinals of these instead.
    splices : neurons that are no channels of their own.
    """

    rows: Ints
    channels: Ints
    splices: Splices | None = None

    def take(self, some: slice) -> Watched:
        """Some of them."""
        if self.splices is None:
            return Watched(self.rows[some], self.channels[some])
        own = self.splices.take(self.channels[some])
        return Watched(self.rows[some], np.arange(len(own)), own)

    def through(self, lens: Lens) -> tuple[Lens, Ints]:
        """The lens that shows them, and their channels in it."""
        if self.splices is None:
            return lens, self.channels
        return SplicedLens.of(lens, self.splices), lens.upper.channels + self.channels


def watch(
    trace: Trace, lens: Lens, watched: Watched, batches: Batches, names: Sequence[str], chunk_bytes: int
) -> dict[str, Tensor]:
    """(S, n, D_v) float32 on the CPU of each variant named."""
    own, channels = watched.through(lens)
    count, n = watched.rows.shape
    pairs = (watched.rows.ravel(), np.repeat(channels, n))
    functions = [VARIANTS[name] for name in names]
    found = pair_vectors(own, trace, batches, pairs, functions, chunk_bytes)
    return {
        name: vectors.float().cpu().view(count, n, -1) for name, vectors in zip(names, found, strict=True)
    }
