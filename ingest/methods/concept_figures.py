"""The paper's tables as figures: Rel-l2, l0, C-Insertion and C-Deletion per layer and dictionary, layer to layer too.

Table 1 and 2 of GIG (arXiv 2409.01610) for any model and images. Every dictionary of a layer has as many concepts and,
on the vectors it was made from, as many active ones; intervals resample what the images were made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.methods.concept_curves import Areas, Coded, Space
from ingest.methods.concepts import LayerDictionary
from ingest.methods.measures import Measure, Resampling
from ingest.numerics.dictionaries import DICTIONARIES
from ingest.numerics.lasso import lasso, penalty_for

Array = NDArray[np.float64]
OURS = "ours"
RIVALS = ("learned", "sae", "random_exemplars", "gaussian")
BASELINES = ("learned", "sae")
OVER = ("all", "active")
POSITIONS = ("sampled", "all")
TUNED_ON = 256


def space_of(dictionary: LayerDictionary, device: torch.device | str) -> Space:
    """A stored dictionary as a space."""
    return Space(dictionary.space, dictionary.v.to(device), dictionary.penalty)


def rival(name: str, ours: Space, vectors: Tensor, seed: int) -> Space:
    """Another dictionary of a layer, of as many concepts, with the λ that leaves as many of them active.

    vectors : (N, C) what ours was made from, centred.
    """
    x = vectors.to(ours.concepts)
    v = DICTIONARIES[name](x, len(ours.concepts), seed, x.device).to(x.dtype)
    part = x[:: max(1, len(x) // TUNED_ON)][:TUNED_ON]
    active = float(lasso(part, ours.concepts, ours.penalty).active.double().mean())
    return Space(ours.features, v, penalty_for(part, v, max(active, 1e-3)))


@dataclass
class Table:
    """What was found per layer and dictionary: one entry an image, in the order of the images."""

    errors: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    zeros: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    curves: dict[tuple[str, str], list[Areas]] = field(default_factory=dict)
    concepts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, dictionary: str, coded: Coded, areas: Areas, position: int) -> None:
        """One image in one space; ``position`` is the one that relevance drew."""
        key = (coded.space.layer.name, dictionary)
        total = len(coded.space.concepts)
        active = (coded.codes != 0).sum(1).double()
        one = slice(position, position + 1)
        for positions, part in (("sampled", one), ("all", slice(None))):
            self.errors.setdefault((*key, positions), []).append(float(torch.nanmean(coded.errors[part])))
            self.zeros.setdefault((*key, positions), []).append(1 - float(active[part].mean()) / total)
        self.curves.setdefault(key, []).append(areas)
        self.concepts[key] = total


def fidelity(areas: Areas, over: str) -> float:
    """Area of insertion less that of deletion."""
    if over == "all":
        return areas.insertion_all - areas.deletion_all
    return areas.insertion_active - areas.deletion_active


def table_measures(table: Table, resampling: Resampling) -> list[Measure]:
    """Figures of all layers.

    Per layer and dictionary ``rel_l2`` and ``l0`` (at the position that relevance draws, as the paper does, and over
    all positions), ``c_insertion``, ``c_deletion`` and ``c_fidelity``. Per layer and rival ``rel_l2_gain`` and
    ``c_fidelity_gain``, ours against the rival on the same images.
    """
    found: list[Measure] = []
    for (layer, name), areas in table.curves.items():
        settings = {"layer": layer, "dictionary": name, "concepts": table.concepts[layer, name]}
        for positions in POSITIONS:
            own, key = {**settings, "positions": positions}, (layer, name, positions)
            found.append(resampling.mean("rel_l2", np.array(table.errors[key]), own))
            found.append(resampling.mean("l0", np.array(table.zeros[key]), own))
        for over in OVER:
            own = {**settings, "over": over}
            for metric, values in _areas(areas, over).items():
                found.append(resampling.mean(metric, values, own))
        if name != OURS:
            found += _gains(table, layer, name, resampling)
    return found + list(summary(table))


def _areas(areas: Sequence[Areas], over: str) -> dict[str, Array]:
    return {
        "c_insertion": np.array([getattr(one, f"insertion_{over}") for one in areas]),
        "c_deletion": np.array([getattr(one, f"deletion_{over}") for one in areas]),
        "c_fidelity": np.array([fidelity(one, over) for one in areas]),
    }


def mean_curves(table: Table) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Layer → dictionary → mean insertion and deletion at even shares of active concepts: what a plot is made of."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for (layer, name), areas in table.curves.items():
        put_in, left = (np.stack([getattr(one, kind) for one in areas]) for kind in ("insertion", "deletion"))
        found.setdefault(layer, {})[name] = (put_in.mean(0).tolist(), left.mean(0).tolist())
    return found


def _gains(table: Table, layer: str, name: str, resampling: Resampling) -> Iterator[Measure]:
    settings = {"layer": layer, "against": name}
    for positions in POSITIONS:
        errors = (np.array(table.errors[layer, who, positions]) for who in (name, OURS))
        theirs, ours = errors
        yield resampling.mean("rel_l2_gain", theirs - ours, {**settings, "positions": positions})
    for over in OVER:
        own = np.array([fidelity(one, over) for one in table.curves[layer, OURS]])
        other = np.array([fidelity(one, over) for one in table.curves[layer, name]])
        yield resampling.mean("c_fidelity_gain", own - other, {**settings, "over": over})


def summary(table: Table) -> Iterator[Measure]:
    """``layers_ahead``: share of layers whose mean fidelity is above that of every baseline; and the mean share of
    Rel-l2 that random exemplars would add.
    """
    layers = list(dict.fromkeys(layer for layer, _ in table.curves))
    for over in OVER:
        means = {
            key: float(np.mean([fidelity(one, over) for one in areas])) for key, areas in table.curves.items()
        }
        known = [all((layer, name) in means for name in BASELINES) for layer in layers]
        ahead = [
            all(means[layer, OURS] > means[layer, name] for name in BASELINES)
            for layer, whole in zip(layers, known, strict=True)
            if whole
        ]
        if ahead:
            value = float(np.mean(ahead))
            settings = {"over": over, "baselines": ",".join(BASELINES)}
            yield Measure("layers_ahead", value, float("nan"), float("nan"), len(ahead), settings)
    for positions in POSITIONS:
        excess = [
            float(np.nanmean(theirs) / np.nanmean(table.errors[layer, OURS, positions])) - 1
            for layer in layers
            if (theirs := table.errors.get((layer, "random_exemplars", positions)))
        ]
        if excess:
            settings = {"against": "random_exemplars", "positions": positions}
            value = float(np.mean(excess))
            yield Measure("rel_l2_excess", value, float("nan"), float("nan"), len(excess), settings)


Pairwise = dict[tuple[str, str, str], list[list[Areas | None]]]
"""(source layer, target layer, order) -> per image, per target."""


def pair_measures(found: Pairwise, resampling: Resampling) -> list[Measure]:
    """Layer to layer: ``inter_insertion``, ``inter_deletion``, ``inter_fidelity`` per pair and order, and
    ``inter_fidelity_gain``, GIG's order less the others on the same images and targets.
    """
    measures: list[Measure] = []
    for (source, target, order), images in found.items():
        for over in OVER:
            settings = {"source": source, "target": target, "order": order, "over": over}
            means = {metric: _per_image(images, metric, over) for metric in ("insertion", "deletion")}
            for metric, values in means.items():
                measures.append(resampling.mean(f"inter_{metric}", values, settings))
            own = means["insertion"] - means["deletion"]
            measures.append(resampling.mean("inter_fidelity", own, settings))
            if order != "gig":
                best = found[source, target, "gig"]
                gig = _per_image(best, "insertion", over) - _per_image(best, "deletion", over)
                own_settings = {"source": source, "target": target, "against": order, "over": over}
                measures.append(resampling.mean("inter_fidelity_gain", gig - own, own_settings))
    return measures


def _per_image(images: Sequence[Sequence[Areas | None]], metric: str, over: str) -> Array:
    """(n,) the mean over an image's targets; NaN where none can be judged."""
    values = [[getattr(one, f"{metric}_{over}") for one in image if one is not None] for image in images]
    return np.array([float(np.mean(own)) if own else np.nan for own in values])
