"""``python -m benchmarks sizing``: how large an atlas becomes, what each setting costs, and how true that was.

``--check HOME`` measures an atlas against its own plan: spools under HOME (or beside it) and the managed server's
files. ``--write`` keeps the figures in ``benchmarks/figures/sizing.json`` and writes ``docs/sizing.md`` from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from atlas.schema import TABLES
from atlas.spool import Spool
from atlas.spool.reader import open_spools
from benchmarks.scale_import import bytes_of
from benchmarks.worlds.imagenet import World
from ingest import sizing
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.sizing import Size

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures" / "sizing.json"
PAGE = ROOT / "docs" / "sizing.md"
P = TypeVar("P")
KINDS = {"gcc": GccParameters, "cla": ClaParameters, "gig": GigParameters, "pure": PureParameters}
HEAD = """# Sizes

Written by `python -m benchmarks sizing --write`; `atlas ingest --plan` says the same of your own job before it
runs. `ingest/sizing.py` holds the arithmetic: rows follow from shapes and parameters, bytes from Neo4j's records (a
node 15, a relationship 34, a property record 41 for four blocks; a float takes two blocks, a whole number one, a
run's id two). Rows are upper bounds, but for exact circuits, which follow from the network: of them the plan gives
what the demo's queries had, in proportion to the root lists that hold a query.
"""
IMAGENET = """
## ResNet-50 on ImageNet's validation images

16 blocks (15,104 neurons), 50,000 images of which half make lists, 1,000 classes, all four methods with their
default parameters, {queries:,} exact queries, dictionaries found by k-means (8 C concepts, at most a quarter of the
list images).
"""
PRUNING = """
## What a setting is worth

Each line changes one thing in the job above. Pruning happens at ingestion: what is not stored cannot be asked. `share`,
`rank_in` and `rank_out` are taken before it, so a query still knows how much of a target it sees.

| setting | relationships | database | load over Bolt | by import | what is lost |
|---|---|---|---|---|---|
"""
PARTS = """
Load times are rates measured on two cores shared with other work: {bolt:,} rows a second over Bolt; by import {rows:,}
rows and {components:,} vector components a second, and {indexed:,} components a second into the vector index. The
import needs the spools, a CSV of them and the new stores at once: twice the database.

A question about one thing reads what that thing has, and time follows its degree: pruning shortens reports over a whole
relation in proportion, and lookups hardly. What made lookups slow at this size were popular neurons and concepts with
edges in a thousand scopes; they are found by an index on `scope`, which pruning makes smaller, not faster.

Neo4j Community holds one database a server. What is asked apart can be kept apart: a home for each model
(`ATLAS_HOME=… atlas ingest`) divides every line by the number of homes, and gives up `atlas diff` between them. The
vector index is the one structure whose questions slow down with what they are not about: see `docs/scale.md` for its
recall with two models.
"""


def imagenet(**changes: Any) -> Size:
    """ResNet-50 on ImageNet's validation images with default parameters."""
    base = World().size
    whole = Size(base.channels, base.images, base.lists, base.classes, queries=base.classes)
    return replace(whole, **changes)


def settings() -> Iterator[tuple[str, Size, str]]:
    """Jobs that differ in one setting, and what that setting gives up."""
    yield "default", imagenet(), "–"
    yield "`cla.sources=8`", imagenet(cla=ClaParameters(sources=8)), "weaker half of a target's sources"
    yield "`cla.keep=32`", imagenet(cla=ClaParameters(keep=32)), "targets of less attribution"
    yield "`gig.keep=16`", imagenet(gig=GigParameters(keep=16)), "weaker half of a target's sources"
    yield "`gig.express=5`", imagenet(gig=GigParameters(express=5)), "weaker half of an image's concepts"
    yield "`gcc.keep_most=128`", imagenet(gcc=GccParameters(keep_most=128)), "flow edges by overlap alone"
    yield "`pure.senses=2..3`", imagenet(pure=PureParameters(senses="2..3")), "splits into more than three"
    yield "`pure.alike=0`", imagenet(pure=PureParameters(alike=0)), "`senses_alike`"
    yield "`--queries 500`", imagenet(queries=500), "exact circuits; others on demand"
    yield "`--queries 10000`", imagenet(queries=10_000), "(ten a class: more, not less)"
    wide = imagenet(dictionary=tuple(8 * c for c in imagenet().channels))
    yield "8 C concepts in every layer", wide, "(more, not less)"
    yield "`--methods gcc`", imagenet(methods=("gcc",)), "CLA, GIG and PURE"
    yield "every second block", replace(imagenet(), channels=imagenet().channels[1::2]), "blocks between"
    pruned = World().size
    yield "that of `docs/scale.md`", pruned, "see there"


