"""Questions about one neuron's senses: which sense any image is in, and what taking one sense away does.

A question opens the job of a stored PURE run again; the neuron is split as ingestion split it, from the same references
by the same seed, so an answer given later is about the senses that are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.address import parse
from atlas.errors import DataError
from ingest.methods.pure import Lens, pair_vectors, variant_function
from ingest.methods.pure_split import Senses, split
from ingest.methods.pure_stage import PureStage
from ingest.methods.pure_use import nearest
from ingest.methods.sense_ablation import SenseEffect, changes, sense_effects
from ingest.numerics.pure import Look
from ingest.reopen import Opened

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SplitNeuron:
    """A neuron split into senses: its layers, channel, id and what was found."""

    lens: Lens
    channel: int
    id: str
    senses: Senses

    @property
    def count(self) -> int:
        """Number of senses."""
        return int(self.senses.labels.max()) + 1

    def sense_id(self, sense: int) -> str:
        """Id of a sense."""
        return f"{self.id}:{sense}"


class SenseDesk:
    """A reopened PURE job that answers questions about the senses of its neurons."""

    def __init__(self, opened: Opened) -> None:
        if not isinstance(opened.stage, PureStage):
            raise TypeError("not a PURE job")
        self._stage = opened.stage
        self._prepared = opened.prepared
        self._store = opened.store

    def neuron(self, address: str) -> SplitNeuron:
        """A neuron by the id of it or of one of its senses.

        Raises DataError if it has no senses to speak of: its layer was not split, it has too few references, or the
        test calls it one.
        """
        parsed = parse(address)
        named = {layer.name: n for n, layer in enumerate(self._prepared.layers)}
        lens = self._stage.lenses.get(named.get(parsed.layer, -1))
        if lens is None or parsed.channel is None:
            raise DataError("this neuron's layer was not split", where=address)
        found = self._stage.references(lens.upper)
        channels = np.array([parsed.channel], np.int64)
        v, vectors, known = self._stage.vectors(lens, found, channels)
        spec = self._prepared.spec.pure
        tests, senses = split(channels, v, vectors, known, spec, self._prepared.spec.seed)
        if not len(senses.channel):
            raise DataError(
                "this neuron has no senses",
                where=address,
                expected=f"p <= {spec.level} and {spec.least} references of each of two senses",
                got=f"p = {tests.p[0]:.4g} with {tests.references[0]} references, {tests.smallest[0]} in the smaller",
                next_step="`atlas splits` lists the neurons that have",
            )
        subject = self._prepared.subject
        name = subject.neuron_ids(lens.upper)[parsed.channel]
        return SplitNeuron(lens, parsed.channel, name, senses)

    def assign(self, neuron: SplitNeuron, file: Path) -> dict[str, Any]:
        """The sense in which an image file activates a neuron: one row.

        ``sense`` is null where the neuron is silent. Raises DataError for a file that is no fitting image.
        """
        x = self._prepared.input(file)
        trace, spec = self._prepared.model.trace, self._prepared.spec.pure

        def loader(rows: Sequence[int]) -> list[tuple[Sequence[int], Tensor]]:
            return [(rows, x)]

        pairs = (np.zeros(1, np.int64), np.array([neuron.channel], np.int64))
        functions = [_activation, variant_function(neuron.lens, spec.variant)]
        active, vector = pair_vectors(neuron.lens, trace, loader, pairs, functions, spec.chunk_bytes)
        sense, distance, margin = nearest(
            vector.float().cpu().numpy(), neuron.senses.centroids, np.array([neuron.count])
        )
        silent = float(active) <= 0
        return {
            "neuron": neuron.id,
            "image": file.name,
            "sense": None if silent else neuron.sense_id(int(sense[0])),
            "activation": float(active),
            "distance": None if silent else float(distance[0]),
            "margin": None if silent else float(margin[0]),
        }

    def ablate(self, neuron: SplitNeuron, draws: int = 20) -> list[dict[str, Any]]:
        """What removing the inputs of each sense does to the neuron, on images that chose none of them: rows.

        Judged on the neuron's best judging images, as many as it has references, or on the next best list images where
        none were kept out; each assigned to its nearest sense.
        """
        rows, kind = self._judges(neuron)
        labels = self._labels(neuron, rows)
        spec, trace = self._prepared.spec, self._prepared.model.trace
        own = neuron.senses.labels[0]
        effects = sense_effects(
            neuron.senses.feeds[0, : neuron.count].astype(np.float64),
            np.bincount(own[own >= 0], minlength=neuron.count),
            labels,
            lambda cuts: changes(
                neuron.lens, trace, self._stage.batches, rows, neuron.channel, cuts, spec.pure.chunk_bytes
            ),
            draws,
            spec.seed,
        )
        return [_row(neuron, effect, kind) for effect in effects]

    def _judges(self, neuron: SplitNeuron) -> tuple[Ints, str]:
        """Rows of the images that judge, and which they are."""
        subject, name = self._prepared.subject, neuron.lens.upper.name
        count = self._prepared.spec.pure.references
        if subject.judging.any():
            return self._store.top(name, count, subject.judging).indices[neuron.channel], "judging"
        rows = self._store.top(name, 2 * count, subject.lists).indices[neuron.channel][count:]
        if not len(rows):
            raise DataError(
                "no images are left to judge on",
                where=neuron.id,
                expected=f"more than {count} list images, or some judging ones",
            )
        return rows, f"ranked {count + 1} to {count + len(rows)}"

    def _labels(self, neuron: SplitNeuron, rows: Ints) -> Ints:
        """Nearest sense of each image, -1 where the neuron is silent."""
        trace, spec = self._prepared.model.trace, self._prepared.spec.pure
        pairs = (rows, np.full(len(rows), neuron.channel))
        functions = [_activation, variant_function(neuron.lens, spec.variant)]
        active, vectors = pair_vectors(
            neuron.lens, trace, self._stage.batches, pairs, functions, spec.chunk_bytes
        )
        centroids = np.repeat(neuron.senses.centroids, len(rows), axis=0)
        sense, _, _ = nearest(vectors.float().cpu().numpy(), centroids, np.full(len(rows), neuron.count))
        return np.where(active.cpu().numpy()[:, 0] > 0, sense, -1)


def _activation(look: Look) -> Tensor:
    """(n, 1) the largest value of each pair's map."""
    with torch.no_grad():
        rows = torch.arange(len(look.lower), device=look.lower.device)
        maps = [
            look.forward(look.lower[part], part).amax(2) for part in torch.split(rows, max(1, look.chunk))
        ]
    return torch.cat(maps)[look.image, look.channel].unsqueeze(1)


def _row(neuron: SplitNeuron, effect: SenseEffect, kind: str) -> dict[str, Any]:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return {
        "sense": neuron.sense_id(effect.sense),
        "inputs": len(effect.inputs),
        "own": known(effect.own),
        "others": known(effect.others),
        "ratio": known(effect.ratio),
        "random": known(effect.random),
        "random_std": known(effect.random_std),
        "n_own": effect.n_own,
        "n_others": effect.n_others,
        "images": kind,
    }
