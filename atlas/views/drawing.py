"""A circuit as it is drawn: vertices in columns, arcs with signed scores, and which of two circuits they are of.

The strength of an arc is |score| over the largest |score| among arcs of its type that leave the same column:
raw scores of different layers and methods cannot be compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from atlas import address
from atlas.errors import AddressError
from atlas.lookup import Subgraph
from atlas.views.markup import clean

Part = Literal["", "first", "second", "both"]
Column = tuple[int, str, str]  # side, layer, kind
# The property that scores a relationship type; types that are not here are drawn alike.
SCORES = {
    "DRIVES": "sensitivity",
    "FLOWS_TO": "sensitivity",
    "ATTRIBUTES_TO": "score",
    "SCREENS": "score",
    "CONTRIBUTES_TO": "gig",
    "FEEDS_SENSE": "relevance",
    "LOADS_ON": "weight",
    "RESPONDS_TO": "auc",
    "EXPRESSES": "u",
    "ACTIVATED_BY": "value",
    "EXEMPLIFIED_BY": "similarity",
    "SERVES": "share",
    "INCLUDES": "score",
    "MATCHES": "score",
    "RELATED_TO": "similarity",
    "RESEMBLES": "cosine",
}
# Arrows of these types point against the flow from image to class; they are drawn the other way round.
BACKWARD = frozenset({"ACTIVATED_BY", "EXEMPLIFIED_BY"})
IN_LAYER = ("Neuron", "Sense", "Concept")
HIDDEN = frozenset({"id", "type", "source", "target", "vector", "runs", "thumb", "model", "parameters"})


@dataclass(frozen=True)
class Vertex:
    """One node. ``name`` is what stands beside its picture, a data URI; ``detail`` what hovering tells."""

    id: str
    kind: str
    name: str
    column: str
    score: float | None = None
    picture: str | None = None
    part: Part = ""
    detail: tuple[tuple[str, str], ...] = ()
    link: str | None = None
    members: int = 1


@dataclass(frozen=True)
class Arc:
    """One edge; ``strength`` in [0, 1] decides its width."""

    source: str
    target: str
    type: str
    score: float
    strength: float = 1.0
    part: Part = ""
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Caption:
    """What is said about a drawing: title, method, what its scores are, names of two parts, and its Cypher."""

    title: str
    method: str = ""
    parts: tuple[str, str] | None = None
    statement: str = ""
    browser: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """``columns`` are the columns' names from left to right; each vertex is in one of them."""

    caption: Caption
    columns: tuple[str, ...]
    vertices: tuple[Vertex, ...]
    arcs: tuple[Arc, ...]

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the scores of its arcs are, ``type.property`` each."""
        return tuple(sorted({f"{a.type}.{SCORES[a.type]}" for a in self.arcs if a.type in SCORES}))


@dataclass(frozen=True)
class Context:
    """What a subgraph does not say: order of layers by name, node scores by id."""

    layers: Sequence[str] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


def of_subgraph(caption: Caption, subgraph: Subgraph, context: Context | None = None) -> Drawing:
    """The drawing of what a query returned."""
    return _drawing(caption, subgraph, {}, {}, context or Context())


def of_two(caption: Caption, first: Subgraph, second: Subgraph, context: Context | None = None) -> Drawing:
    """Two subgraphs in one drawing, each node and edge marked as the first's, the second's or both's."""
    nodes = _parts([n["id"] for n in first.nodes], [n["id"] for n in second.nodes])
    edges = _parts([_ends(e) for e in first.edges], [_ends(e) for e in second.edges])
    joined = Subgraph((*first.nodes, *second.nodes), (*first.edges, *second.edges))
    return _drawing(caption, joined, nodes, edges, context or Context())


def _parts(first: Iterable[Any], second: Iterable[Any]) -> dict[Any, Part]:
    a, b = set(first), set(second)
    return {key: "both" if key in a & b else "first" if key in a else "second" for key in a | b}


def _ends(edge: Mapping[str, Any]) -> tuple[str, str, str]:
    return edge["source"], edge["type"], edge["target"]


