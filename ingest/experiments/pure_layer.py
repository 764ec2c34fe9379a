"""One layer of PURE's evaluation: spliced neurons, trained ones and their contents, by every variant of the vectors.

Neurons are looked at from the layer that feeds them in the run. References are images of the half that judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ingest.experiments.content import Contents, digits_at, one_digit, two_digits
from ingest.experiments.looking import Watched, watch
from ingest.experiments.splice import (
    OVERLAPS,
    Batches,
    Bools,
    Floats,
    Ints,
    References,
    Splices,
    reference_count,
    self_splices,
)
from ingest.methods.measures import Measure
from ingest.methods.pure import Lens
from ingest.methods.pure_figures import Agreement, Drawn, draw, mean_over, over_layers
from ingest.numerics import kmeans_gram
from ingest.numerics.partition import alignment, distances, intra_inter
from ingest.numerics.pure import VARIANTS
from ingest.numerics.split_test import split_test
from ingest.segments import Trace
from ingest.store import ActivationStore

LEVEL = 0.05
LEAST = 10
"""References that the quieter parent of a spliced neuron must have, or there is nothing to find."""
SELVES = 20
TESTED = ("pure", "local", "hybrid")
SHOWN = (*TESTED, "map")
"""Variants whose distances are compared with another space's."""
SHOWN_BY_OVERLAP = ("pure", "local", "hybrid")
GAINS = (("hybrid", "pure"), ("hybrid", "local"), ("pure", "map"))
"""Variants compared on the same neurons: what the first gains over the second."""
RESAMPLES = 40
OWN = "own"
"""The space of the model's own last features, which stands in for a foundation model's."""
_BLOCK = 50


@dataclass(frozen=True)
class World:
    """What all layers share: the job's store and trace, the half (``rows``) that judges, and what is known of it.

    lists : (N,) images that scales were measured on.      groups : of each of ``rows``, what it was made from.
    embedding : (N, d) of the store's images, in the space named.
    """

    trace: Trace
    store: ActivationStore
    batches: Batches
    lists: Bools
    rows: Ints
    groups: tuple[tuple[str, ...], ...]
    contents: Contents | None
    embedding: Tensor
    space: str
    count: int
    restarts: int
    chunk_bytes: int
    seed: int

    @property
    def references(self) -> int:
        """n."""
        return reference_count(len(self.rows))


@dataclass(frozen=True)
class Clustered:
    """Of each variant: labels (S, n), p of the split test (S,) where tested, distances (S, n, n)."""

    labels: Mapping[str, Tensor]
    p: Mapping[str, Floats]
    apart: Mapping[str, Tensor]


def clustered(
    world: World, lens: Lens, watched: Watched, names: Sequence[str] = tuple(VARIANTS)
) -> Clustered:
    """Two clusters of every neuron's references by every variant named."""
    labels: dict[str, list[Tensor]] = {name: [] for name in names}
    p: dict[str, list[Floats]] = {name: [] for name in TESTED}
    apart: dict[str, list[Tensor]] = {name: [] for name in names}
    for start in range(0, len(watched.rows), _BLOCK):
        part = watched.take(slice(start, start + _BLOCK))
        seen = watch(world.trace, lens, part, world.batches, names, world.chunk_bytes)
        for name, vectors in seen.items():
            g = kmeans_gram.gram(vectors)
            found = kmeans_gram.kmeans(g, 2, restarts=world.restarts, seed=world.seed).labels
            labels[name].append(found)
            apart[name].append(kmeans_gram.distances(g).sqrt().float())
            if name in p:
                present = torch.ones(found.shape, dtype=torch.bool)
                test = split_test(g, present, found, restarts=world.restarts, seed=world.seed)
                p[name].append(test.p)
    return Clustered(
        {name: torch.cat(parts) for name, parts in labels.items()},
        {name: np.concatenate(parts) for name, parts in p.items()},
        {name: torch.cat(parts) for name, parts in apart.items()},
    )


