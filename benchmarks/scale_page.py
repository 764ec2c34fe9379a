"""``docs/scale.md`` from the figures of the steps, which are kept in ``benchmarks/figures/scale.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures" / "scale.json"
PAGE = ROOT / "docs" / "scale.md"
PARTS = ("generate", "import", "latency", "recall")
TARGETS = {"lookup": 100.0, "report": 5000.0}
HEAD = """# An atlas of ImageNet's size

Written by `python -m benchmarks scale page` from what the steps before it measured (`python -m benchmarks scale
--help`; figures in `benchmarks/figures/scale.json`). The atlas is synthetic and seeded
(`benchmarks/worlds/imagenet.py`): ResNet-50's 16 blocks, ImageNet's 50,000 validation images and 1,000 classes,
all four methods, and the concepts of a second model of the same widths in the same vector index. Rows per type
are those that `atlas ingest --plan` predicts (`docs/sizing.md`); degrees follow power laws. It was generated,
not ingested: it says what the database does at this size, nothing about a network.
"""
LATENCY = """
## Every query of the catalogue

Milliseconds from the client: query sent, all rows read, table made. Arguments are drawn from the atlas, half of
them its most connected things, half at random. *Cold*: the server just started and its files dropped from the
system's memory, each query asked once in a random order, median of {restarts}. *Warm*: arguments asked before;
median and 99th percentile of one client, and of {clients} at once. Targets: a lookup ≤ 100 ms and a report ≤ 5
s, warm median of one client.
"""


def write(folder: Path | None) -> None:
    """Collect the figures of a folder, if one is given, and write the page."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for part in PARTS if folder is not None else ():
        path = Path(str(folder)) / f"{part}.json"
        if path.exists():
            kept[part] = json.loads(path.read_text(encoding="utf-8"))
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


def page(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [HEAD, *_generated(figures["generate"]), *_imported(figures["import"])]
    parts += [*_recall(figures["recall"]), *_latency(figures["latency"])]
    versions = figures["latency"]["surroundings"]["versions"]
    parts.append(f"\nVersions: {', '.join(f'{name} {version}' for name, version in versions.items())}.\n")
    return "".join(parts)


def _around(own: Mapping[str, Any]) -> str:
    found = own["surroundings"]
    return (
        f"{found['date']}; {found['device']}, {found['memory_gb']} GB of memory, shared with other work: load average "
        f"{found['load'][0]} before, {found['load_after'][0]} after.\n"
    )


def _generated(own: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## The spools\n\nSettings beside the defaults: `{own['settings']}`;\nexact queries for 500 images.\n\n"
    yield "| relationship | planned | written |\n|---|---|---|\n"
    for name, count in own["planned"].items():
        yield f"| {name} | {count:,} | {own['rows'].get(name, 0):,} |\n"
    rest = {name: count for name, count in own["rows"].items() if name not in own["planned"]}
    yield f"| structure, {len(rest)} types | – | {sum(rest.values()):,} |\n"
    yield f"| all | {sum(own['planned'].values()):,} | {sum(own['rows'].values()):,} |\n"
    yield (
        f"\nBoth models: {own['seconds']:.0f} s, {own['bytes'] / 1e9:.2f} GB of Parquet, "
        f"{own['peak_bytes'] / 1e9:.1f} GB of memory. {_around(own)}"
    )


def _imported(own: Mapping[str, Any]) -> Iterator[str]:
    sizes, peak = own["bytes"], own["peak"]
    nodes, relationships = sum(own["nodes"].values()), sum(own["relationships"].values())
    yield f"\n## `atlas load --via import`\n\n{nodes:,} nodes, {relationships:,} relationships of both models.\n\n"
    yield "| what | figure |\n|---|---|\n"
    yield f"| the whole command | {own['seconds']:.0f} s |\n"
    yield f"| in its own words | {own['said']} |\n"
    yield f"| stores | {sizes['stores'] / 1e9:.2f} GB |\n| indexes | {sizes['indexes'] / 1e9:.2f} GB |\n"
    yield f"| most disk meanwhile, spools and CSV included | {peak['disk'] / 1e9:.1f} GB |\n"
    yield f"| most memory: command, importer | {peak['command'] / 1e9:.2f} GB, {peak['importer'] / 1e9:.2f} GB |\n"
    yield f"| most memory: server building indexes | {peak['server'] / 1e9:.2f} GB |\n"
    yield f"| the server's settings | heap {own['heap_mib']} MiB, page cache {own['page_cache_mib']} MiB |\n"
    yield f"\n{_around(own)}"


def _recall(own: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"\n## Vector search in a layer of one of {own['models']} models\n\n`nearest_concepts` with `layer` set, "
        f"{own['asked']} concepts of all layers asked about,\n{own['concepts']:,} in the index; truth is "
        "the exact cosine over the layer. The models' vectors are alike, so that the\nother model's stand between. "
        "`fetch` is how many the index gives before the filter.\n\n"
        "| fetch | recall of the best 5 | of the best 20 | ms |\n|---|---|---|---|\n"
    )
    for fetch, found in own["recall"].items():
        mark = " (default)" if int(fetch) == own["default"] else ""
        yield f"| {fetch}{mark} | {found['5']:.3f} | {found['20']:.3f} | {own['milliseconds'][fetch]:.0f} |\n"
    layer, least = own["worst_layer"]
    yield f"\nThe layer with the least recall of the best 20 at the default: `{layer}`, {least:.3f}. {_around(own)}"


def _latency(own: Mapping[str, Any]) -> Iterator[str]:
    yield LATENCY.format(restarts=own["restarts"], clients=own["clients"])
    yield f"\n{_measured(own['queries'])}"
    for cost, target in TARGETS.items():
        found = {name: one for name, one in own["queries"].items() if one["cost"] == cost}
        within = sum(_number(one) <= target for one in found.values())
        yield (
            f"\n{len(found)} {cost}s, {within} within the target of {target:g} ms.\n\n"
            "| query | rows | cold | warm | 99 % | warm, 8 clients | 99 % |\n|---|---|---|---|---|---|---|\n"
        )
        for name, one in sorted(found.items(), key=lambda item: -_number(item[1])):
            warm, crowd = one["warm"], one["crowd"]
            cells = (one["cold"], warm["median"], warm["p99"], crowd["median"], crowd["p99"])
            yield f"| `{name}` | {one['rows']:g} | {' | '.join(map(_ms, cells))} |\n"


def _measured(queries: Mapping[str, Any]) -> str:
    """When the queries were measured, those of one run together, and how busy the machine was."""
    runs: dict[str, list[str]] = {}
    for name, one in queries.items():
        found = one["measured"]
        runs.setdefault(
            f"{found['date']}, load {found['load'][0]} before and {found['load'][1]} after", []
        ).append(name)
    usual = max(runs, key=lambda run: len(runs[run]))
    lines = [f"Two cores, shared with other work. Measured {usual}"]
    lines += [f"{', '.join(f'`{n}`' for n in names)}: {run}" for run, names in runs.items() if run != usual]
    return ";\n".join(lines) + ".\n"


def _number(one: Mapping[str, Any]) -> float:
    """Warm median of one client; infinite where the server gave up."""
    value = one["warm"]["median"]
    return float("inf") if value is None else float(value)


def _ms(value: float | None) -> str:
    if value is None:
        return "> 30 s"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
