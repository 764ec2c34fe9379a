"""GCC as tables: circuits with members, edges and exemplars, and the data-set flow.

A circuit that is merged into an earlier one has all of its edges there too; it is written with its root, its sizes
and `MERGED_INTO`, and its members and edges are read from the circuit that holds them.

DRIVES has no `share` and no `rank_in`: they compare all sources of a target, and only the sources that the query's
walk reaches are ever run. FLOWS_TO has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.address import canonical, short_id
from atlas.spool import Coded, Values
from ingest.layers import LayerSpec
from ingest.methods.gcc import METHOD, QueryCircuits
from ingest.methods.gcc_flow import Flow
from ingest.methods.gcc_job import GccParameters, Lists
from ingest.methods.survey import Subject
from ingest.numerics.traversal import Edges, GccCircuit, Node, diversity

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = Mapping[str, Values]
Tables = Iterator[tuple[str, Columns]]


@dataclass(frozen=True)
class Naming:
    """What turns ordinals into ids: the subject, its layers, the run's id and the ids of the store's images."""

    subject: Subject
    layers: Sequence[LayerSpec]
    run: str
    images: Sequence[str]

    def neurons(self, layer: int) -> list[str]:
        """Ids of a layer's neurons."""
        return self.subject.neuron_ids(self.layers[layer])

    def neuron(self, node: Node) -> str:
        """Id of one neuron."""
        return f"{self.subject.layer_id(self.layers[node[0]])}/{node[1]}"

    def circuit(self, query: str, root: Node) -> str:
        """Id of a circuit: what it is of, and where it starts, under this run."""
        return short_id("c", self.run, query, self.neuron(root))


def flow_table(naming: Naming, flow: Flow) -> tuple[str, Columns]:
    """The stored data-set edges of one pair of layers."""
    return (
        "Neuron-FLOWS_TO-Neuron",
        {
            "start": Coded(flow.source, naming.neurons(flow.layer)),
            "end": Coded(flow.target, naming.neurons(flow.layer + 1)),
            "overlap": flow.overlap,
            "sensitivity": flow.sensitivity,
            "images": flow.images,
            "identity": flow.identity,
            "share": flow.share,
            "rank_in": flow.rank_in,
            "rank_out": flow.rank_out,
            "hops": np.ones(len(flow), np.int64),
            "n": flow.n,
            "std": flow.std,
        },
    )


def circuit_tables(
    naming: Naming,
    result: QueryCircuits,
    lists: Lists,
    parameters: GccParameters,
    drops: Mapping[Node, float] | None = None,
) -> Tables:
    """All tables of one query's circuits.

    drops : root -> target logit lost when the circuit's neurons are set to zero, where it was measured.
    """
    query, found = result.query.id, result.circuits
    if not found:
        return
    ids = [naming.circuit(query, c.root) for c in found]
    own = [i for i, c in enumerate(found) if c.merged_into is None]
    spread = np.full(len(found), np.nan)
    spread[own] = diversity([found[i] for i in own])
    yield "Circuit", _circuits(naming, result, ids, spread, drops or {}, parameters)
    yield "Run-WROTE-Circuit", {"start": [naming.run] * len(ids), "end": ids}
    yield "Circuit-EXPLAINS-Image", {"start": ids, "end": [query] * len(ids)}
    merged = [(ids[i], naming.circuit(query, c.merged_into)) for i, c in enumerate(found) if c.merged_into]
    if merged:
        starts, ends = zip(*merged, strict=True)
        yield "Circuit-MERGED_INTO-Circuit", {"start": list(starts), "end": list(ends)}
    # One table for all circuits of the query: thousands of small ones would cost more than their numbers.
    yield _joined(
        "Circuit-INCLUDES-Neuron", [_members(naming, i, c) for i, c in zip(ids, found, strict=True)]
    )
    whole = [(ids[n], found[n]) for n in own]
    yield from _edges(naming, whole)
    shown = [_exemplars(naming, i, c, lists, parameters.exemplars) for i, c in whole]
    yield _joined("Circuit-EXEMPLIFIED_BY-Image", shown)


