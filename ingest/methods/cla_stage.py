"""CLA as a stage of a job: scores scope by scope, their sum over all scopes, then circuits and tables scope by scope.

Matrices go from phase to phase as notes on disk, so memory holds those of two scopes however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from atlas.address import digest_of
from atlas.errors import DataError
from ingest.job import Prepared
from ingest.methods.cla import VERSION, ScopeScores, chain_scores, scope_scores
from ingest.methods.cla_job import Link, make_links
from ingest.methods.cla_tables import (
    CONTRASTIVE,
    RAW,
    ClaNaming,
    ScopeResult,
    result_tables,
    screen_tables,
)
from ingest.methods.scopes import Scope, choose_scopes
from ingest.methods.screening import Screen
from ingest.methods.stage import FACTS, Columns, Earlier, Progress, Table
from ingest.numerics.cla_circuit import Array, ClaCircuit, contrasted, find_circuit, layer_sizes
from ingest.store import ActivationStore

SCORES, SUM = "#scores", "#sum"


class ClaStage:
    """What CLA adds to a job.

    Raises DataError if the spec's scopes have no images, or would store more edges than allowed; ModelError if the
    layers do not depend on each other.
    """

    version = VERSION
    queries: tuple[int, ...] = ()

    def __init__(
        self, prepared: Prepared, store: ActivationStore, queries: tuple[int, ...] | None = None
    ) -> None:
        self._prepared = prepared
        self._store = store
        self.spec = prepared.spec.cla
        self.links: tuple[Link, ...] = make_links(prepared.model.trace, prepared.layers, self.spec.hops)
        self.sizes = layer_sizes(self.widths, self.spec.k, self.spec.k_share)
        self.scopes = self.scopes_of("list", self.spec.images_per_scope)
        self._check_edges()

    def scopes_of(self, side: str, most: int = 0) -> tuple[Scope, ...]:
        """The spec's scopes with images of one side."""
        prepared = self._prepared
        return choose_scopes(self.spec.scopes, prepared.subject, prepared.images.images, side, most)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return tuple(layer.channels for layer in self._prepared.layers)

    def parameters(self) -> dict[str, Any]:
        """What its numbers depend on, beside model, data and seed."""
        scopes = digest_of(f"{scope.id}:{scope.digest}" for scope in self.scopes)
        layers = digest_of(layer.name for layer in self._prepared.layers)
        return {
            **self.spec.to_dict(),
            "scopes": len(self.scopes),
            "scopes_digest": scopes,
            "layers_digest": layers,
        }

    @property
    def phases(self) -> tuple[tuple[str, ...], ...]:
        """Scores of every scope and its screening if wanted, the scores' sum, then what is made of each."""
        numbers = [f"{n:06d}" for n in range(len(self.scopes))]
        first = tuple(f"scores-{n}" for n in numbers)
        if self.spec.screen:
            first += tuple(f"screen-{n}" for n in numbers)
        return first, ("sum",), tuple(f"scope-{n}" for n in numbers)

    def compute(
        self, run: str, shard: str, progress: Progress, earlier: Earlier
    ) -> Iterator[tuple[str, Columns]]:
        """The tables of one shard."""
        if shard == "sum":
            return self._sum(earlier)
        kind, _, number = shard.rpartition("-")
        place = int(number)
        if kind == "scores":
            return self._scores(
                place, lambda done: progress(self.scopes[place].id, done, len(self.scopes[place].rows))
            )
        return self._screen(run, place) if kind == "screen" else self._scope(run, place, earlier)

    def facts(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Facts about the run, from the sums over its shards."""
        remarks = []
        if len(self.scopes) < 2:
            remarks.append("one scope of images, so there is nothing to contrast it with: raw circuits alone")
        least = min(len(scope.rows) for scope in self.scopes)
        if least < 2:
            remarks.append("a scope has one image: its scores have no spread")
        return {
            **{name: int(value) for name, value in numbers.items()},
            "scopes": len(self.scopes),
            "remarks": remarks,
        }

    def scores(self, rows: Sequence[int], progress: Callable[[int], None] = lambda done: None) -> ScopeScores:
        """Scores of every link, averaged over some rows of the store."""
        trace = self._prepared.model.trace
        return scope_scores(trace, self.links, self.batches(rows), self.spec.chunk_bytes, progress)

    def batches(self, rows: Sequence[int]) -> Iterator[Tensor]:
        """Images of some rows of the store, on the model's device."""
        return (x for _, x in self._prepared.batches(rows))

    def circuit(self, matrices: Sequence[Array], sizes: Sequence[int] | None = None) -> ClaCircuit:
        """The circuit that matrices of all links hold."""
        return find_circuit(self.chain(matrices), sizes or self.sizes)

    def chain(self, matrices: Sequence[Array]) -> list[Array]:
        """Of matrices of all links those between adjacent layers, in order."""
        return chain_scores(self.links, matrices, len(self.widths))

    def naming(self, run: str) -> ClaNaming:
        """Ids of what a run writes."""
        return ClaNaming(self._prepared.subject, self.links, run, self._store.ids)

    def _scores(self, place: int, progress: Callable[[int], None]) -> Iterator[tuple[str, Columns]]:
        found = self.scores(self.scopes[place].rows, progress)
        matrices = {f"mean-{i}": m for i, m in enumerate(found.means)}
        yield SCORES, {**matrices, **{f"std-{i}": m for i, m in enumerate(found.stds)}, "n": [found.n]}

    @cached_property
    def screen(self) -> Screen:
        """What screens the links of this job."""
        return Screen(self._prepared.model.trace, self.links, self.spec.chunk_bytes)

    def _screen(self, run: str, place: int) -> Iterator[tuple[str, Columns]]:
        scope, edges = self.scopes[place], 0
        found = self.screen.scores(self.batches(scope.rows), scope.output)
        for table, columns in screen_tables(self.naming(run), scope, self.screen, found, self.spec):
            edges += len(columns["score"])  # type: ignore[arg-type]
            yield table, columns
        yield FACTS, {"screened": [edges]}

    def _sum(self, earlier: Earlier) -> Iterator[tuple[str, Columns]]:
        totals: list[Array] = []
        for n in range(len(self.scopes)):
            own = _note(earlier(f"scores-{n:06d}"), SCORES)
            for i in range(len(self.links)):
                mean = np.asarray(own[f"mean-{i}"], np.float64)
                if n:
                    totals[i] += mean
                else:
                    totals.append(mean)
        yield SUM, {f"sum-{i}": total for i, total in enumerate(totals)}

    def _scope(self, run: str, place: int, earlier: Earlier) -> Iterator[tuple[str, Columns]]:
        own = _note(earlier(f"scores-{place:06d}"), SCORES)
        count = range(len(self.links))
        means = tuple(np.asarray(own[f"mean-{i}"], np.float32) for i in count)
        stds = tuple(np.asarray(own[f"std-{i}"], np.float32) for i in count)
        circuits = {RAW: self.circuit([m.astype(np.float64) for m in means])}
        contrasts = None
        if len(self.scopes) > 1:
            sums = _note(earlier("sum"), SUM)
            apart = [
                contrasted(means[i].astype(np.float64), np.asarray(sums[f"sum-{i}"]), len(self.scopes))
                for i in count
            ]
            circuits[CONTRASTIVE] = self.circuit(apart)
            contrasts = tuple(a.astype(np.float32) for a in apart)
        scores = ScopeScores(int(np.asarray(own["n"])[0]), means, stds)
        result = ScopeResult(self.scopes[place], scores, contrasts, circuits)
        edges = 0
        for table, columns in result_tables(self.naming(run), result, self.spec):
            edges += len(columns["score"]) if "ATTRIBUTES_TO" in table else 0  # type: ignore[arg-type]
            yield table, columns
        unstable = sum(not circuit.stable for circuit in circuits.values())
        yield FACTS, {"circuits": [len(circuits)], "edges": [edges], "unstable": [unstable]}

    def _check_edges(self) -> None:
        spec, outputs = self.spec, len(self._prepared.subject.classes)
        edges = sum(
            min(spec.keep, outputs if link.width is None else link.width)
            * min(spec.sources, link.source.channels)
            for link in self.links
        )
        if edges * len(self.scopes) > spec.most_edges:
            raise DataError(
                "more attribution edges than a run may store",
                where=f"{len(self.scopes)} scopes",
                expected=f"<= {spec.most_edges}",
                got=edges * len(self.scopes),
                next_step="name fewer scopes (cla.scopes=FILE), lower cla.keep or cla.sources, or raise cla.most_edges",
            )


def _note(tables: Sequence[Table], name: str) -> Mapping[str, Any]:
    return next(columns for table, columns in tables if table == name)
