"""One sense taken away: the inputs that feed it and no other sense of the neuron are set to zero.

Notation: a neuron with K senses; f : (K, C_lo) mean circuit vector of each (unitless, signed); P images.
Change of the neuron on an image: Σ over positions of |relu(h) − relu(h')| / Σ relu(h), h its map, h' its map with the
inputs at zero; 1 where the neuron falls silent.

Inputs are chosen on the references, and judged on images that chose nothing. Controls take as many inputs of about the
same relevance to the *whole* neuron, drawn among the rest: what distinguishes a sense is then not how much was removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.gcc_job import Loader
from ingest.methods.pure import Lens
from ingest.segments import Trace

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Measure = Callable[[Sequence[Ints]], Array]
"""Cuts of lower channels -> (cuts, P) changes."""

EXCLUSIVE = 5.0
NEAREST = 4


@dataclass(frozen=True)
class SenseEffect:
    """What removing a sense's inputs did to its neuron.

    sense.      inputs : lower channels removed.
    own, others : mean change on images of that sense and of the other senses, and n_own, n_others of them.
    random, random_std : mean change on the sense's own images when other inputs of equal relevance are removed, and
        its deviation over draws.
    """

    sense: int
    inputs: tuple[int, ...]
    own: float
    others: float
    n_own: int
    n_others: int
    random: float
    random_std: float

    @property
    def ratio(self) -> float:
        """How many times more its own images change than the others; infinite where those do not change."""
        return self.own / self.others if self.others > 0 else float("inf" if self.own > 0 else "nan")


def sense_inputs(feeds: Array, sense: int, exclusive: float = EXCLUSIVE) -> Ints:
    """Lower channels that feed one sense, and every other at most 1 / ``exclusive`` as much; strongest first."""
    others = np.abs(np.delete(feeds, sense, axis=0)).max(axis=0, initial=0.0)
    chosen = np.flatnonzero((feeds[sense] > 0) & (others * exclusive <= feeds[sense]))
    order: Ints = chosen[np.argsort(-feeds[sense, chosen], kind="stable")]
    return order


def random_inputs(relevance: Array, inputs: Ints, rng: np.random.Generator) -> Ints:
    """As many other channels of about the same relevance, (C_lo,) |mean| over all references.

    Each input is replaced by one of the few nearest that are left, by a draw; fewer come back where a layer has no
    more.
    """
    free = np.setdiff1d(np.arange(len(relevance)), inputs)
    taken = []
    for channel in inputs.tolist():
        if not len(free):
            break
        near = np.argsort(np.abs(relevance[free] - relevance[channel]), kind="stable")[:NEAREST]
        pick = near[rng.integers(len(near))]
        taken.append(int(free[pick]))
        free = np.delete(free, pick)
    return np.array(sorted(taken), np.int64)


@torch.inference_mode()
def changes(
    lens: Lens, trace: Trace, loader: Loader, rows: Ints, channel: int, cuts: Sequence[Ints], chunk_bytes: int
) -> Array:
    """(cuts, P) change of a neuron on images ``rows`` (P,) of the store under each cut of lower channels.

    NaN where the neuron is silent to begin with.
    """
    masks = torch.zeros(len(cuts), lens.lower.channels, dtype=torch.bool)
    for place, cut in enumerate(cuts):
        masks[place, torch.from_numpy(cut)] = True
    found = np.full((len(cuts), len(rows)), np.nan)
    column = {int(row): n for n, row in enumerate(rows)}
    for batch_rows, x in loader(rows.tolist()):
        clean = trace.values(x, lens.nodes)
        at = [column[int(row)] for row in batch_rows]
        found[:, at] = _changes(lens, clean, channel, masks.to(x.device), chunk_bytes)
    return found


def _changes(lens: Lens, clean: Mapping[str, Tensor], channel: int, masks: Tensor, chunk_bytes: int) -> Array:
    """(cuts, B) for the images of a batch."""
    none = torch.empty(0, dtype=torch.int64, device=masks.device)
    look = lens.look(clean, none, none, chunk_bytes)
    parts = torch.split(torch.arange(len(look.lower), device=masks.device), look.chunk)
    whole = torch.cat([look.forward(look.lower[part], part)[:, channel].clamp(min=0) for part in parts])
    total = whole.sum(1)
    results = []
    for mask in masks:
        cut = look.lower.masked_fill(mask[None, :, None], 0.0)
        after = torch.cat([look.forward(cut[part], part)[:, channel].clamp(min=0) for part in parts])
        results.append((whole - after).abs().sum(1) / torch.where(total > 0, total, torch.nan))
    joined: Array = torch.stack(results).double().cpu().numpy()
    return joined


def sense_effects(
    feeds: Array, sizes: Ints, labels: Ints, measure: Measure, draws: int = 20, seed: int = 0
) -> list[SenseEffect]:
    """The effect of taking away each sense in turn.

    Parameters
    ----------
    feeds : (K, C_lo) mean circuit vectors, and sizes (K,) the references they rest on.
    labels : (P,) the sense (or any other truth, in the same numbers) of each judged image.
    measure : cuts -> (cuts, P) changes on these images.
    draws, seed : of the random controls.
    """
    relevance = np.abs((feeds * sizes[:, None]).sum(0) / max(1, sizes.sum()))
    rng = np.random.default_rng(seed)
    effects = []
    for sense in range(len(feeds)):
        inputs = sense_inputs(feeds, sense)
        cuts = [inputs, *(random_inputs(relevance, inputs, rng) for _ in range(draws))]
        change = measure(cuts)
        own, others = labels == sense, (labels >= 0) & (labels != sense)
        random = [_mean(row[own]) for row in change[1:]]
        effects.append(
            SenseEffect(
                sense,
                tuple(inputs.tolist()),
                _mean(change[0][own]),
                _mean(change[0][others]),
                int(own.sum()),
                int(others.sum()),
                float(np.mean(random)) if random else float("nan"),
                float(np.std(random)) if random else float("nan"),
            )
        )
    return effects


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
