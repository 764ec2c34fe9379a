"""The spools of a world, written as an ingestion would: one run a method, and of a twin only its concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from atlas.spool import RunRecord, SpoolWriter
from benchmarks.worlds import (
    imagenet_cla,
    imagenet_gcc,
    imagenet_gig,
    imagenet_pure,
    imagenet_survey,
)
from benchmarks.worlds.imagenet import CLA, DATASET, GIG, PURE, World

Tables = Iterator[tuple[str, dict[str, Any]]]


def record(world: World, method: str, parameters: dict[str, Any], *requires: str) -> RunRecord:
    """The run of one method."""
    digest = world.root[-8:] * 8
    return RunRecord(
        world.root, DATASET, "d" * 64, digest, method, "1", parameters, world.seed, requires=requires
    )


def runs(world: World) -> list[tuple[RunRecord, Callable[[str], Tables]]]:
    """Every run of the world and what gives its tables, the activation pass first."""
    survey = record(world, "activations", {"factor": world.factor})
    if world.twin:
        return [
            (survey, lambda _: imagenet_survey.bare(world)),
            (record(world, "gig", GIG.to_dict(), survey.id), lambda _: imagenet_gig.tables(world)),
        ]
    gcc = world.size.gcc.to_dict()
    return [
        (survey, lambda _: imagenet_survey.tables(world)),
        (record(world, "gcc", gcc, survey.id), lambda run: imagenet_gcc.tables(world, run)),
        (record(world, "cla", CLA.to_dict(), survey.id), lambda run: imagenet_cla.tables(world, run)),
        (record(world, "gig", GIG.to_dict(), survey.id), lambda _: imagenet_gig.tables(world)),
        (record(world, "pure", PURE.to_dict(), survey.id), lambda _: imagenet_pure.tables(world)),
    ]


def write(folder: Path, world: World, told: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write every spool of a world; returns their folders in the order of loading."""
    paths = []
    for run, tables in runs(world):
        told(f"{run.model} {run.method}: {run.id}")
        with SpoolWriter(folder / run.id, run) as writer:
            for name, columns in tables(run.id):
                writer.write(name, columns)
            paths.append(writer.finish())
    return paths
