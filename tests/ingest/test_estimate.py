"""The plan's bounds hold for what a job of every method writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.spool import Spool
from ingest.estimate import relationships
from ingest.job import prepare
from ingest.plan import run
from ingest.stages import STAGES
from tests.ingest.test_plan import data, folders, quiet, spec  # noqa: F401 - data is a fixture

# On noise no neuron passes the test for senses.
ABSENT = {"pure": ("EXEMPLIFIED_BY", "HAS_SENSE", "FEEDS_SENSE", "FLOWS_TO", "RESEMBLES", "ASSIGNED_TO")}


@pytest.mark.parametrize("method", STAGES)
def test_no_more_than_planned(method: str, data: Path, tmp_path: Path) -> None:  # noqa: F811
    prepared = prepare(spec(data, methods=(method,), queries="4"))
    planned = relationships(prepared)
    written = dict.fromkeys(planned, 0)
    for path in run(prepared, folders(tmp_path), quiet).spools:
        spool = Spool.open(path)
        for item in spool.tables():
            if item.relationship is not None and item.relationship.type in written:
                written[item.relationship.type] += spool.rows(item.name)
    assert all(written[name] <= planned[name] for name in planned), (written, planned)
    assert all(written[name] for name in planned if name not in ABSENT.get(method, ())), written