def line(size: Size) -> dict[str, Any]:
    """The figures of one job."""
    bolt, bulk = sizing.load_seconds(size)
    rows = sizing.relationships(size), sizing.circuits(size)
    return {
        "relationships": sum(map(sizing.total, rows)),
        "nodes": sizing.total(sizing.nodes(size)),
        "bytes": sizing.total(sizing.disk(size)),
        "bolt": bolt,
        "import": bulk,
    }


def compute() -> dict[str, Any]:
    """All figures that need no atlas."""
    whole = imagenet()
    counts = sizing.relationships(whole)
    return {
        "queries": whole.queries,
        "relationships": counts,
        "circuits": sizing.circuits(whole),
        "nodes": sizing.nodes(whole),
        "disk": sizing.disk(whole),
        "settings": [{"setting": name, "lost": lost, **line(size)} for name, size, lost in settings()],
    }


def size_of(spools: list[Spool]) -> Size:
    """The plan of an atlas, read from the spools of its first model."""
    root = spools[0].run.model
    own = {spool.run.method: spool for spool in spools if spool.run.model == root}
    survey = own["activations"]
    layers = sorted(rows(survey, "Layer"), key=lambda row: row["ordinal"])
    images = rows(survey, "Image")
    methods = tuple(name for name in KINDS if name in own)
    found = {name: parameters(kind, own[name].run.parameters) for name, kind in KINDS.items() if name in own}
    if "root_share" in survey.run.parameters:
        shares = {name: survey.run.parameters[name] for name in ("root_share", "mask_share")}
        found["gcc"] = replace(found.get("gcc", GccParameters()), **shares)
    dictionary = (
        {row["id"].rpartition("/")[0]: row["K"] for row in rows(own["gig"], "Dictionary")}
        if "gig" in own
        else {}
    )
    explained = {row["end"] for row in rows(own["gcc"], "Circuit-EXPLAINS-Image")} if "gcc" in own else set()
    return Size(
        channels=tuple(row["channels"] for row in layers),
        images=len(images),
        lists=sum(row["split"] != "judge" for row in images),
        classes=survey.rows("Class"),
        queries=len(explained),
        methods=methods,
        dictionary=tuple(dictionary[row["id"]] for row in layers) if dictionary else (),
        **found,  # type: ignore[arg-type]
    )