@dataclass(frozen=True)
class Spoken:
    """What was found of a layer's spliced neurons. told : (S,) both parents have enough references to be found."""

    layer: str
    agreements: Mapping[str, Agreement]
    found: Clustered
    told: Bools
    jaccard: Floats


def spliced(world: World, lens: Lens, splices: Splices, references: References) -> Spoken:
    """Mechanism: do clusters find the parent that spoke?"""
    watched = Watched(references.rows, np.arange(len(splices)), splices)
    found = clustered(world, lens, watched)
    parents = [(f"{a}", f"{b}") for a, b in splices.parents]
    drawn = draw(parents, world.groups, world.rows, world.store.images, world.seed)
    quieter = np.minimum(references.truth.sum(1), (1 - references.truth).sum(1))
    agreements = _agreements(found, references.truth, references.rows, drawn)
    return Spoken(lens.upper.name, agreements, found, quieter >= LEAST, splices.jaccard)


def spliced_measures(spoken: Spoken) -> Iterator[Measure]:
    """Per variant, over all overlaps of the parents and in each range of them, and how often the test splits."""
    settings = {"layer": spoken.layer, "truth": "spliced"}
    yield from _compared(spoken.agreements, settings, spoken.told)
    ranges = np.searchsorted(OVERLAPS, spoken.jaccard)
    for k, top in enumerate(OVERLAPS):
        for name in SHOWN_BY_OVERLAP:
            own = {**settings, "variant": name, "jaccard_up_to": top}
            yield spoken.agreements[name].measure("pure_ari_by_overlap", own, spoken.told & (ranges == k))
    for name, p in spoken.found.p.items():
        own = {"layer": spoken.layer, "kind": "spliced", "variant": name}
        neurons = spoken.agreements[name].drawn.neurons
        yield mean_over("pure_split_share", np.where(spoken.told, p <= LEVEL, np.nan), neurons, own)


def overall(layers: Sequence[Spoken]) -> Iterator[Measure]:
    """The spliced neurons of all layers together, and what some variants gain over others."""
    settings = {"layer": "all", "truth": "spliced"}

    def parts(name: str) -> list[Agreement]:
        return [one.agreements[name] for one in layers]

    kept = [one.told for one in layers]
    for name in VARIANTS:
        own = {**settings, "variant": name}
        yield over_layers("pure_ari", own, parts(name), kept)
    for name, rival in GAINS:
        own = {**settings, "variant": name, "over": rival}
        yield over_layers("pure_ari_gain", own, parts(name), kept, less=parts(rival))


def _agreements(found: Clustered, truth: Ints, rows: Ints, drawn: Drawn) -> dict[str, Agreement]:
    return {name: Agreement(labels, truth, rows, drawn) for name, labels in found.labels.items()}


def _compared(
    agreements: Mapping[str, Agreement], settings: Mapping[str, Any], kept: Bools | None = None
) -> Iterator[Measure]:
    """Each variant's index, the best one marked, and what some gain over others."""
    plain = {name: one.measure("pure_ari", {}, kept) for name, one in agreements.items()}
    best = max(plain, key=lambda name: plain[name].value if plain[name].n else -np.inf)
    for name, m in plain.items():
        own = {**settings, "variant": name, "best": name == best}
        yield Measure(m.metric, m.value, m.low, m.high, m.n, own)
    for name, rival in GAINS:
        own = {**settings, "variant": name, "over": rival}
        yield agreements[name].measure("pure_ari_gain", own, kept, less=agreements[rival])


