"""Small spools made from the schema, and a whole graph as one comparable value."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.schema import NODE_TYPES, TABLES, Kind, Table
from atlas.spool import RunRecord, Spool, SpoolWriter
from atlas.spool.manifest import LOADER_TABLES
from atlas.store.connection import Connection

# Times and code tell when and by what; the lease tells who writes.
NOT_IDENTITY = {"started", "finished", "code", "lease", "lease_until"}
SAMPLES: dict[Kind, Any] = {
    "string": "ä/b",
    "json": '{"a": 1}',
    "integer": 7,
    "float": 0.5,
    "boolean": True,
    "integers": [1, 2],
    "floats": [0.25, -1.0],
    "strings": ["a", "b"],
}
Columns = dict[str, Any]


def run_record(method: str = "activations", tag: str = "", **changes: Any) -> RunRecord:
    """A run on the model ``net@0123abcd`` seen through the data set ``set``."""
    base = RunRecord(
        model="net@0123abcd" + (f"~{tag}" if tag else ""),
        dataset="set",
        data_digest="d" * 64,
        weights_digest="0123abcd" + "0" * 56,
        method=method,
        version="1",
        parameters={"share": 0.5},
        seed=0,
        code="0.1.0",
        device="cpu",
        started="2026-01-01T00:00:00+00:00",
    )
    return replace(base, **changes)


def write_spool(folder: Path, run: RunRecord, tables: dict[str, Columns]) -> Spool:
    """A spool with these tables."""
    with SpoolWriter(folder, run) as writer:
        for name, columns in tables.items():
            writer.write(name, columns)
        writer.finish()
    return Spool.open(folder)


def structure(run: RunRecord, layers: int = 2, channels: int = 3, images: int = 4) -> dict[str, Columns]:
    """Tables of an activation pass: layers, neurons, images, one class, root lists and mask lists."""
    names = [f"layer{i}" for i in range(layers)]
    layer_ids = [f"{run.model}/{name}" for name in names]
    neurons = [(f"{layer}/{c}", layer, c) for layer in layer_ids for c in range(channels)]
    pictures = [f"img:{i:016x}" for i in range(images)]
    lists = [(neuron, picture) for neuron, _, _ in neurons for picture in pictures]
    name = f"{run.dataset}/one"
    return {
        "Model": {"id": [run.model], "name": ["net"], "digest": [run.weights_digest]},
        "Dataset": {"id": [run.dataset], "name": [run.dataset], "digest": [run.data_digest]},
        "Class": {"id": [name], "name": ["one"], "ordinal": [0]},
        "Layer": {
            "id": layer_ids,
            "name": names,
            "model": [run.model] * layers,
            "ordinal": list(range(layers)),
            "kind": ["conv"] * layers,
            "channels": [channels] * layers,
        },
        "Neuron": {
            "id": [i for i, _, _ in neurons],
            "model": [run.model] * len(neurons),
            "layer": [layer.split("/")[1] for _, layer, _ in neurons],
            "channel": [c for _, _, c in neurons],
            "mean": [0.25 * c for _, _, c in neurons],
        },
        "Image": {"id": pictures, "name": [f"one/{i}.png" for i in range(images)]},
        "Model-HAS_LAYER-Layer": {"start": [run.model] * layers, "end": layer_ids},
        "Layer-HAS_NEURON-Neuron": {
            "start": [layer for _, layer, _ in neurons],
            "end": [i for i, _, _ in neurons],
        },
        "Layer-FEEDS-Layer": {"start": layer_ids[:-1], "end": layer_ids[1:]},
        "Dataset-HAS_CLASS-Class": {"start": [run.dataset], "end": [name]},
        "Dataset-HAS_IMAGE-Image": {"start": [run.dataset] * images, "end": pictures},
        "Image-LABELLED-Class": {"start": pictures, "end": [name] * images},
        "Neuron-ACTIVATED_BY-Image": {
            "start": [n for n, _ in lists],
            "end": [p for _, p in lists],
            "value": [float(i) for i in range(len(lists))],
        },
        "Image-ACTIVATES-Layer": {
            "start": pictures,
            "end": [layer_ids[0]] * images,
            "channels": [[0, 1]] * images,
            "values": [[0.5, 0.25]] * images,
        },
    }


def circuits(run: RunRecord, images: int = 4) -> dict[str, Columns]:
    """Tables of a GCC run on :func:`structure`: a circuit per image, its edges, and data-set edges."""
    a, b = (f"{run.model}/layer{i}/0" for i in range(2))
    ids = [f"{run.id[:7]}{i:05d}" for i in range(images)]
    pictures = [f"img:{i:016x}" for i in range(images)]
    return {
        "Neuron": {
            "id": [a],
            "model": [run.model],
            "layer": ["layer0"],
            "channel": [0],
            "polysemantic": [True],
        },
        "Circuit": {"id": ids, "method": ["gcc"] * images, "target": pictures, "parameters": ["{}"] * images},
        "Run-WROTE-Circuit": {"start": [run.id] * images, "end": ids},
        "Circuit-EXPLAINS-Image": {"start": ids, "end": pictures},
        "Circuit-INCLUDES-Neuron": {"start": ids, "end": [a] * images, "role": ["root"] * images},
        "Neuron-DRIVES-Neuron": {
            "start": [a] * images,
            "end": [b] * images,
            "circuit": ids,
            "sensitivity": [0.5] * images,
        },
        "Neuron-FLOWS_TO-Neuron": {"start": [a] * 3, "end": [b] * 3, "overlap": [0.1, 0.2, 0.2]},
    }


def one_of_each(run: RunRecord) -> dict[str, Columns]:
    """Two nodes of every label and one relationship of every kind, all properties set."""
    ids = {label: [f"{label}/{i}" for i in range(2)] for label in NODE_TYPES}
    ids |= {"Model": [run.model, "Model/1"], "Dataset": [run.dataset, "Dataset/1"], "Run": [run.id, run.id]}
    tables: dict[str, Columns] = {}
    for item in TABLES.values():
        if item.name in LOADER_TABLES:
            continue
        columns: Columns = {p.name: [SAMPLES[p.kind]] for p in item.columns}
        if item.start is None or item.end is None:
            columns = {name: values * 2 for name, values in columns.items()} | {"id": ids[item.name]}
        else:
            columns |= {"start": [ids[item.start][0]], "end": [ids[item.end][-1]]}
        tables[item.name] = columns
    return tables


def fingerprint(connection: Connection) -> list[str]:
    """The whole graph as sorted lines, one per node and relationship, with all properties but times and code."""
    nodes = connection.read("MATCH (n) RETURN labels(n), properties(n)", timeout=0).rows
    edges = connection.read("MATCH (a)-[r]->(b) RETURN type(r), a.id, b.id, properties(r)", timeout=0).rows
    lines = [json.dumps([labels, _identity(p)], sort_keys=True) for labels, p in nodes]
    lines += [json.dumps([name, a, b, _identity(p)], sort_keys=True) for name, a, b, p in edges]
    return sorted(lines)


def _identity(properties: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in properties.items() if name not in NOT_IDENTITY}
    # The order of loading is no part of what was loaded.
    return kept | {name: sorted(kept[name]) for name in ("runs",) if name in kept}


class Spools:
    """The makers above, as tests ask for them."""

    run_record = staticmethod(run_record)
    structure = staticmethod(structure)
    circuits = staticmethod(circuits)
    one_of_each = staticmethod(one_of_each)
    write = staticmethod(write_spool)

    @staticmethod
    def expected(item: Table, columns: Columns) -> list[list[Any]]:
        """Rows that a spool gives back for these columns."""
        length = len(columns[item.columns[0].name])
        return [
            [columns[p.name][i] if p.name in columns else None for p in item.columns] for i in range(length)
        ]


@pytest.fixture(scope="session")
def spools() -> type[Spools]:
    """Makers of small spools."""
    return Spools


@pytest.fixture(scope="session")
def whole_graph() -> Callable[[Connection], list[str]]:
    """The whole graph as one value."""
    return fingerprint
