"""What holds for every classifier of torchvision that was ingested."""

from __future__ import annotations

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

LINES = model_table.kept()
NARROW = [name for name, line in LINES.items() if line.endswith("all layers |")]
WIDE = [name for name, line in LINES.items() if line.endswith("one pair of layers |")]


def check(model: str, ingest: Ingest, *, pair: bool) -> None:
    """Ingest a model with random weights; its spools hold all layers and units of its row, edges and circuits."""
    size = model_table.side(model)
    found = ingest(ModelSpec(model, weights="random:0", image_size=(size, size)), pair=pair)
    row = model_table.row(model)
    assert found["activations"].rows("Layer") == len(row.layers)
    assert found["activations"].rows("Neuron") == row.units
    assert found["activations"].rows("Image") == 6
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
    assert found["gcc"].rows("Circuit") == found["gcc"].run.facts["circuits"]
