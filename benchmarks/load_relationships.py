"""200,000 relationships into a managed server of its own: the loader over Bolt against one ``tx.run`` per row.

Ours is the whole command: lease, schema check, reading and verifying nothing twice, batches with their cursor,
statistics. The peer gets its rows ready made and runs a sample of them in one transaction.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from atlas.schema import TABLES, statements
from atlas.spool import Coded, RunRecord, Spool, SpoolWriter
from atlas.store import local
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.runs import remove
from atlas.store.settings import Settings
from benchmarks.harness import BenchmarkError, Result, timed

ROWS = 200_000
SAMPLE = 5_000
PAIRS = 3
LAYERS, CHANNELS = 10, 512
FLOWS = TABLES["Neuron-FLOWS_TO-Neuron"]


@contextmanager
def temporary_server() -> Iterator[Connection]:
    """An empty managed server with default settings, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("ATLAS_HOME")
        os.environ["ATLAS_HOME"] = folder
        settings = Settings()
        try:
            with Connection(local.start(settings)) as connection:
                yield connection
        finally:
            local.stop(settings)
            del os.environ["ATLAS_HOME"]
            if before is not None:
                os.environ["ATLAS_HOME"] = before


def record(method: str, requires: tuple[str, ...] = ()) -> RunRecord:
    """A run on the benchmark's network."""
    return RunRecord("net@00000000", "set", "d", "0" * 64, method, "1", {}, 0, requires=requires)


def write_nodes(folder: Path) -> Spool:
    """The neurons that the relationships join."""
    run = record("activations")
    ids = neuron_ids()
    layers = np.repeat([f"layer{i}" for i in range(LAYERS)], CHANNELS)
    with SpoolWriter(folder, run) as writer:
        writer.write("Model", {"id": [run.model], "name": ["net"], "digest": [run.weights_digest]})
        writer.write("Dataset", {"id": ["set"], "name": ["set"], "digest": ["d"]})
        writer.write(
            "Neuron",
            {
                "id": ids,
                "model": [run.model] * len(ids),
                "layer": layers,
                "channel": np.tile(np.arange(CHANNELS), LAYERS),
            },
        )
        writer.finish()
    return Spool.open(folder)


def neuron_ids() -> list[str]:
    """Ids of all neurons, layer by layer."""
    return [f"net@00000000/layer{layer}/{channel}" for layer in range(LAYERS) for channel in range(CHANNELS)]


def write_edges(folder: Path, base: Spool) -> Spool:
    """Random edges between adjacent layers with every property of GCC's data-set level set."""
    random = np.random.default_rng(0)
    source = random.integers(0, (LAYERS - 1) * CHANNELS, ROWS)
    target = (source // CHANNELS + 1) * CHANNELS + random.integers(0, CHANNELS, ROWS)
    with SpoolWriter(folder, record("gcc", (base.run.id,))) as writer:
        writer.write(
            FLOWS.name,
            {
                "start": Coded(source, neuron_ids()),
                "end": Coded(target, neuron_ids()),
                **{name: random.random(ROWS) for name in ("overlap", "sensitivity", "share", "std")},
                **{name: random.integers(1, 256, ROWS) for name in ("images", "rank_in", "rank_out", "n")},
                "hops": np.ones(ROWS, np.int64),
                "identity": np.zeros(ROWS, np.bool_),
            },
        )
        writer.finish()
    return Spool.open(folder)


def insert_one_by_one(connection: Connection, rows: list[list[Any]], run: str) -> None:
    """The peer: a statement per row, in one transaction."""
    statement = statements.load(FLOWS).replace("UNWIND $rows AS row ", "WITH $row AS row ")
    connection.transact(lambda do: [do(statement, {"row": row, "run": run}) for row in rows], timeout=0)


def stored(connection: Connection, run: str) -> list[tuple[Any, ...]]:
    """What is in the graph of one run, sorted."""
    columns = ", ".join(f"r.{p.name}" for p in FLOWS.columns[2:])
    found = connection.read(
        f"MATCH (a)-[r:FLOWS_TO {{run: $run}}]->(b) RETURN a.id, b.id, {columns}", {"run": run}, timeout=0
    )
    return sorted(found.rows)


def clear(connection: Connection, run: str) -> None:
    """Remove the peer's relationships."""
    connection.auto(
        "MATCH ()-[r:FLOWS_TO {run: $run}]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS",
        {"run": run},
    )


def run() -> Result:
    """One result: relationships per second; ratio of the two rates."""
    with tempfile.TemporaryDirectory() as folder, temporary_server() as connection:
        base = write_nodes(Path(folder) / "nodes")
        spool = write_edges(Path(folder) / "edges", base)
        load(base, connection)
        rows = [row for batch in spool.batches(FLOWS) for row in batch]
        sample = rows[:: ROWS // SAMPLE]
        load(spool, connection)
        insert_one_by_one(connection, sample, "peer")
        ours, peer = stored(connection, spool.run.id), stored(connection, "peer")
        if ours != sorted(map(tuple, rows)) or peer != sorted(map(tuple, sample)):
            raise BenchmarkError("load_relationships: the graph is not what was written; nothing was timed")
        rates: list[tuple[float, float]] = []
        for _ in range(PAIRS):
            remove(connection, spool.run.id)
            clear(connection, "peer")
            mine = ROWS / timed(lambda: load(spool, connection))
            theirs = len(sample) / timed(lambda: insert_one_by_one(connection, sample, "peer"))
            rates.append((mine, theirs))
    ratios = [mine / theirs for mine, theirs in rates]
    return Result(
        name="load_relationships",
        ours=statistics.median(mine for mine, _ in rates),
        peer=statistics.median(theirs for _, theirs in rates),
        unit="relationships/s",
        target="≥ 20,000 relationships/s",
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        difference=0.0,
        pairs=PAIRS,
        what=f"{ROWS:,} FLOWS_TO with 11 properties over Bolt; the peer: one tx.run a row, {SAMPLE:,} of them",
    )
