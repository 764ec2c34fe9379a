"""One sense taken away, judged by truth: does the neuron lose that sense's images and keep the other's?

Notation: S neurons of two senses; references of the list half choose what is removed, images of the judging half, each
labelled by the truth and not by the split, say what it did. A sense that no input feeds exclusively is left out, and
their share is a figure of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ingest.experiments.content import digits_at, two_digits
from ingest.experiments.looking import Watched, watch
from ingest.experiments.pure_layer import World
from ingest.experiments.splice import Ints, References, Splices
from ingest.methods.measures import Measure, Resampling
from ingest.methods.pure import Lens
from ingest.methods.sense_ablation import SenseEffect, changes, sense_effects
from ingest.numerics import kmeans_gram

FACTOR = 3.0
DRAWS = 5
JUDGED = 60
LEAST = 5
"""Judged images of each sense, or there is nothing to compare."""


@dataclass(frozen=True)
class Told:
    """Neurons, and images with the sense the truth gives them: chosen by, judged on; -1 where it is silent.

    chosen, truth : (S, n).      judged, judged_truth : (S, m).      groups : (S,) what each neuron was made from.
    """

    chosen: Watched
    truth: Ints
    judged: Ints
    judged_truth: Ints
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Cuts:
    """What was found of one layer: a row for each sense of each neuron that could be judged."""

    effects: tuple[SenseEffect, ...]
    groups: tuple[tuple[str, ...], ...]


def spliced_told(splices: Splices, lists: References, judged: References) -> Told:
    """Spliced neurons with their references of both halves."""
    watched = Watched(lists.rows, np.arange(len(splices)), splices)
    groups = tuple((f"{a}", f"{b}") for a, b in splices.parents)
    return Told(watched, lists.truth, judged.rows[:, :JUDGED], judged.truth[:, :JUDGED], groups)


def content_told(world: World, lens: Lens, most: int) -> Told | None:
    """At most ``most`` trained neurons whose list references hold two digits, and what the other half shows."""
    if world.contents is None:
        return None
    store, layer, shape = world.store, lens.upper, world.store.plan.input_shape
    lists = store.top(layer.name, world.references, world.lists)
    digits = digits_at(world.contents, layer, lists.indices, lists.peaks, shape)
    neurons, truth = two_digits(digits)
    kept = np.sort(np.random.default_rng(world.seed).permutation(len(neurons))[:most])
    if not len(kept):
        return None
    channels, truth = neurons[kept], truth[kept]
    judged = store.top(layer.name, JUDGED, world.rows)
    rows = judged.indices[channels]
    shown = digits_at(world.contents, layer, rows, judged.peaks[channels], shape)
    named = [_named(digits[c], truth[s]) for s, c in enumerate(channels)]
    told = np.stack([_relabelled(own, names) for own, names in zip(shown, named, strict=True)])
    groups = tuple((str(c),) for c in channels)
    return Told(Watched(lists.indices[channels], channels), truth, rows, told, groups)


def _named(digits: Ints, truth: Ints) -> list[int]:
    """The digit of each label."""
    return [int(digits[truth == label][0]) for label in (0, 1)]


def _relabelled(digits: Ints, names: Sequence[int]) -> Ints:
    return np.where(digits == names[0], 0, np.where(digits == names[1], 1, -1)).astype(np.int64)


def cut(world: World, lens: Lens, told: Told) -> Cuts:
    """Take away each sense of each neuron, as the run's own split of its list references has it."""
    vectors = watch(world.trace, lens, told.chosen, world.batches, ("pure",), world.chunk_bytes)["pure"]
    labels = kmeans_gram.kmeans(
        kmeans_gram.gram(vectors), 2, restarts=world.restarts, seed=world.seed
    ).labels.numpy()
    effects: list[SenseEffect] = []
    groups: list[tuple[str, ...]] = []
    for s in range(len(labels)):
        found = _effects(world, lens, told, s, _as_truth(labels[s], told.truth[s]), vectors[s])
        effects += found
        groups += [told.groups[s]] * len(found)
    return Cuts(tuple(effects), tuple(groups))


def _as_truth(labels: Ints, truth: Ints) -> Ints:
    """Clusters named 0 and 1 as agrees better with the truth of the references that chose them."""
    known = truth >= 0
    return labels if 2 * (labels[known] == truth[known]).sum() >= known.sum() else 1 - labels


def _effects(
    world: World, lens: Lens, told: Told, s: int, labels: Ints, vectors: torch.Tensor
) -> list[SenseEffect]:
    truth = told.judged_truth[s]
    if min((truth == 0).sum(), (truth == 1).sum()) < LEAST or len(set(labels.tolist())) < 2:
        return []
    own, channels = told.chosen.take(slice(s, s + 1)).through(lens)
    feeds = np.stack([vectors.double().numpy()[labels == sense].mean(0) for sense in (0, 1)])
    return sense_effects(
        feeds,
        np.bincount(labels, minlength=2),
        truth,
        lambda cuts: changes(
            own, world.trace, world.batches, told.judged[s], int(channels[0]), cuts, world.chunk_bytes
        ),
        DRAWS,
        world.seed,
    )


def cut_measures(parts: Sequence[Cuts], settings: Mapping[str, Any], seed: int) -> Iterator[Measure]:
    """How many times more a sense's own images change than the other's, and than under random inputs."""
    effects = [effect for part in parts for effect in part.effects]
    groups = [group for part in parts for group in part.groups]
    if not effects:
        return
    resampling = Resampling(groups, seed)
    fed = np.array([bool(effect.inputs) for effect in effects])

    def of(name: str) -> np.ndarray:
        values = np.array([getattr(effect, name) for effect in effects])
        return np.where(fed, values, np.nan)

    own, others, random = of("own"), of("others"), of("random")
    yield resampling.mean("pure_cut_fed", fed.astype(float), settings)
    yield resampling.mean("pure_cut_own", own, settings)
    yield resampling.ratio("pure_cut_own_over_other", own, others, settings)
    yield resampling.ratio("pure_cut_own_over_random", own, random, settings)
    good = np.where(fed, ((own >= FACTOR * others) & (own > random)).astype(float), np.nan)
    yield resampling.mean("pure_cut_holds", good, settings)
