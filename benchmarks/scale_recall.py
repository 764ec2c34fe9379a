"""How many of the true nearest concepts a filtered vector search finds, with two models of the same widths.

One vector index holds the concepts of both models and of all layers of a width. A search for the neighbours of a
concept within its layer and model takes a number of the nearest from the index and filters; the truth is the exact
cosine over all vectors of that layer.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas import catalogue, lookup
from atlas.store.connection import Connection

ASKED = 10
"""Concepts of each layer."""
WANTED = (5, 20)
FETCHES = (100, 250, 500, 1000, 2000)
PAGE = 2000
LAYERS = "MATCH (l:Layer) RETURN l.id, l.model, l.channels ORDER BY l.ordinal, l.id"
VECTORS = "UNWIND $ids AS id MATCH (c:Concept {id: id}) RETURN c.id, c.vector"
IDS = "MATCH (c:Concept {layer: $layer}) RETURN c.id ORDER BY c.id"


def run(connection: Connection) -> dict[str, Any]:
    """Recall and milliseconds per number taken from the index; the catalogue's default among them."""
    query = catalogue.get("nearest_concepts")
    default = {p.name: p.default for p in query.parameters}
    fetches = sorted({*FETCHES, int(str(default["fetch"]))})
    layers = connection.read(LAYERS).rows
    spent: dict[int, list[float]] = {fetch: [] for fetch in fetches}
    hits: dict[tuple[int, int], list[float]] = {(fetch, k): [] for fetch in fetches for k in WANTED}
    by_layer: dict[str, float] = {}
    for number, (layer, _, _) in enumerate(layers):
        ids, vectors = read_layer(connection, layer)
        chosen = np.random.default_rng(number).choice(len(ids), min(ASKED, len(ids)), replace=False)
        for row in chosen.tolist():
            truth = exact(ids, vectors, row, max(WANTED))
            for fetch in fetches:
                values = default | {"concept": ids[row], "layer": layer, "fetch": fetch, "limit": max(WANTED)}
                begun = time.perf_counter()
                found = [r["concept"] for r in lookup.ask(connection, query, values).rows]
                spent[fetch].append(1000 * (time.perf_counter() - begun))
                for k in WANTED:
                    hits[fetch, k].append(len(set(found[:k]) & set(truth[:k])) / len(truth[:k]))
                if fetch == default["fetch"]:
                    by_layer[layer] = by_layer.get(layer, 0.0) + hits[fetch, WANTED[-1]][-1] / len(chosen)
    return {
        "default": default["fetch"],
        "concepts": connection.read("MATCH (c:Concept) RETURN count(c)").rows[0][0],
        "models": len({model for _, model, _ in layers}),
        "asked": len(spent[fetches[0]]),
        "recall": {f: {k: statistics.fmean(hits[f, k]) for k in WANTED} for f in fetches},
        "milliseconds": {f: statistics.median(spent[f]) for f in fetches},
        "worst_layer": min(by_layer.items(), key=lambda item: item[1]),
        "by_layer": by_layer,
    }


def read_layer(connection: Connection, layer: str) -> tuple[list[str], NDArray[np.float32]]:
    """Ids and vectors (K, C) of all concepts of a layer."""
    ids = [row[0] for row in connection.read(IDS, {"layer": layer}, timeout=0).rows]
    parts = []
    for first in range(0, len(ids), PAGE):
        rows = connection.read(VECTORS, {"ids": ids[first : first + PAGE]}, timeout=0).rows
        parts.append(np.array([row[1] for row in rows], np.float32))
    return ids, np.concatenate(parts)


def exact(ids: list[str], vectors: NDArray[np.float32], row: int, count: int) -> list[str]:
    """The nearest others by cosine, as the query orders them: rounded to six digits, ties by id."""
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = np.round((vectors @ vectors[row]) / (lengths * lengths[row]), 6)
    order = sorted(np.argsort(-cosine)[: 4 * count].tolist(), key=lambda n: (-cosine[n], ids[n]))
    return [ids[n] for n in order if n != row][:count]
