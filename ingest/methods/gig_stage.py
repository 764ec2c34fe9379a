"""GIG as a stage of a job: sample feature vectors, make each layer's dictionary, explain each class, decompose images.

Phases: feature vectors of the list images, some images a shard (as notes); a dictionary per layer, kept in one file a
layer beside the activation store; then classes and images, which read these files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.address import canonical, digest_of
from ingest.job import Prepared
from ingest.methods.concepts import (
    HELD_OUT,
    LayerDictionary,
    Vectors,
    dictionary_digest,
    keep_layer,
    make_dictionary,
    read_layer,
)
from ingest.methods.feature_space import FeatureSpace, feature_space
from ingest.methods.gig import VERSION, Explainer, check_parameters
from ingest.methods.gig_scope import WARNED, ScopeGraph, run_facts, scope_graph
from ingest.methods.gig_tables import (
    ConceptNaming,
    contribution_table,
    dictionary_tables,
    express_table,
)
from ingest.methods.relevance import RelevanceChain
from ingest.methods.sampling import sample_vectors
from ingest.methods.scopes import Scope, choose_scopes, scope_tables
from ingest.methods.stage import FACTS, Columns, Earlier, Progress
from ingest.selection import choose_queries
from ingest.store import ActivationStore

IMAGES_PER_SHARD = 200
Done = Callable[[int], None]


class GigStage:
    """What GIG adds to a job.

    Raises DataError for a dictionary, space or target that there is not, and where a class has no list image at all.
    """

    version = VERSION

    def __init__(
        self, prepared: Prepared, store: ActivationStore, queries: tuple[int, ...] | None = None
    ) -> None:
        self._prepared = prepared
        self._store = store
        self._trace = prepared.model.trace
        self.spec = prepared.spec.gig
        check_parameters(self.spec)
        self._file = dictionary_digest(self.spec.dictionary)
        subject, images = prepared.subject, prepared.images.images
        self.queries = queries or choose_queries(
            prepared.spec.queries, images, subject.labels, subject.judging
        )
        # Without classes, what moves the largest logit of any image.
        text = "classes" if subject.classes else "all"
        self.scopes = choose_scopes(text, subject, images, "list", self.spec.images_per_class)

    def parameters(self) -> dict[str, Any]:
        """What its numbers depend on, beside model, data and seed."""
        return {
            **self.spec.to_dict(),
            **({} if self._file is None else {"dictionary_digest": self._file}),
            "layers": [layer.name for layer in self._prepared.layers],
            "queries": len(self.expressed),
            "queries_digest": digest_of([self._store.ids[row] for row in self.expressed]),
        }

    @property
    def phases(self) -> tuple[tuple[str, ...], ...]:
        """Feature vectors, dictionaries, then classes and images."""
        layers = range(len(self._prepared.layers))
        vectors = range(0, len(self._sampled_rows), IMAGES_PER_SHARD)
        images = range(0, len(self.expressed), IMAGES_PER_SHARD)
        return (
            tuple(f"vectors-{n:06d}" for n in vectors),
            tuple(f"dictionary-{n:03d}" for n in layers),
            (
                *(f"class-{n:06d}" for n in range(len(self.scopes))),
                *(f"images-{n:06d}" for n in images),
            ),
        )

    def compute(
        self, run: str, shard: str, progress: Progress, earlier: Earlier
    ) -> Iterator[tuple[str, Columns]]:
        """The tables of one shard."""
        kind, _, number = shard.partition("-")
        if kind == "vectors":
            rows = self._sampled_rows[int(number) : int(number) + IMAGES_PER_SHARD]
            total = len(self._sampled_rows)
            return self._sample(rows, lambda done: progress("feature vectors", int(number) + done, total))
        if kind == "dictionary":
            progress("dictionaries", int(number), len(self._prepared.layers))
            return self._dictionary(int(number), earlier)
        if kind == "class":
            progress("classes", int(number), len(self.scopes))
            return self._class(self.scopes[int(number)])
        rows = self.expressed[int(number) : int(number) + IMAGES_PER_SHARD]
        total = len(self.expressed)
        return self._images(rows, lambda done: progress("images in concepts", int(number) + done, total))

    def facts(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Facts about the run: vectors whose position SRD did not choose, and how complete the contributions are."""
        return run_facts(numbers, self.spec.steps)

    @cached_property
    def spaces(self) -> tuple[FeatureSpace, ...]:
        """Where each layer's feature vectors are read."""
        return tuple(feature_space(self._trace, layer, self.spec.space) for layer in self._prepared.layers)

    @cached_property
    def chain(self) -> RelevanceChain:
        """Relevance from the output down these layers."""
        return RelevanceChain(self._trace, self.spaces)

    @cached_property
    def dictionaries(self) -> tuple[LayerDictionary, ...]:
        """One a layer: read from disk, or made again where a file is gone."""
        return tuple(found[0] for found in self._layers)

    @cached_property
    def explainer(self) -> Explainer:
        """GIG between these dictionaries."""
        return Explainer(self._trace, self.dictionaries, self.spec)

    @cached_property
    def naming(self) -> ConceptNaming:
        """Ids of what a run writes."""
        return ConceptNaming(self._prepared.subject, self._store.ids, self._store.plan.input_shape)

    @cached_property
    def expressed(self) -> tuple[int, ...]:
        """Rows of the store that are written as concepts: the queries and the images of classes."""
        return tuple(sorted({*self.queries, *(row for scope in self.scopes for row in scope.rows)}))

    def vectors(self, ordinal: int) -> Vectors:
        """The list vectors of one layer."""
        return self._layers[ordinal][1]

    @property
    def folder(self) -> Path:
        """Where dictionaries are kept, named by all that they depend on."""
        own = {name: getattr(self.spec, name) for name in ("dictionary", "concepts", "l0", "space")}
        subject = self._prepared.subject
        parts = [
            VERSION,
            canonical(own),
            self._file or "",
            str(self._prepared.spec.seed),
            self._store.plan.digest,
        ]
        return (
            self._store.folder / f"concepts-{digest_of([*parts, *map(str, subject.judging.tolist())])[:16]}"
        )

    def _path(self, ordinal: int) -> Path:
        return self.folder / f"{ordinal:03d}.npz"

    @cached_property
    def _layers(self) -> tuple[tuple[LayerDictionary, Vectors], ...]:
        missing = [n for n in range(len(self.spaces)) if not self._path(n).is_file()]
        if missing:
            starts = range(0, len(self._sampled_rows), IMAGES_PER_SHARD)
            parts = [
                dict(self._sample(self._sampled_rows[start : start + IMAGES_PER_SHARD], lambda _: None))
                for start in starts
            ]
            for n in missing:
                self._make(n, parts)
        device = self._prepared.spec.model.device
        return tuple(read_layer(self._path(n), space, device) for n, space in enumerate(self.spaces))

    @cached_property
    def _sampled_rows(self) -> tuple[int, ...]:
        """All list images, and judging images to set λ and measure the error on."""
        judging = self._prepared.subject.judging
        others = np.flatnonzero(judging)
        step = max(1, -(-len(others) // HELD_OUT))
        return (*np.flatnonzero(~judging).tolist(), *others[::step].tolist())

    def batches(self, rows: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """Images of some rows of the store, on the model's device."""
        return self._prepared.batches(rows)

    def _sample(self, rows: Sequence[int], done: Done) -> Iterator[tuple[str, Columns]]:
        """One feature vector per image and layer, as notes."""
        found = sample_vectors(
            self.chain, self.batches(rows), self._store.ids, self._prepared.spec.seed, done
        )
        judging = self._prepared.subject.judging
        listed = [part.take(~judging[part.rows]) for part in found]
        for n, part in enumerate(found):
            yield f"#vectors-{n:03d}", part.columns()
        yield (
            FACTS,
            {
                "vectors": [sum(len(part.rows) for part in listed)],
                "fallbacks": [sum(int((~part.by_srd).sum()) for part in listed)],
            },
        )

    def _make(self, ordinal: int, parts: Sequence[Mapping[str, Columns]]) -> tuple[LayerDictionary, Vectors]:
        """A layer's dictionary from the notes of all samples, kept on disk."""
        every = Vectors.join([Vectors.of(part[f"#vectors-{ordinal:03d}"]) for part in parts])
        judged = self._prepared.subject.judging[every.rows]
        listed = every.take(~judged)
        dictionary = make_dictionary(
            self.spaces[ordinal],
            torch.from_numpy(listed.vectors).to(self._prepared.spec.model.device),
            torch.from_numpy(every.take(judged).vectors),
            self.spec,
            self._prepared.spec.seed,
        )
        keep_layer(self._path(ordinal), dictionary, listed)
        return read_layer(self._path(ordinal), self.spaces[ordinal])

    def _dictionary(self, ordinal: int, earlier: Earlier) -> Iterator[tuple[str, Columns]]:
        if self._path(ordinal).is_file():
            dictionary, vectors = read_layer(self._path(ordinal), self.spaces[ordinal])
        else:
            dictionary, vectors = self._make(ordinal, [dict(earlier(name)) for name in self.phases[0]])
        yield from dictionary_tables(self.naming, dictionary, vectors, self.spec, self._prepared.spec.seed)

    def _class(self, scope: Scope) -> Iterator[tuple[str, Columns]]:
        yield from scope_tables([scope], self._store.ids)
        batches = [x for _, x in self.batches(scope.rows)]
        graph = scope_graph(self.explainer, batches, scope.output, self.spec.top_concepts)
        written = 0
        for table, columns in self._edges(scope, graph):
            written += len(columns["gig"])  # type: ignore[arg-type]
            yield table, columns
        errors = graph.errors.numpy()
        yield (
            FACTS,
            {
                "targets": [errors.size],
                "completeness_error": [float(errors.sum())],
                "incomplete": [int((errors > WARNED).sum())],
                "contributions": [written],
            },
        )

    def _edges(self, scope: Scope, graph: ScopeGraph) -> Iterator[tuple[str, Columns]]:
        last = len(self.spaces)
        for source, averages in graph.to_output.items() if scope.kind == "class" else ():
            names = self.naming.concepts(self.dictionaries[source])
            yield (
                "Concept-CONTRIBUTES_TO-Class",
                contribution_table(names, [scope.id], averages, scope.id, last - source, self.spec.keep),
            )
        for (source, target), averages in graph.to_next.items():
            starts, ends = (self.naming.concepts(self.dictionaries[n]) for n in (source, target))
            chosen = [ends[concept] for concept in graph.tops[target]]
            yield (
                "Concept-CONTRIBUTES_TO-Concept",
                contribution_table(starts, chosen, averages, scope.id, target - source, self.spec.keep),
            )

    def _images(self, rows: Sequence[int], done: Done) -> Iterator[tuple[str, Columns]]:
        explainer, count = self.explainer, 0
        nodes = [space.node for space in self.spaces]
        for indices, x in self.batches(rows):
            with torch.no_grad():
                clean = self._trace.values(x, [*dict.fromkeys(nodes)])
            for n, space in enumerate(self.spaces):
                decomposed = explainer.decompose(n, clean[space.node])
                yield (
                    "Image-EXPRESSES-Concept",
                    express_table(self.naming, self.dictionaries[n], decomposed, indices, self.spec.express),
                )
            count += len(x)
            done(count)
