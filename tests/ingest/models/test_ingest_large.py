"""torchvision's wider classifiers: the activation pass over all layers, GCC over one adjacent pair."""

from __future__ import annotations

import pytest

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

LARGE = [name for name, line in model_table.kept().items() if line.endswith("one pair of layers |")]


@pytest.mark.slow
@pytest.mark.parametrize("model", LARGE)
def test_a_wide_model_is_ingested(model: str, ingest: Ingest) -> None:
    size = model_table.side(model)
    found = ingest(ModelSpec(model, weights="random:0", image_size=(size, size)), pair=True)
    row = model_table.row(model)
    assert found["activations"].rows("Layer") == len(row.layers)
    assert found["activations"].rows("Neuron") == row.units
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
    assert found["gcc"].rows("Circuit") == found["gcc"].run.facts["circuits"]