def _circuits(
    naming: Naming,
    result: QueryCircuits,
    ids: list[str],
    spread: Array,
    drops: Mapping[Node, float],
    parameters: GccParameters,
) -> Columns:
    found = result.circuits
    lost = [drops.get(c.root) for c in found]
    return {
        "id": ids,
        "method": [METHOD] * len(ids),
        "target": [result.query.id] * len(ids),
        "size": [len(c.nodes) for c in found],
        "edges": [len(c.edges) for c in found],
        "layers": [len(np.unique(c.nodes[:, 0])) for c in found],
        "root": [naming.neuron(c.root) for c in found],
        "diversity": np.ma.masked_invalid(spread),
        "drop": lost,
        "parameters": [canonical(parameters.to_dict())] * len(ids),
    }


def member_scores(circuit: GccCircuit) -> Array:
    """(M,) how much of the root's effect each node carries: 1 for the root, for others Σ score(source) · S_NS."""
    place = {(int(layer), int(channel)): i for i, (layer, channel) in enumerate(circuit.nodes)}
    scores = np.zeros(len(circuit.nodes))
    scores[0] = 1.0
    e = circuit.edges
    for i in np.argsort(e.layer, kind="stable").tolist():
        layer = int(e.layer[i])
        scores[place[layer + 1, int(e.target[i])]] += (
            scores[place[layer, int(e.source[i])]] * e.sensitivity[i]
        )
    return scores


def _joined(table: str, parts: Sequence[Mapping[str, list[Any] | NDArray[Any]]]) -> tuple[str, Columns]:
    """Several tables of the same columns as one."""
    joined: dict[str, Values] = {}
    for name, first in parts[0].items():
        columns = [part[name] for part in parts]
        joined[name] = (
            np.concatenate(columns) if isinstance(first, np.ndarray) else [v for c in columns for v in c]
        )
    return table, joined


def _members(naming: Naming, identity: str, circuit: GccCircuit) -> dict[str, list[Any] | NDArray[Any]]:
    scores = member_scores(circuit)
    count = len(scores) if circuit.merged_into is None else 1
    order = np.argsort(-scores[1:count], kind="stable")
    ranks = np.ones(count, np.int64)
    ranks[1 + order] = np.arange(2, count + 1)
    return {
        "start": [identity] * count,
        "end": [naming.neuron((int(a), int(c))) for a, c in circuit.nodes[:count]],
        "role": ["root"] + ["member"] * (count - 1),
        "score": scores[:count],
        "rank": ranks,
    }


def _edges(naming: Naming, circuits: Sequence[tuple[str, GccCircuit]]) -> Tables:
    """One table per layer, for its neurons' names."""
    for layer in sorted({int(n) for _, circuit in circuits for n in circuit.edges.layer}):
        parts = [(identity, c.edges.take(c.edges.layer == layer)) for identity, c in circuits]
        e = Edges.join([part for _, part in parts])
        yield (
            "Neuron-DRIVES-Neuron",
            {
                "start": Coded(e.source, naming.neurons(layer)),
                "end": Coded(e.target, naming.neurons(layer + 1)),
                "circuit": Coded(
                    np.repeat(np.arange(len(parts)), [len(part) for _, part in parts]), [i for i, _ in parts]
                ),
                "sensitivity": e.sensitivity,
                "raw": e.raw,
                "overlap": e.overlap,
                "identity": e.identity,
                "rank_out": e.rank,
                "hops": np.ones(len(e), np.int64),
                "n": np.ones(len(e), np.int64),
            },
        )


def exemplars(circuit: GccCircuit, lists: Lists, images: Sequence[str], count: int) -> tuple[Ints, Array]:
    """The images that most of a circuit's neurons hold in their root lists, without the query.

    Returns rows of the store, best first, ties by image id, and the share of neurons that hold each; an image
    held by one neuron alone is none.
    """
    held = np.zeros(len(images), np.int64)
    for layer, channel in circuit.nodes.tolist():
        held[lists.roots[layer].indices[channel]] += 1
    held[[row for row in np.flatnonzero(held).tolist() if images[row] == circuit.query]] = 0
    rows = np.flatnonzero(held > 1)
    order = sorted(rows.tolist(), key=lambda row: (-held[row], images[row]))[:count]
    best = np.array(order, dtype=np.int64)
    return best, held[best] / len(circuit.nodes)


def _exemplars(
    naming: Naming, identity: str, circuit: GccCircuit, lists: Lists, count: int
) -> dict[str, list[Any] | NDArray[Any]]:
    rows, shares = exemplars(circuit, lists, naming.images, count)
    return {
        "start": [identity] * len(rows),
        "end": [naming.images[row] for row in rows.tolist()],
        "similarity": shares,
        "rank": np.arange(1, len(rows) + 1),
    }
