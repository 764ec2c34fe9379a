"""`--set METHOD.NAME=VALUE` reaches every parameter, nested ones too, and refuses what is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.errors import DataError
from ingest.job import IngestSpec
from ingest.models import ModelSpec
from ingest.parameters import parameters, with_settings

SPEC = IngestSpec(ModelSpec("resnet50"), Path())


def test_every_listed_parameter_can_be_set() -> None:
    for row in parameters(SPEC):
        if row["value"]:
            assert with_settings(SPEC, [f"{row['parameter']}={row['value']}"]) == SPEC


def test_values_keep_their_types_and_later_ones_win() -> None:
    changed = with_settings(SPEC, ["cla.k=4", "cla.k=16", "gcc.flow_floor=0.2", "cla.screen=yes"])
    assert (changed.cla.k, changed.cla.screen) == (16, True)
    assert changed.gcc.thresholds.flow_floor == 0.2
    assert changed.gig == SPEC.gig


@pytest.mark.parametrize("text", ["cla.q=1", "k=1", "cla.k", "xyz.k=1", "cla.k=many", "cla.screen=2"])
def test_refused(text: str) -> None:
    with pytest.raises(DataError) as refused:
        with_settings(SPEC, [text])
    assert text in refused.value.line()
