"""torchvision's narrower classifiers, ingested end to end: all layers through GCC, random weights, tiny inputs."""

from __future__ import annotations

import pytest

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

SMALL = [name for name, line in model_table.kept().items() if line.endswith("all layers |")]


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL)
def test_a_model_is_ingested_with_all_its_layers(model: str, ingest: Ingest) -> None:
    size = model_table.side(model)
    found = ingest(ModelSpec(model, weights="random:0", image_size=(size, size)))
    row = model_table.row(model)
    assert found["activations"].rows("Layer") == len(row.layers)
    assert found["activations"].rows("Neuron") == row.units
    assert found["activations"].rows("Image") == 6
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
    assert found["gcc"].rows("Circuit") == found["gcc"].run.facts["circuits"]
