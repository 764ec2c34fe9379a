"""``python -m benchmarks NAME`` prints one JSON line per result; ``all --write`` rewrites ``RESULTS.md``.

A benchmark is a module of this folder with a function ``run()`` that gives one result or several. ``scale``,
``sizing`` and ``cost`` are commands of their own, of hours and gigabytes: ``python -m benchmarks scale --help``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchmarkError, Result

FOLDER = Path(__file__).parent
NOT_BENCHMARKS = {"__init__", "__main__", "harness"}
COMMANDS = ("scale", "sizing", "cost")
HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks all --write`). Each row is one run: ours and the peer in turn,
in one process, after a check that both give the same result. `ratio` is the peer's time over ours: above 1,
ours is ahead. Median of the pairs, with minimum and maximum. `difference`: how far apart the results were.

"""


def names() -> list[str]:
    """The benchmarks there are: the modules of this folder."""
    stems = {path.stem for path in FOLDER.glob("*.py")} - NOT_BENCHMARKS
    return sorted(stem for stem in stems if not stem.startswith(COMMANDS))


def run_here(name: str) -> list[Result]:
    """Run one benchmark in this process."""
    found = importlib.import_module(f"benchmarks.{name}").run()
    return list(found) if isinstance(found, Sequence) else [found]


def run_apart(name: str) -> list[dict[str, Any]]:
    """Run one benchmark in a process of its own, so that none warms or burdens the next."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"{name} ended with exit code {done.returncode}")
    print(done.stdout, end="", flush=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def page(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown page."""
    columns = ["name", "ours", "peer", "unit", "ratio (min–max)", "target", "difference", "pairs", "what"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for result in results:
        ratio = "–"
        if result["ratio"] is not None:
            ratio = f"{result['ratio']} ({result['ratio_min']}–{result['ratio_max']})"
        cells = {**result, "ratio (min–max)": ratio}
        lines.append("| " + " | ".join("–" if cells[c] is None else str(cells[c]) for c in columns) + " |")
    devices = sorted({result["device"] for result in results})
    versions = sorted({f"{key} {value}" for result in results for key, value in result["versions"].items()})
    return HEAD + "\n".join(lines) + f"\n\nDevice: {'; '.join(devices)}. Versions: {', '.join(versions)}.\n"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 if a benchmark failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        return int(importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*names(), "all"])
    parser.add_argument("--write", action="store_true", help="with all: rewrite benchmarks/RESULTS.md")
    chosen = parser.parse_args(arguments)
    if chosen.write and chosen.name != "all":
        parser.error("--write goes with all")
    try:
        if chosen.name != "all":
            for result in run_here(chosen.name):
                print(result.line(), flush=True)
            return 0
        results = [result for name in names() for result in run_apart(name)]
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.write:
        beside = FOLDER / "RESULTS.md.part"
        beside.write_text(page(results), encoding="utf-8")
        beside.replace(FOLDER / "RESULTS.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
