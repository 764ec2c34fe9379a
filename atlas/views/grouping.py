"""Large drawings, readable: vertices joined into modules, one per layer and community.

Communities are found on the whole drawing by Louvain (Blondel et al. 2008) with |score| as weight, in sorted order, so
that the same graph gives the same modules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from atlas.views.drawing import Arc, Drawing, Part, Vertex, shown

LARGEST = 300
PER_COLUMN = 12
LISTED = 12
Weights = dict[int, dict[int, float]]


def readable(drawing: Drawing, largest: int = LARGEST) -> Drawing:
    """The drawing, by modules where it has more than ``largest`` vertices."""
    return by_modules(drawing) if len(drawing.vertices) > largest else drawing


def by_modules(drawing: Drawing, per_column: int = PER_COLUMN) -> Drawing:
    """Vertices of one column, community and part as one; the smallest beyond ``per_column`` a column as another."""
    community = communities(
        [v.id for v in drawing.vertices], [(a.source, a.target, a.strength) for a in drawing.arcs]
    )
    size = Counter(community.values())
    number = {c: i + 1 for i, c in enumerate(sorted(size, key=lambda c: (-size[c], c)))}
    groups: dict[tuple[str, int, Part], list[Vertex]] = defaultdict(list)
    for vertex in drawing.vertices:
        groups[vertex.column, community[vertex.id], vertex.part].append(vertex)
    joined: list[Vertex] = []
    into: dict[str, str] = {}
    for column in drawing.columns:
        own = sorted((g for (c, _, _), g in groups.items() if c == column), key=lambda g: (-len(g), g[0].id))
        for i, group in enumerate([*own[:per_column], *_rest(own[per_column:])]):
            made = _joined(column, number[community[group[0].id]] if i < per_column else None, group)
            joined.append(made)
            into |= {vertex.id: made.id for vertex in group}
    arcs = _arcs(drawing.arcs, into)
    count = f"{len(drawing.vertices)} nodes and {len(drawing.arcs)} edges by layer and module"
    caption = replace(drawing.caption, notes=(*drawing.caption.notes, count))
    return replace(drawing, caption=caption, vertices=tuple(joined), arcs=arcs)


def _rest(groups: Iterable[list[Vertex]]) -> list[list[Vertex]]:
    """The vertices of small groups as one group per part."""
    found: dict[Part, list[Vertex]] = defaultdict(list)
    for group in groups:
        found[group[0].part].extend(group)
    return [found[part] for part in sorted(found)]


def communities(vertices: Iterable[str], edges: Iterable[tuple[str, str, float]]) -> dict[str, int]:
    """The community of each vertex, numbered by its first vertex in sorted order. Weights are ≥ 0."""
    names = sorted(vertices)
    number = {name: i for i, name in enumerate(names)}
    weights: Weights = {i: defaultdict(float) for i in range(len(names))}
    for source, target, weight in sorted(edges):
        a, b = number[source], number[target]
        weights[a][b] += weight
        weights[b][a] += weight
    of = list(range(len(names)))
    while True:
        moved = _moved(weights)
        if len(set(moved.values())) == len(weights):
            break
        of = [moved[c] for c in of]
        weights = _merged(weights, moved)
    first: dict[int, int] = {}
    return {name: first.setdefault(of[i], len(first)) for i, name in enumerate(names)}


def _moved(weights: Weights) -> dict[int, int]:
    """Each vertex moved to the neighbouring community of largest modularity gain until none moves."""
    degree = {v: sum(near.values()) for v, near in weights.items()}
    total = sum(degree.values())
    of = {v: v for v in weights}
    size = dict(degree)
    if total == 0:
        return of
    for _ in range(20):
        changed = False
        for v in sorted(weights):
            links: dict[int, float] = defaultdict(float)
            for other, weight in weights[v].items():
                if other != v:
                    links[of[other]] += weight
            size[of[v]] -= degree[v]
            gains = {c: links[c] - size[c] * degree[v] / total for c in {*links, of[v]}}
            # A move must gain something, or rounding could move two vertices to and fro.
            best = min(gains, key=lambda c, gains=gains: (-gains[c], c))  # type: ignore[misc]
            target = best if gains[best] > gains[of[v]] + 1e-12 else of[v]
            changed |= target != of[v]
            of[v] = target
            size[target] += degree[v]
        if not changed:
            break
    return of


def _merged(weights: Weights, of: Mapping[int, int]) -> Weights:
    merged: Weights = {c: defaultdict(float) for c in set(of.values())}
    for v, near in weights.items():
        for other, weight in near.items():
            merged[of[v]][of[other]] += weight
    return merged


def _joined(column: str, number: int | None, group: list[Vertex]) -> Vertex:
    if len(group) == 1:
        return group[0]
    name = "others" if number is None else f"module {number}"
    ranked = sorted(group, key=lambda v: (-abs(v.score or 0.0), v.id))
    scores = [v.score for v in group if v.score is not None]
    listed = tuple((v.name, "" if v.score is None else shown(v.score)) for v in ranked[:LISTED])
    more = (("and", f"{len(group) - LISTED} more"),) if len(group) > LISTED else ()
    return Vertex(
        f"{column} {name} {group[0].part}".strip(),
        group[0].kind,
        f"{name} · {len(group)}",
        column,
        sum(scores) if scores else None,
        next((v.picture for v in ranked if v.picture), None),
        part=group[0].part,
        detail=(("nodes", str(len(group))), *listed, *more),
        members=len(group),
    )


def _arcs(arcs: Iterable[Arc], into: Mapping[str, str]) -> tuple[Arc, ...]:
    """Arcs between modules: the sum of their scores, and how many of either sign."""
    found: dict[tuple[str, str, str, Part], list[Arc]] = defaultdict(list)
    for arc in arcs:
        ends = into[arc.source], into[arc.target]
        if ends[0] != ends[1]:
            found[(*ends, arc.type, arc.part)].append(arc)
    weight = {key: sum(a.strength for a in same) for key, same in found.items()}
    largest = max(weight.values(), default=1.0) or 1.0
    return tuple(
        Arc(
            *key[:3],
            sum(a.score for a in same),
            weight[key] / largest,
            key[3],
            (("edges", str(len(same))), ("negative", str(sum(a.score < 0 for a in same)))),
        )
        for key, same in sorted(found.items())
    )