def trained_measures(world: World, lens: Lens, channels: Ints) -> Iterator[Measure]:
    """Trained neurons: how often the test splits them, and whether their clusters look alike in another space."""
    rows = world.store.top(lens.upper.name, world.references, world.rows).indices[channels]
    found, drawn = _trained(world, lens, rows, channels, SHOWN)
    settings = {"layer": lens.upper.name}
    yield from _split_shares(found, drawn, {**settings, "kind": "unspliced"})
    own, few = self_splices(world.store, lens.upper.name, world.lists, channels[:SELVES]), rows[:SELVES]
    watched = Watched(few, np.arange(len(own)), own)
    twins = clustered(world, lens, watched, TESTED)
    drawn_few = Drawn(drawn.images, drawn.neurons[:, :SELVES])
    yield from _split_shares(twins, drawn_few, {**settings, "kind": "self"})
    yield from _looks_alike(world, rows, found, drawn, {**settings, "space": world.space})


def _looks_alike(
    world: World, rows: Ints, found: Clustered, drawn: Drawn, settings: Mapping[str, Any]
) -> Iterator[Measure]:
    seen = distances(world.embedding[torch.from_numpy(rows)])
    resampled = torch.randint(
        len(rows), (RESAMPLES, len(rows)), generator=torch.Generator().manual_seed(world.seed)
    )
    for name, labels in found.labels.items():
        if name == "map" and world.space == OWN and settings["layer"] == world.store.layers[-1].name:
            continue  # these vectors are the space itself
        own = {**settings, "variant": name}
        intra, inter = (part.double().numpy() for part in intra_inter(seen, labels))
        yield mean_over("pure_intra", intra, drawn.neurons, own)
        yield mean_over("pure_inter", inter, drawn.neurons, own)
        yield mean_over("pure_inter_minus_intra", inter - intra, drawn.neurons, own)
        apart = found.apart[name]
        value = float(alignment(apart, seen, torch.arange(len(rows))[None])[0])
        draws = torch.cat([alignment(apart, seen, group[None]) for group in resampled]).numpy()
        low, high = np.nanpercentile(draws, [2.5, 97.5]) if np.isfinite(draws).any() else (np.nan, np.nan)
        yield Measure("pure_alignment", value, float(low), float(high), len(rows), own)


def content_measures(world: World, lens: Lens) -> Iterator[Measure]:
    """Content: do clusters of a trained neuron's references find the digit under its maximum?

    And, of neurons whose references hold one digit almost alone, how many the test splits.
    """
    if world.contents is None:
        return
    lists = world.store.top(lens.upper.name, world.references, world.rows)
    digits = digits_at(world.contents, lens.upper, lists.indices, lists.peaks, world.store.plan.input_shape)
    alive = ~world.store.stats(lens.upper.name, world.lists)["dead"]
    settings = {"layer": lens.upper.name}
    neurons, truth = two_digits(digits)
    kept = _some(world, np.flatnonzero(alive[neurons]))
    if len(kept):
        channels, told = neurons[kept], truth[kept]
        found, drawn = _trained(world, lens, lists.indices[channels], channels, tuple(VARIANTS))
        agreements = _agreements(found, told, lists.indices[channels], drawn)
        yield from _compared(agreements, {**settings, "truth": "content"})
    single = _some(world, np.intersect1d(one_digit(digits), np.flatnonzero(alive)))
    if len(single):
        found, drawn = _trained(world, lens, lists.indices[single], single, TESTED)
        yield from _split_shares(found, drawn, {**settings, "kind": "one digit"})


def _trained(
    world: World, lens: Lens, rows: Ints, channels: Ints, names: Sequence[str]
) -> tuple[Clustered, Drawn]:
    drawn = draw([(str(c),) for c in channels], world.groups, world.rows, world.store.images, world.seed)
    return clustered(world, lens, Watched(rows, channels), names), drawn


def _some(world: World, places: Ints) -> Ints:
    """At most ``count`` of them, ascending."""
    return np.sort(np.random.default_rng(world.seed).permutation(places)[: world.count])


def _split_shares(found: Clustered, drawn: Drawn, settings: Mapping[str, Any]) -> Iterator[Measure]:
    for name, p in found.p.items():
        split = (p <= LEVEL).astype(float)
        yield mean_over("pure_split_share", split, drawn.neurons, {**settings, "variant": name})
