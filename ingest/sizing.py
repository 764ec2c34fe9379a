"""How large an atlas will be, from shapes and parameters alone: nodes, relationships by type, bytes on disk.

Relationships are upper bounds, nearly all reached (``docs/sizing.md`` compares them with atlases that were loaded),
but for circuits, whose number and size follow from the network: there the figures are expectations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from atlas.schema import INDEXES, NODE_TYPES, RELATIONSHIP_TYPES, Property
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.methods.survey import CLASSES_PER_NEURON

# Neo4j's record store: a node, a relationship, and a property record of four 8-byte blocks each.
NODE, RELATIONSHIP, PROPERTY, BLOCKS = 15, 34, 41, 4
# Values that fit no block go to chained records of 128 bytes, 120 of them filled.
DYNAMIC, FILLED = 128, 120
# Of the demo's 600 queries: circuits for each root list that holds a query, the part of them that no other circuit
# holds, and nodes and edges of such a one.
CIRCUITS_PER_ROOT, OWN, MEMBERS, EDGES = 0.7, 0.55, 41, 81
RANGE_ENTRY, INDEXED_RELATIONSHIP = 40, 33
"""Bytes of one entry of a range index: of a node beside the text of its key, and of a relationship."""
INDEXED_TYPES = tuple(target for index in INDEXES if index.relationship for target in index.targets)
VECTOR_INDEX = 5.0
"""Bytes per vector component in the vector index: as it is, in a byte, and the links between neighbours."""
# Per second on two cores shared with other work: rows over Bolt, rows and vector components by import, components into
# the vector index.
BOLT, IMPORTED, IMPORTED_COMPONENTS, INDEXED = 20_000, 150_000, 3_200_000, 540_000
START = 30.0
"""Seconds of an import of nothing: the server stopped and started, and its tools."""
STRINGS = {
    "run": 11,
    "circuit": 12,
    "scope": 18,
    "role": 6,
    "basis": 44,
    "model": 17,
    "metric": 8,
    "thumb": 40,
}
TEXT = 28
"""Characters of a text that has no entry above, such as an address."""
_BLOCKS_OF_KIND = {"float": 2, "integer": 1, "boolean": 1}


@dataclass(frozen=True)
class Size:
    """What decides the size of an atlas.

    Parameters
    ----------
    channels : of each layer.
    images, lists : all images, and those that make lists.
    queries : images with exact circuits.
    dictionary : concepts of each layer; () for what ``gig`` finds by itself.
    """

    channels: tuple[int, ...]
    images: int
    lists: int
    classes: int
    queries: int
    methods: tuple[str, ...] = ("gcc", "cla", "gig", "pure")
    gcc: GccParameters = field(default_factory=GccParameters)
    cla: ClaParameters = field(default_factory=ClaParameters)
    gig: GigParameters = field(default_factory=GigParameters)
    pure: PureParameters = field(default_factory=PureParameters)
    dictionary: tuple[int, ...] = ()

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(self.channels)

    @property
    def concepts(self) -> tuple[int, ...]:
        """Concepts of each layer, none without GIG."""
        if "gig" not in self.methods:
            return tuple(0 for _ in self.channels)
        return self.dictionary or tuple(
            self.gig.concepts or max(1, min(8 * c, self.lists // 4)) for c in self.channels
        )

    @property
    def senses(self) -> int:
        """Senses if every neuron had as many as a split may have."""
        return self.neurons * self.pure.counts[-1] if "pure" in self.methods else 0


def relationships(size: Size) -> dict[str, int]:
    """Relationships per type, the scored and the listed ones; structure is below one in a hundred."""
    counts: dict[str, int] = {}
    for name, rows in _all_relationships(size):
        counts[name] = counts.get(name, 0) + rows
    return counts


def found_circuits(size: Size) -> int:
    """Exact circuits of all queries, as expected: one for most of the root lists that hold a query."""
    if "gcc" not in size.methods:
        return 0
    return round(size.queries * size.neurons * size.gcc.root_share * CIRCUITS_PER_ROOT)


def circuits(size: Size) -> dict[str, int]:
    """Relationships of exact circuits, as expected, per type."""
    found = found_circuits(size)
    own = round(found * OWN)
    counts = {
        "DRIVES": own * EDGES,
        "INCLUDES": own * MEMBERS + found - own,
        "EXEMPLIFIED_BY": own * size.gcc.exemplars,
    }
    return counts if found else {}


def nodes(size: Size) -> dict[str, int]:
    """Nodes per label."""
    scoped = "cla" in size.methods or "gig" in size.methods
    found = {
        "Layer": len(size.channels),
        "Neuron": size.neurons,
        "Class": size.classes,
        "Image": size.images,
        "Concept": sum(size.concepts),
        "Sense": size.senses,
        "ImageSet": size.classes if scoped else 0,
        "Circuit": (2 * size.classes if "cla" in size.methods else 0) + found_circuits(size),
    }
    return {label: count for label, count in found.items() if count}


def disk(size: Size) -> dict[str, int]:
    """Bytes by what takes them: relationships, nodes, lists of numbers, vectors, and the indexes of both."""
    rows = relationships(size)
    for name, count in circuits(size).items():
        rows[name] = rows.get(name, 0) + count
    held = nodes(size)
    components = sum(k * c for k, c in zip(size.concepts, size.channels, strict=True))
    centroids = sum(a * b for a, b in pairwise(size.channels)) * (size.senses // max(1, size.neurons))
    listed = size.gcc.mask_share * size.neurons * size.images
    return {
        "relationships": sum(count * relationship_bytes(name) for name, count in rows.items()),
        "nodes": sum(count * node_bytes(label) for label, count in held.items()),
        "lists of channels": int(listed * (8 + math.log2(max(2, *size.channels)) / 8) * DYNAMIC / FILLED),
        "vectors": (components + centroids) * 8 * DYNAMIC // FILLED,
        "vector index": int(components * VECTOR_INDEX),
        "other indexes": sum(held.values()) * (RANGE_ENTRY + TEXT)
        + sum(rows.get(name, 0) for name in INDEXED_TYPES) * INDEXED_RELATIONSHIP,
    }


def load_seconds(size: Size) -> tuple[float, float]:
    """Seconds of a load over Bolt and of an import, on two cores (rates in ``docs/sizing.md``)."""
    rows = total(relationships(size)) + total(circuits(size)) + total(nodes(size))
    components = sum(k * c for k, c in zip(size.concepts, size.channels, strict=True))
    index = components / INDEXED
    return rows / BOLT + index, START + rows / IMPORTED + components / IMPORTED_COMPONENTS + index


def relationship_bytes(name: str) -> int:
    """Bytes of one relationship of a type with all its properties."""
    kind = RELATIONSHIP_TYPES[name]
    return RELATIONSHIP + _record_bytes(kind.properties, kind.shared)


def node_bytes(label: str) -> int:
    """Bytes of one node of a label with all its properties, its lists of numbers apart."""
    kind = NODE_TYPES[label]
    return NODE + _record_bytes(kind.properties, kind.shared)


def _record_bytes(properties: tuple[Property, ...], shared: bool) -> int:
    blocks = dynamic = 0
    for p in properties:
        if p.kind in ("integers", "floats", "strings"):
            blocks += 1
            dynamic += DYNAMIC if p.kind == "strings" and shared else 0
        elif p.kind in _BLOCKS_OF_KIND:
            blocks += _BLOCKS_OF_KIND[p.kind]
        else:
            length = STRINGS.get(p.name, 200 if p.kind == "json" else TEXT)
            need = math.ceil((39 + 6 * length) / 64)
            blocks += need if need <= BLOCKS else 1
            dynamic += 0 if need <= BLOCKS else math.ceil(length / FILLED) * DYNAMIC
    return PROPERTY * math.ceil(blocks / BLOCKS) + dynamic


def _all_relationships(size: Size) -> Iterator[tuple[str, int]]:
    gcc, methods, neurons = size.gcc, size.methods, size.neurons
    yield "ACTIVATED_BY", neurons * math.ceil(gcc.root_share * size.lists)
    yield "ACTIVATES", size.images * len(size.channels)
    yield "RESPONDS_TO", neurons * min(CLASSES_PER_NEURON, size.classes)
    if "gcc" in methods:
        yield "FLOWS_TO", sum(a * min(gcc.keep_most, b) for a, b in pairwise(size.channels))
    if "cla" in methods:
        yield "ATTRIBUTES_TO", _attributions(size)
        yield "INCLUDES", 2 * size.classes * sum(min(size.cla.k, channels) for channels in size.channels)
    if "gig" in methods:
        yield from _contributions(size)
    if "pure" in methods:
        pure = size.pure
        yield "HAS_SENSE", size.senses
        yield "FEEDS_SENSE", size.senses * pure.feeds
        yield "FLOWS_TO", size.senses * pure.flow_targets
        yield "RESEMBLES", size.senses * pure.alike
        yield "EXEMPLIFIED_BY", neurons * min(size.lists, pure.references)
        yield "ASSIGNED_TO", neurons * math.ceil(gcc.mask_share * size.queries)


def _attributions(size: Size) -> int:
    """Per class: stored targets times stored sources of every link, and all pairs of the members of two circuits."""
    cla, classes = size.cla, max(1, size.classes)
    members = [2 * min(cla.k, channels) for channels in size.channels]
    per_class = min(cla.keep, classes) * min(cla.sources, size.channels[-1]) + members[-1]
    for (here, there), own in zip(pairwise(size.channels), pairwise(members), strict=True):
        per_class += min(cla.keep, there) * min(cla.sources, here) + own[0] * own[1] // 2
    return classes * per_class


def _contributions(size: Size) -> Iterator[tuple[str, int]]:
    gig, concepts = size.gig, sum(size.concepts)
    yield "HAS_CONCEPT", concepts
    yield "LOADS_ON", concepts * gig.exemplars
    yield "EXEMPLIFIED_BY", concepts * gig.exemplars
    yield "CONTRIBUTES_TO", max(1, size.classes) * len(size.channels) * (gig.top_concepts + 1) * gig.keep
    yield "EXPRESSES", size.images * len(size.channels) * gig.express


def total(parts: Mapping[str, int]) -> int:
    """The sum of a table of counts or bytes."""
    return sum(parts.values())
