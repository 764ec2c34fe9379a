"""GCC as a stage of a job: the data set's flow some layers at a time, the exact circuits some images at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from atlas.address import digest_of
from ingest.job import Prepared
from ingest.methods.ablation import circuit_drops, target_weights
from ingest.methods.chain import Chain, chained_logits, make_chain
from ingest.methods.gcc import VERSION, OverlapRows, QueryCircuits, query_circuits
from ingest.methods.gcc_flow import Group, flows, groups, images_of
from ingest.methods.gcc_job import Lists, make_lists, query_of_row, remarks
from ingest.methods.gcc_tables import Naming, circuit_tables, flow_table
from ingest.methods.pairs import Pair, make_pairs
from ingest.methods.stage import FACTS, Columns, Earlier, Progress
from ingest.numerics.traversal import Node
from ingest.selection import choose_queries
from ingest.store import ActivationStore

QUERIES_PER_SHARD = 10
FLOW_FACTS = ("flow_edges", "capped_sources")


class GccStage:
    """What GCC adds to a job."""

    version = VERSION

    def __init__(
        self, prepared: Prepared, store: ActivationStore, queries: tuple[int, ...] | None = None
    ) -> None:
        self._prepared = prepared
        self._store = store
        self._spec = prepared.spec.gcc
        self.queries = queries or choose_queries(
            prepared.spec.queries, prepared.images.images, prepared.subject.labels, prepared.subject.judging
        )

    def parameters(self) -> dict[str, Any]:
        """What its numbers depend on, beside model, data and seed."""
        ids = [self._store.ids[row] for row in self.queries]
        return {**self._spec.to_dict(), "queries": len(ids), "queries_digest": digest_of(ids)}

    @property
    def phases(self) -> tuple[tuple[str, ...], ...]:
        """One phase: the flow, a group of pairs at a time, then the queries, some at a time."""
        queries = (f"queries-{n:06d}" for n in range(0, len(self.queries), QUERIES_PER_SHARD))
        return ((*self.groups, *queries),)

    def compute(
        self, run: str, shard: str, progress: Progress, earlier: Earlier
    ) -> Iterator[tuple[str, Columns]]:
        """The tables of one shard."""
        if shard in self.groups:
            return self._flow(run, shard, progress)
        start = int(shard.removeprefix("queries-"))
        return self._part(
            run,
            self.queries[start : start + QUERIES_PER_SHARD],
            lambda done: progress("circuits", start + done, len(self.queries)),
        )

    def facts(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Facts about the run, from the sums over its shards."""
        fitted = numbers.get("fitted", 0)
        return {
            **dict.fromkeys(FLOW_FACTS, 0),
            **{name: int(value) for name, value in numbers.items()},
            "fallback_share": numbers.get("fallbacks", 0) / fitted if fitted else 0.0,
            "remarks": remarks(self.lists),
        }

    @cached_property
    def lists(self) -> Lists:
        """The root and mask lists, made from the list images."""
        return make_lists(self._store, self._spec, self._prepared.subject.lists)

    @cached_property
    def pairs(self) -> tuple[Pair | None, ...]:
        """Adjacent layers with their segments."""
        return make_pairs(self._prepared.model.trace, self._prepared.layers)

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """Shards of the data set's flow, each named by its first source layer, with their pairs."""
        return {f"flow-{group[0][0]:03d}": group for group in groups(self.pairs)}

    @cached_property
    def _flow_images(self) -> Mapping[str, int]:
        """How many images each shard of the flow runs."""
        most = self._spec.flow_images
        return {name: images_of(group, self.lists, most) for name, group in self.groups.items()}

    @cached_property
    def chain(self) -> Chain | None:
        """The layers as a chain, where they are one."""
        return make_chain(self._prepared.model.trace, self._prepared.layers, self.pairs)

    @cached_property
    def overlaps(self) -> OverlapRows:
        """S_SF of these lists."""
        return OverlapRows(self.lists)

    def batches(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Images of some rows of the store, on the model's device."""
        return self._prepared.batches(rows)

    def circuits(self, rows: Sequence[int]) -> Iterator[tuple[int, Tensor, QueryCircuits]]:
        """Exact circuits of some rows of the store: row, image (1, 3, H, W), circuits."""
        for indices, batch in self.batches(rows):
            for place, row in enumerate(indices):
                x = batch[place : place + 1]
                listed = not bool(self._prepared.subject.judging[row])
                query = query_of_row(self._store, self.lists, row, x, listed=listed)
                trace = self._prepared.model.trace
                yield row, x, query_circuits(trace, self.pairs, self.overlaps, query, self._spec)

    def naming(self, run: str) -> Naming:
        """Ids of what a run writes."""
        return Naming(self._prepared.subject, self._prepared.layers, run, self._store.ids)

    def _flow(self, run: str, shard: str, progress: Progress) -> Iterator[tuple[str, Columns]]:
        naming, edges, capped = self.naming(run), 0, 0
        images = self._flow_images
        names = list(images)
        before = sum(images[name] for name in names[: names.index(shard)])
        found = flows(
            self._prepared.model.trace,
            self.groups[shard],
            self.lists,
            self.batches,
            self._spec,
            lambda done: progress("flow", before + done, sum(images.values())),
        )
        for flow in found:
            edges, capped = edges + len(flow), capped + int(flow.capped.sum())
            yield flow_table(naming, flow)
        yield FACTS, dict(zip(FLOW_FACTS, ([edges], [capped]), strict=True))

    def _part(
        self, run: str, rows: Sequence[int], progress: Callable[[int], None]
    ) -> Iterator[tuple[str, Columns]]:
        naming = self.naming(run)
        facts = dict.fromkeys(("circuits", "edges", "fitted", "fallbacks"), 0)
        for done, (row, x, result) in enumerate(self.circuits(rows), start=1):
            drops = self.drops(x, result, self.output(row))
            yield from circuit_tables(naming, result, self.lists, self._spec, drops)
            facts["circuits"] += len(result.circuits)
            facts["edges"] += len(result.edges)
            facts["fitted"] += result.sources
            facts["fallbacks"] += result.fallbacks
            progress(done)
        yield FACTS, {name: [value] for name, value in facts.items()}

    def drops(self, x: Tensor, result: QueryCircuits, output: int | None) -> dict[Node, float]:
        """Per own circuit what the logit of an output (the predicted one if None) loses without it.

        x : (1, 3, H, W) the query.
        """
        own = [circuit for circuit in result.circuits if circuit.merged_into is None]
        if not own:
            return {}
        weights = target_weights("predicted" if output is None else "label", result.logits, output, {})
        cuts = [circuit.members() for circuit in own]
        trace, layers = self._prepared.model.trace, self._prepared.layers
        if self.chain is None:
            drops = circuit_drops(trace, layers, x, cuts, weights)
        else:
            clean = trace.values(x, [layer.node for layer in layers])
            drops = (result.logits - chained_logits(self.chain, clean, cuts)) @ weights
        return {circuit.root: float(drop) for circuit, drop in zip(own, drops, strict=True)}

    def output(self, row: int) -> int | None:
        """The model output of an image's own class, None where that is unknown."""
        label = self._prepared.subject.labels[row]
        return None if label is None else self._prepared.subject.outputs[label]
