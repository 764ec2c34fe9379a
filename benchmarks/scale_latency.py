"""How long every query of the catalogue takes from the client: after a restart, warm, and with seven others asking.

Cold: the server was restarted and its files were dropped from the operating system's memory; each query is asked once,
in a random order, so that some of what it needs was read for others. Warm: with arguments that were asked before. A
time is that of sending the query, reading all rows and making the table.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from atlas import catalogue, lookup
from atlas.errors import AtlasError
from atlas.query_file import Query
from atlas.store import local
from atlas.store.connection import Connection
from atlas.store.settings import Settings
from benchmarks.scale_arguments import Asker

CLIENTS = 8
RESTARTS = 3
SECONDS = 6.0
"""Spent on one query and number of clients, at most; a started round is finished."""
MODEL = "MATCH (n:Model)-[:HAS_LAYER]->(:Layer)-[:HAS_NEURON]->(:Neuron)-[:HAS_SENSE]->() RETURN n.id LIMIT 1"
FAILED = float("inf")


def run(connection: Connection, settings: Settings, only: Sequence[str], repeats: int) -> dict[str, Any]:
    """Figures of all queries, or of those named, in milliseconds."""
    asker = Asker(connection, connection.read(MODEL).rows[0][0])
    queries = [query for name, query in catalogue.load().items() if not only or name in only]
    found: dict[str, dict[str, Any]] = {query.name: {"cost": query.cost} for query in queries}
    asked = {query.name: [asker.arguments(query, turn) for turn in range(repeats)] for query in queries}
    cold: dict[str, list[float]] = {query.name: [] for query in queries}
    for restart in range(RESTARTS):
        order = random.Random(restart).sample(queries, len(queries))
        with cold_server(settings) as fresh:
            for query in order:
                cold[query.name].append(one(fresh, query, asked[query.name][restart % repeats])[0])
    with Connection(local.start(settings)) as warm:
        for query in queries:
            own = asked[query.name]
            rows, deadline = [], time.monotonic() + SECONDS
            for values in own:
                rows.append(one(warm, query, values)[1])
                if time.monotonic() > deadline:
                    break
            own = own[: len(rows)]
            alone = timed(warm, query, own, 1)
            crowd = timed(warm, query, own, CLIENTS)
            found[query.name] |= {
                "rows": statistics.median(rows),
                "cold": statistics.median(cold[query.name]),
                "warm": figures(alone),
                "crowd": figures(crowd),
            }
            print(query.name, query.cost, found[query.name], flush=True)
    return {"queries": found, "repeats": repeats, "clients": CLIENTS, "restarts": RESTARTS}


def cold_server(settings: Settings) -> Connection:
    """The server just started, its files in nobody's memory."""
    local.stop(settings)
    for path in (settings.atlas_home / "server" / "data").rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    return Connection(local.start(settings))


def one(connection: Connection, query: Query, values: dict[str, Any]) -> tuple[float, int]:
    """Milliseconds of one question, and its rows; infinite where the server gave up."""
    begun = time.perf_counter()
    try:
        rows = len(lookup.ask(connection, query, values).rows)
    except AtlasError:
        return FAILED, 0
    return 1000 * (time.perf_counter() - begun), rows


def timed(connection: Connection, query: Query, asked: list[dict[str, Any]], clients: int) -> list[float]:
    """Milliseconds of every question of some clients that ask at once, each its own part of the arguments in turn."""
    deadline = time.monotonic() + SECONDS

    def client(number: int) -> list[float]:
        spent: list[float] = []
        turn = number
        while len(spent) < len(asked) and (not spent or time.monotonic() < deadline):
            spent.append(one(connection, query, asked[turn % len(asked)])[0])
            turn += clients
        return spent

    work: Callable[[int], list[float]] = client
    with ThreadPoolExecutor(clients) as pool:
        return [spent for part in pool.map(work, range(clients)) for spent in part]


def figures(spent: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, nearest rank, and of how many."""
    ordered = sorted(spent)
    place = min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)
    return {"median": statistics.median(ordered), "p99": ordered[place], "n": len(ordered)}