def _drawing(
    caption: Caption,
    graph: Subgraph,
    node_parts: Mapping[Any, Part],
    edge_parts: Mapping[Any, Part],
    context: Context,
) -> Drawing:
    nodes = {node["id"]: node for node in reversed(graph.nodes)}
    column = {key: _column(node) for key, node in nodes.items()}
    arcs = _strengths(_arcs(graph, edge_parts), column)
    order = {name: i for i, name in enumerate(context.layers)}
    columns = sorted(
        {*column.values()},
        key=lambda c: (c[0], order.get(c[1], len(order)), c[1], IN_LAYER.index(c[2]) if c[1] else 0, c[2]),
    )
    scores = _node_scores(arcs) | {key: value for key, value in context.scores.items() if value is not None}
    vertices = tuple(
        Vertex(
            key,
            str(nodes[key].get("type", "")),
            name_of(nodes[key]),
            _heading(column[key]),
            scores.get(key),
            part=node_parts.get(key, ""),
            detail=_detail(nodes[key]),
        )
        for key in sorted(nodes)
    )
    return Drawing(caption, tuple(map(_heading, columns)), vertices, arcs)


def name_of(node: Mapping[str, Any]) -> str:
    """What a person calls a node: a unit's address without its model, an image's file name, a class's name."""
    key, kind = str(node["id"]), node.get("type")
    if kind == "Concept" and node.get("label"):
        return clean(str(node["label"]))
    if kind in ("Class", "Image", "Model", "Dataset"):
        return clean(str(node.get("name") or key))
    head, _, rest = key.partition("/")
    return rest if "@" in head else key


def _column(node: Mapping[str, Any]) -> Column:
    """Where a node stands: others, images, layers (neurons, senses, concepts of each), classes."""
    kind, key = str(node.get("type", "")), str(node["id"])
    if kind == "Layer":
        return 2, str(node.get("name") or key), "Neuron"
    if kind not in IN_LAYER:
        return {"Image": 1, "Class": 3}.get(kind, 0), "", kind
    try:
        return 2, address.parse(key).layer, kind
    except AddressError:
        return 2, str(node.get("layer") or ""), kind


def _heading(column: Column) -> str:
    _, layer, kind = column
    if not layer:
        return "Classes" if kind == "Class" else f"{kind or 'node'}s"
    return layer if kind == "Neuron" else f"{layer} {kind.lower()}s"


def _arcs(graph: Subgraph, parts: Mapping[Any, Part]) -> tuple[Arc, ...]:
    """One arc per ends and type: the strongest of parallel edges, which says how many it stands for."""
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for edge in graph.edges:
        found[_ends(edge)].append(edge)
    arcs = []
    for (source, kind, target), edges in sorted(found.items()):
        best = max(edges, key=lambda e: abs(_score(e)))
        detail = _detail(best, skip={SCORES.get(kind, ""), "circuit", "run"})
        if len(edges) > 1:
            detail = (("edges like it", str(len(edges))), *detail)
        ends = (target, source) if kind in BACKWARD else (source, target)
        part = parts.get((source, kind, target), "")
        arcs.append(Arc(*ends, kind, _score(best), part=part, detail=detail))
    return tuple(arcs)


def _score(edge: Mapping[str, Any]) -> float:
    value = edge.get(SCORES.get(edge["type"], ""))
    return float(value) if isinstance(value, int | float) else 1.0


def _strengths(arcs: tuple[Arc, ...], column: Mapping[str, Column]) -> tuple[Arc, ...]:
    largest: dict[tuple[str, Column], float] = defaultdict(float)
    for arc in arcs:
        key = (arc.type, column[arc.source])
        largest[key] = max(largest[key], abs(arc.score))
    return tuple(
        replace(arc, strength=abs(arc.score) / (largest[arc.type, column[arc.source]] or 1.0)) for arc in arcs
    )


def _node_scores(arcs: Iterable[Arc]) -> dict[str, float]:
    """Per node the sum of the scores of the arcs that leave it; of those that enter it where none leaves."""
    leaving: dict[str, float] = defaultdict(float)
    entering: dict[str, float] = defaultdict(float)
    for arc in arcs:
        if arc.type in SCORES:
            leaving[arc.source] += arc.score
            entering[arc.target] += arc.score
    return dict(entering) | dict(leaving)


def _detail(values: Mapping[str, Any], skip: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    hidden = HIDDEN | set(skip)
    return tuple((name, shown(v)) for name, v in values.items() if name not in hidden and v is not None)


def shown(value: object, digits: int = 4) -> str:
    """A value as a person reads it: floats with so many digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            re.sub(r"e([+-])0*", r"e\1", f"{value:.{digits}g}")
            .replace("-", "\N{MINUS SIGN}")
            .replace("e+", "e")
        )
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value[:8]) + (" …" if len(value) > 8 else "")
    return clean(str(value))
