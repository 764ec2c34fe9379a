"""What holds for every classifier of torchvision that was ingested."""

from __future__ import annotations

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

CELLS = {name: [cell.strip() for cell in line.split("|")[1:-1]] for name, line in model_table.kept().items()}
NARROW = [name for name, cells in CELLS.items() if cells[-1] == model_table.ALL]
WIDE = [name for name in CELLS if name not in NARROW]


def check(model: str, ingest: Ingest) -> None:
    """Ingest a model with random weights; its spools hold all layers and units of its row, edges and circuits."""
    _, _, layers, _, _, units, _, extent = CELLS[model]
    size = model_table.side(model)
    spec = ModelSpec(model, weights="random:0", image_size=(size, size))
    methods = () if extent == model_table.NONE else ("gcc",)
    found = ingest(spec, methods, pair=extent == model_table.PAIR)
    assert found["activations"].rows("Layer") == int(layers)
    assert found["activations"].rows("Neuron") == int(units.replace(",", ""))
    assert found["activations"].rows("Image") == 6
    if not methods:
        return
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
    assert found["gcc"].rows("Circuit") == found["gcc"].run.facts["circuits"]
