"""``python -m benchmarks scale STEP``: an atlas of ImageNet and ResNet-50 size, imported and asked everything.

The steps, in order; each writes its figures to ``FOLDER/<step>.json``:

generate   spools of two models: one with all four methods, and a twin with concepts of the same widths
import     both into an empty managed server under ``FOLDER/home`` by ``atlas load --via import``
latency    every query of the catalogue, cold and warm, one client and eight
recall     filtered vector search against exact cosine
page       ``docs/scale.md`` from these figures

The server runs with the memory that any user's would have.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from atlas.spool import Spool
from atlas.spool.reader import open_spools
from atlas.store import local
from atlas.store.connection import Connection
from atlas.store.settings import Settings
from benchmarks import scale_import, scale_latency, scale_page, scale_recall
from benchmarks.harness import device_name, installed_versions
from benchmarks.worlds.imagenet import SETTINGS, World
from benchmarks.worlds.imagenet_spools import write
from ingest import sizing

STEPS = ("generate", "import", "latency", "recall", "page")


def surroundings() -> dict[str, Any]:
    """When, on what, and how busy it was."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "device": device_name(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load": [round(part, 1) for part in os.getloadavg()],
        "versions": installed_versions(),
    }


def generate(folder: Path, factor: float) -> dict[str, Any]:
    """Write the spools of both models; the figures are seconds, bytes, and rows against what was planned."""
    world, begun = World(factor), time.monotonic()
    for one in (world, World(factor, twin=True)):
        write(folder / "spools", one, lambda text: print(text, file=sys.stderr, flush=True))
    spent = time.monotonic() - begun
    rows: dict[str, int] = {}
    for spool in open_spools(folder / "spools"):
        if spool.run.model == world.root:
            _count(spool, rows)
    size = sum(path.stat().st_size for path in (folder / "spools").rglob("*.parquet"))
    return {
        "factor": factor,
        "settings": SETTINGS,
        "seconds": round(spent, 1),
        "bytes": size,
        "peak_bytes": psutil.Process().memory_info().rss,
        "planned": planned(world),
        "rows": rows,
    }


def planned(world: World) -> dict[str, int]:
    """What ``--plan`` says of a world, relationships per type with those of exact circuits."""
    counts = sizing.relationships(world.size)
    for name, rows in sizing.circuits(world.size).items():
        counts[name] = counts.get(name, 0) + rows
    return counts


def _count(spool: Spool, rows: dict[str, int]) -> None:
    for item in spool.tables():
        if item.relationship is not None:
            rows[item.relationship.type] = rows.get(item.relationship.type, 0) + spool.rows(item.name)


def finite(value: Any) -> Any:
    """The same with null for what is infinite, of which JSON knows nothing."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if value == float("inf") else value


def asked(folder: Path, step: Callable[[Connection, Settings], dict[str, Any]]) -> dict[str, Any]:
    """Run a step on the server of the folder, which is started if it does not run."""
    settings = Settings(atlas_home=folder / "home")
    with Connection(local.start(settings)) as connection:
        return step(connection, settings)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--folder", type=Path, help="where spools, server and figures live")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size (generate)")
    parser.add_argument("--only", default="", help="comma-separated names of queries (latency)")
    parser.add_argument("--repeats", type=int, default=30, help="questions per query and client (latency)")
    chosen = parser.parse_args(arguments)
    if chosen.step == "page":
        scale_page.write(chosen.folder)
        return 0
    if chosen.folder is None:
        parser.error("--folder is needed")
    folder: Path = chosen.folder.absolute()
    before = surroundings()
    if chosen.step == "generate":
        found = generate(folder, chosen.scale)
    elif chosen.step == "import":
        found = scale_import.run(folder)
    elif chosen.step == "recall":
        found = asked(folder, lambda connection, _: scale_recall.run(connection))
    else:
        only = [name for name in chosen.only.split(",") if name]
        found = asked(folder, lambda c, s: scale_latency.run(c, s, only, chosen.repeats))
    kept = folder / f"{chosen.step}.json"
    after = surroundings()["load"]
    for one in found.get("queries", {}).values():
        one["measured"] = {"date": before["date"], "load": [before["load"][0], after[0]]}
    if chosen.step == "latency" and chosen.only and kept.exists():
        found["queries"] = json.loads(kept.read_text(encoding="utf-8"))["queries"] | found["queries"]
    found["surroundings"] = before | {"load_after": after}
    kept.write_text(json.dumps(finite(found), indent=1), encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "queries"}))
    return 0
