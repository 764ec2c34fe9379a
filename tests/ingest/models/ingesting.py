"""What holds for every classifier of torchvision that was ingested."""

from __future__ import annotations

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

LINES = model_table.kept()
NARROW = [name for name, line in LINES.items() if line.endswith(f"{model_table.ALL} |")]
WIDE = [name for name in LINES if name not in NARROW]


def check(model: str, ingest: Ingest) -> None:
    """Ingest a model with random weights; its spools hold all layers and units of its row, edges and circuits."""
    row = model_table.row(model)
    spec = ModelSpec(model, weights="random:0", image_size=(row.side, row.side))
    methods = () if row.extent == model_table.NONE else ("gcc",)
    found = ingest(spec, methods, pair=row.extent == model_table.PAIR)
    assert found["activations"].rows("Layer") == len(row.layers)
    assert found["activations"].rows("Neuron") == row.units
    assert found["activations"].rows("Image") == 6
    if not methods:
        return
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
    assert found["gcc"].rows("Circuit") == found["gcc"].run.facts["circuits"]
