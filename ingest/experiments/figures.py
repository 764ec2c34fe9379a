"""Figures of an experiment on an atlas: a small run of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atlas.spool import SpoolWriter
from ingest.job import Prepared
from ingest.methods.measures import Measure, measure_tables
from ingest.plan import Folders, record_of, spool_folder

VERSION = "1"


def spool_measures(
    prepared: Prepared, method: str, spec: Any, measures: Sequence[Measure], about: str, folders: Folders
) -> Path:
    """Spool measures about a run as a run that builds on it; ``spec`` is the dataclass of what was asked."""
    parameters = {name: value for name, value in asdict(spec).items() if name != "chunk_bytes"}
    record = record_of(prepared, method, VERSION, {**parameters, "about": about}, (about,))
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in measure_tables(measures, record.id, about):
            writer.write(name, columns)
        return writer.finish({"figures": len(measures)})
