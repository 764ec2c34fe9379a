"""From roots to circuits: the forward walk of one query (methods 1.1), breadth first.

Notation
--------
L : layers in execution order, edges join layer l to l + 1 only.       node : (layer, channel).
root : a node whose root list (T1) holds the query, the last layer excluded.
An edge depends on its source, not on the path that led there, so the walk visits each node once, a layer
at a time, and a root's circuit is what can be reached from it. Roots are taken in the order of layers,
then channels; a root that an earlier root reaches has its circuit inside that one's, and is marked as
merged into it.

Source: GCC, ICCV 2025 (arXiv 2508.01728), public code (there depth first with a global visited set: the
same sets).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Node = tuple[int, int]


@dataclass(frozen=True)
class Edges:
    """Edges of one query, arrays of one length E.

    layer : ordinal of the source's layer.     source, target : channels, in layer and layer + 1.
    sensitivity : S_NS.     alone : S_NS with the identity target left out of the sum (equal where there is
    none).
    raw : S̃, in units of the target's activation.      overlap : S_SF.     identity : carried on by a
    shortcut.
    rank : place among the source's candidates by S_NS, 1 is the strongest.
    """

    layer: Ints
    source: Ints
    target: Ints
    sensitivity: Array
    alone: Array
    raw: Array
    overlap: Array
    identity: Bools
    rank: Ints

    def __len__(self) -> int:
        return len(self.layer)

    def take(self, index: Ints | Bools) -> Edges:
        """The edges at an index or under a mask."""
        return Edges(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Edges]) -> Edges:
        """All edges of several, in order."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    @classmethod
    def empty(cls) -> Edges:
        """No edges."""
        ints, floats, bools = np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.bool_)
        return cls(ints, ints, ints, floats, floats, floats, floats, bools, ints)

    def pairs(self) -> set[tuple[int, int, int]]:
        """{(layer, source, target)}."""
        return set(zip(self.layer.tolist(), self.source.tolist(), self.target.tolist(), strict=True))


@dataclass(frozen=True)
class GccCircuit:
    """One circuit of one query: the root, all it reaches, and the edges between.

    query : the query's id.      root : (layer, channel).
    edges : see :class:`Edges`.      nodes : (M, 2) layer and channel of all nodes, the root first, then
    ascending.
    merged_into : the root of the earlier circuit that already holds this one's root, or None.
    """

    query: str
    root: Node
    edges: Edges
    nodes: Ints
    merged_into: Node | None

    def members(self) -> set[Node]:
        """{(layer, channel)} of all nodes."""
        return {(int(layer), int(channel)) for layer, channel in self.nodes}


def walk(roots: Sequence[Ints], outgoing: Callable[[int, Ints], Edges]) -> Edges:
    """All edges of one query.

    Parameters
    ----------
    roots : per layer (L of them) the root channels; those of the last layer are not started from.
    outgoing : (layer, source channels ascending) -> the edges that these sources keep.
    """
    parts = [Edges.empty()]
    reached = np.empty(0, np.int64)
    for layer in range(len(roots) - 1):
        sources = np.union1d(roots[layer], reached).astype(np.int64)
        found = outgoing(layer, sources) if len(sources) else Edges.empty()
        parts.append(found)
        reached = found.target
    return Edges.join(parts)


def circuits(query: str, roots: Sequence[Ints], edges: Edges) -> list[GccCircuit]:
    """The circuits of one query, one for each root that keeps at least one edge.

    roots : per layer the root channels, ascending; those of the last layer are left out.
    edges : all edges of the query, as `walk` returns them.
    """
    by_layer = [np.flatnonzero(edges.layer == layer) for layer in range(len(roots))]
    owner: dict[Node, Node] = {}
    found = []
    for layer, channels in enumerate(roots[:-1]):
        for channel in channels.tolist():
            circuit = _reach(query, (layer, channel), edges, by_layer, owner.get((layer, channel)))
            if not len(circuit.edges):
                continue
            found.append(circuit)
            if circuit.merged_into is None:
                for node in circuit.members():
                    owner.setdefault(node, circuit.root)
    return found


def _reach(
    query: str, root: Node, edges: Edges, by_layer: Sequence[Ints], merged_into: Node | None
) -> GccCircuit:
    frontier = np.array([root[1]])
    kept, nodes = [], [np.array([root])]
    for layer in range(root[0], len(by_layer)):
        index = by_layer[layer][np.isin(edges.source[by_layer[layer]], frontier)]
        if not len(index):
            break
        kept.append(index)
        frontier = np.unique(edges.target[index])
        nodes.append(np.stack([np.full(len(frontier), layer + 1), frontier], axis=1))
    chosen = np.concatenate(kept) if kept else np.empty(0, np.int64)
    return GccCircuit(query, root, edges.take(chosen), np.concatenate(nodes).astype(np.int64), merged_into)


def union(found: Sequence[GccCircuit]) -> set[Node]:
    """{(layer, channel)} of the nodes of several circuits."""
    return set().union(*(circuit.members() for circuit in found))


def diversity(found: Sequence[GccCircuit]) -> Array:
    """(n,) per circuit, 1 − mean Jaccard of its nodes with the other circuits'; NaN where it is alone."""
    sets = [circuit.members() for circuit in found]
    scores = np.full(len(sets), np.nan)
    for i, own in enumerate(sets):
        others = [len(own & s) / len(own | s) for j, s in enumerate(sets) if j != i]
        if others:
            scores[i] = 1.0 - float(np.mean(others))
    return scores
