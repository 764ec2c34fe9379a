"""PURE as a stage of a job: split every layer's neurons, test them all together, write the senses of those that pass.

Phases: ``split-LLL-CCCCCC`` (layer, first channel of a block); ``test``, which sees the p values of all layers;
``senses-LLL-CCCCCC``, which writes what the blocks found of those that passed; ``alike-LLL``, which compares a layer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.address import digest_of
from ingest.job import Prepared
from ingest.layers import LayerSpec
from ingest.methods.gcc_tables import Naming
from ingest.methods.pairs import Pair, make_pairs
from ingest.methods.pure import Lens, References, lenses, reference_vectors, references
from ingest.methods.pure_alike import alike_table
from ingest.methods.pure_split import Senses, Tests, split
from ingest.methods.pure_tables import (
    LayerSenses,
    assigned_table,
    flow_table,
    neuron_table,
    relation_table,
    sense_tables,
)
from ingest.methods.pure_use import assign, class_likeness, flows
from ingest.methods.stage import FACTS, Columns, Earlier, Progress, Table
from ingest.numerics.kmeans_gram import gram, kmeans
from ingest.numerics.split_test import benjamini_hochberg, permuted, split_test
from ingest.selection import choose_queries
from ingest.store import ActivationStore

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

VERSION = "2"
TWINS = 64
"""Neurons of a block whose one-sense twins measure the rate of false positives."""
RELATIVES = 20
_TESTS, _SENSES, _Q = "#tests", "#senses", "#q"
_TEST = "test"


class PureStage:
    """What PURE adds to a job."""

    version = VERSION

    def __init__(
        self, prepared: Prepared, store: ActivationStore, queries: tuple[int, ...] | None = None
    ) -> None:
        self._prepared = prepared
        self._store = store
        self._spec = prepared.spec.pure
        self._spec.check()
        self.queries = queries or choose_queries(
            prepared.spec.queries, prepared.images.images, prepared.subject.labels, prepared.subject.judging
        )

    def parameters(self) -> dict[str, Any]:
        """What its numbers depend on, beside model, data and seed."""
        ids = [self._store.ids[row] for row in self.queries]
        shares = {"root_share": self._prepared.spec.gcc.root_share, "mask_share": self.mask_share}
        return {**self._spec.to_dict(), **shares, "queries": len(ids), "queries_digest": digest_of(ids)}

    @property
    def mask_share(self) -> float:
        """Share of the list images in T10, which says whom an assigned image activates."""
        return self._prepared.spec.gcc.mask_share

    @cached_property
    def lenses(self) -> dict[int, Lens]:
        """Ordinal of each layer that is split -> its lens."""
        return lenses(self._prepared.model.trace, self._prepared.layers, self._spec.lower)

    @cached_property
    def pairs(self) -> tuple[Pair | None, ...]:
        """Adjacent layers with their segments."""
        return make_pairs(self._prepared.model.trace, self._prepared.layers)

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """(layer, first channel) of what is split together."""
        return [
            (ordinal, start)
            for ordinal, lens in self.lenses.items()
            for start in range(0, lens.upper.channels, self._width(lens))
        ]

    def _width(self, lens: Lens) -> int:
        width = lens.lower.channels + lens.upper.channels
        return max(1, self._spec.vector_bytes // (12 * self._spec.references * width))

    @property
    def phases(self) -> tuple[tuple[str, ...], ...]:
        """Splits, the test over all of them, what passed it, and which of that is alike."""
        names = [f"{ordinal:03d}-{start:06d}" for ordinal, start in self.blocks]
        return (
            tuple(f"split-{name}" for name in names),
            (_TEST,),
            tuple(f"senses-{name}" for name in names),
            tuple(f"alike-{ordinal:03d}" for ordinal in self.lenses) if self._spec.alike else (),
        )

    def compute(
        self, run: str, shard: str, progress: Progress, earlier: Earlier
    ) -> Iterator[tuple[str, Columns]]:
        """The tables of one shard."""
        if shard == _TEST:
            return self._test(run, earlier)
        kind, layer, *start = shard.split("-")
        if kind == "alike":
            return self._alike(int(layer), earlier)
        block = (int(layer), int(start[0]))
        return self._split(block, progress) if kind == "split" else self._senses(run, block, earlier)

    def facts(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Facts about the run, from the sums over its shards."""
        counts = {name: int(value) for name, value in numbers.items()}
        twins = counts.get("twins", 0)
        return {
            **counts,
            "false_positive_rate": counts.get("twins_called", 0) / twins if twins else None,
            "remarks": [] if counts.get("tested") else ["no neuron has enough references to be split"],
        }

    def batches(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Images of some rows of the store, on the model's device."""
        return self._prepared.batches(rows)

    def naming(self, run: str) -> Naming:
        """Ids of what a run writes."""
        return Naming(self._prepared.subject, self._prepared.layers, run, self._store.ids)

    def references(self, layer: LayerSpec) -> References:
        """The reference lists of a layer, made from the list images."""
        return references(self._store, layer, self._spec.references, self._prepared.subject.lists)

    def vectors(
        self, lens: Lens, found: References, channels: Ints, progress: Progress | None = None
    ) -> tuple[Tensor, Tensor, Bools]:
        """The authors' vectors, the variant's, and which references there are, of some neurons of a layer."""

        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(f"circuit vectors of {lens.upper.name}", done, total)

        trace, spec = self._prepared.model.trace, self._spec
        return reference_vectors(
            lens, trace, self.batches, found, channels, spec.variant, spec.chunk_bytes, tell
        )

    def _channels(self, block: tuple[int, int]) -> Ints:
        lens = self.lenses[block[0]]
        return np.arange(block[1], min(lens.upper.channels, block[1] + self._width(lens)))

    def _split(self, block: tuple[int, int], progress: Progress) -> Iterator[Table]:
        lens, channels = self.lenses[block[0]], self._channels(block)
        v, vectors, known = self.vectors(lens, self.references(lens.upper), channels, progress)
        dead = np.asarray(self._store.stats(lens.upper.name, self._prepared.subject.lists)["dead"], bool)
        known &= ~dead[channels][:, None]
        seed = self._prepared.spec.seed
        tests, senses = split(channels, v, vectors, known, self._spec, seed)
        yield _TESTS, {**vars(tests), "layer": np.full(len(channels), block[0])}
        yield _SENSES, senses.columns()
        twins, called = self._twins(vectors, known, tests, seed)
        yield FACTS, {"twins": [twins], "twins_called": [called]}

    def _twins(self, vectors: Tensor, known: Bools, tests: Tests, seed: int) -> tuple[int, int]:
        """How many one-sense twins were tested, and how many of them the test called two at p ≤ level."""
        able = np.flatnonzero(~np.isnan(tests.p))
        if not len(able):
            return 0, 0
        at = torch.from_numpy(able[:: max(1, len(able) // TWINS)][:TWINS]).to(vectors.device)
        present = torch.from_numpy(known).to(vectors.device)[at]
        g = gram(permuted(vectors[at], present, seed), present)
        labels = kmeans(g, 2, present, restarts=self._spec.restarts, seed=seed).labels
        found = split_test(g, present, labels, restarts=max(1, self._spec.restarts // 2), seed=seed)
        return len(at), int((found.p <= self._spec.level).sum())

    def _test(self, run: str, earlier: Earlier) -> Iterator[Table]:
        naming, layers = self.naming(run), self._prepared.layers
        names = [f"{ordinal:03d}-{start:06d}" for ordinal, start in self.blocks]
        parts = [_tests(_note(earlier(f"split-{name}"), _TESTS)) for name in names]
        if not parts:
            return
        q = _adjusted(np.concatenate([part.p for part in parts]))
        polysemantic = np.concatenate(
            [(part.smallest >= self._spec.least) & (part.references > 0) for part in parts]
        )
        with np.errstate(invalid="ignore"):
            polysemantic &= q <= self._spec.level
        start = 0
        for (ordinal, _), part in zip(self.blocks, parts, strict=True):
            own = slice(start, start + len(part.p))
            yield neuron_table(naming, layers[ordinal], part, q[own], polysemantic[own])
            start = own.stop
        counted = np.concatenate([part.senses for part in parts])
        yield _Q, {"polysemantic": polysemantic}
        yield (
            FACTS,
            {
                "neurons": [len(q)],
                "tested": [int((~np.isnan(q)).sum())],
                "polysemantic": [int(polysemantic.sum())],
                "senses": [int(counted[polysemantic].sum())],
            },
        )
        yield from self._classes()

    def _classes(self) -> Iterator[Table]:
        subject, layer = self._prepared.subject, self._prepared.layers[-1]
        if not subject.classes:
            return
        rows = np.flatnonzero(subject.lists)
        likeness = class_likeness(self._store.pooled(layer.name), subject.labels, len(subject.classes), rows)
        basis = f"centred cosine of mean activations of {layer.name}"
        yield relation_table(subject.class_ids(), likeness, RELATIVES, basis)

    def _senses(self, run: str, block: tuple[int, int], earlier: Earlier) -> Iterator[Table]:
        ordinal = block[0]
        lens = self.lenses[ordinal]
        found = LayerSenses(
            self.naming(run),
            lens.upper,
            lens.lower,
            self._passed(block, earlier),
            self.references(lens.upper),
            self._spec.variant,
            self._store.plan.input_shape,
        )
        if not found.ids:
            return
        yield from sense_tables(found, self._spec.feeds, self._prepared.subject.labels)
        trace = self._prepared.model.trace
        held = self._held(lens.upper, found.senses.channel)
        if len(held[0]):
            assigned = assign(found, lens, trace, self.batches, held, self._spec.chunk_bytes)
            yield assigned_table(found, assigned)
        pair = self.pairs[ordinal] if ordinal < len(self.pairs) else None
        if pair is not None:
            share = self._prepared.spec.gcc.root_share
            roots = self._store.lists(pair.target.name, share, self._prepared.subject.lists)
            yield flow_table(
                found, flows(found, pair, trace, self.batches, roots, self._spec, self._store.images)
            )

    def _alike(self, layer: int, earlier: Earlier) -> Iterator[Table]:
        names = [f"senses-{layer:03d}-{start:06d}" for ordinal, start in self.blocks if ordinal == layer]
        found = alike_table(map(earlier, names), self._spec.alike)
        if found is not None:
            yield found

    def _passed(self, block: tuple[int, int], earlier: Earlier) -> Senses:
        """What a block found of its neurons that passed the test over all."""
        passed = np.asarray(_note(earlier(_TEST), _Q)["polysemantic"], bool)
        place = self.blocks.index(block)
        start = sum(len(self._channels(other)) for other in self.blocks[:place])
        channels = self._channels(block)
        own = channels[passed[start : start + len(channels)]]
        senses = Senses.of(_note(earlier(f"split-{block[0]:03d}-{block[1]:06d}"), _SENSES))
        return senses.take(np.isin(senses.channel, own))

    def _held(self, layer: LayerSpec, channels: Ints) -> tuple[Ints, Ints]:
        """The queries that a neuron's mask list holds: rows of the store, and places of the neurons."""
        masks = self._store.lists(layer.name, self.mask_share, self._prepared.subject.lists)
        pooled = self._store.pooled(layer.name)
        rows, places = [], []
        for row in self.queries:
            listed = None if self._prepared.subject.judging[row] else self._store.ids[row]
            own = np.flatnonzero(masks.would_hold(np.asarray(pooled[row]), listed)[channels])
            rows.append(np.full(len(own), row))
            places.append(own)
        none = np.empty(0, np.int64)
        return np.concatenate([none, *rows]), np.concatenate([none, *places])


def _note(tables: Sequence[Table], name: str) -> Columns:
    return next(columns for table, columns in tables if table == name)


def _tests(columns: Columns) -> Tests:
    return Tests(**{name: np.asarray(values) for name, values in columns.items() if name != "layer"})


def _adjusted(p: Array) -> Array:
    """Adjusted p values of those that were tested, NaN for the others."""
    q = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    q[known] = benjamini_hochberg(p[known])
    return q