def parameters(kind: type[P], given: Mapping[str, Any]) -> P:
    """Parameters of a method from a run's, those that it does not name by default."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in given.items() if name in known})


def rows(spool: Spool, name: str) -> list[dict[str, Any]]:
    """All rows of a small table."""
    columns = [p.name for p in TABLES[name].columns]
    return [dict(zip(columns, row, strict=True)) for part in spool.batches(TABLES[name]) for row in part]


def check(home: Path) -> dict[str, Any]:
    """An atlas's plan against its spools and its files."""
    folder = home / "spools" if (home / "spools").is_dir() else home.parent / "spools"
    spools = open_spools(folder)
    size, held = size_of(spools), dict[str, int]()
    root = spools[0].run.model
    for spool in spools:
        for item in spool.tables():
            if item.relationship is not None and spool.run.model == root:
                kind = item.relationship.type
                held[kind] = held.get(kind, 0) + spool.rows(item.name)
    planned = sizing.relationships(size)
    for name, count in sizing.circuits(size).items():
        planned[name] = planned.get(name, 0) + count
    database = home / "server" / "data" / "databases" / "neo4j"
    parts = sizing.disk(size)
    # A second model's concepts are in the files too.
    twins = [s for s in spools if s.run.model != root and s.rows("Concept")]
    factor = 1 + len(twins)
    expected = sum(n * (factor if name in ("vectors", "vector index") else 1) for name, n in parts.items())
    return {
        "planned": planned,
        "held": {name: held.get(name, 0) for name in planned},
        "all": sum(held.values()),
        "bytes_planned": expected,
        "bytes": bytes_of(database),
        "models": 1 + len(twins),
        "channels": sum(size.channels),
        "images": size.images,
        "classes": size.classes,
        "queries": size.queries,
    }


def page(figures: Mapping[str, Any]) -> str:
    """``docs/sizing.md``."""
    whole = figures["computed"]
    text = HEAD + IMAGENET.format(queries=whole["queries"])
    text += "\n| relationship | at most |\n|---|---|\n"
    text += "".join(f"| {name} | {count:,} |\n" for name, count in whole["relationships"].items())
    text += "".join(
        f"| {name} of exact circuits | about {count:,} |\n" for name, count in whole["circuits"].items()
    )
    text += "\n| node | at most |\n|---|---|\n"
    text += "".join(f"| {name} | {count:,} |\n" for name, count in whole["nodes"].items())
    text += "\n| on disk | GB |\n|---|---|\n"
    text += "".join(f"| {name} | {count / 1e9:.2f} |\n" for name, count in whole["disk"].items())
    text += PRUNING
    for own in whole["settings"]:
        text += (
            f"| {own['setting']} | {own['relationships'] / 1e6:.1f} M | {own['bytes'] / 1e9:.1f} GB | "
            f"{own['bolt'] / 60:.0f} min | {own['import'] / 60:.0f} min | {own['lost']} |\n"
        )
    text += PARTS.format(
        bolt=sizing.BOLT, rows=sizing.IMPORTED, components=sizing.IMPORTED_COMPONENTS, indexed=sizing.INDEXED
    )
    for name, own in figures["checked"].items():
        text += _checked(name, own)
    return text


def _checked(name: str, own: Mapping[str, Any]) -> str:
    text = (
        f"\n## Planned and found: {name}\n\n{own['channels']:,} neurons, {own['images']:,} images, "
        f"{own['classes']:,} classes, {own['queries']:,} exact queries.\n\n"
        "| relationship | planned | found | found / planned |\n|---|---|---|---|\n"
    )
    for kind, planned in own["planned"].items():
        found = own["held"][kind]
        text += f"| {kind} | {planned:,} | {found:,} | {found / planned:.2f} |\n"
    planned, found = own["bytes_planned"] / 1e9, own["bytes"] / 1e9
    models = f" (with the concepts of {own['models']} models)" if own["models"] > 1 else ""
    return (
        text
        + f"\nDatabase{models}: planned {planned:.2f} GB, found {found:.2f} GB ({found / planned:.2f}).\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sizing", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--check", action="append", default=[], metavar="NAME=HOME", help="an atlas to measure"
    )
    parser.add_argument("--write", action="store_true", help=f"rewrite {PAGE.relative_to(ROOT)}")
    chosen = parser.parse_args(arguments)
    kept = json.loads(FIGURES.read_text(encoding="utf-8"))["checked"] if FIGURES.exists() else {}
    for text in chosen.check:
        name, _, home = text.partition("=")
        kept[name] = check(Path(home).absolute())
    figures = {"computed": compute(), "checked": kept}
    if chosen.write:
        FIGURES.parent.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        PAGE.write_text(page(figures), encoding="utf-8")
    else:
        print(page(figures))
    return 0
