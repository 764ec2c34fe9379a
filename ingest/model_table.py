"""The table of torchvision's classifiers: the layers an ingestion takes of each, and how far each is tested.

``python -m ingest.model_table`` writes it into ``docs/models.md``; the tests compare it with what is found, and run an
ingestion of every row.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, list_models

from atlas.errors import ModelError
from ingest.layers import LayerSpec, choose_layers
from ingest.segments import Trace

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
START, END = "<!-- table: python -m ingest.model_table -->", "<!-- end of table -->"
WHOLE_UNITS, WHOLE_SIDE = 3_000, 96
"""Up to so many units and so large an input a test ingests all layers with GCC, else the narrowest adjacent pair."""
MOST_PARAMETERS = 500_000_000
"""Above it a test runs the activation pass alone."""
ALL, PAIR, NONE = "all layers", "one pair of layers", "not tested"
_SIDES = {"alexnet": 64, "inception_v3": 96, "maxvit_t": 224, "vit_b_32": 64, "vit_l_32": 64, "vit_h_14": 28}
_SIDE = 32
_HEADER = (
    "| model | parameters | layers | first and last | a unit is | units | tested at | with GCC |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Row:
    """One model; ``reason`` is why it cannot be ingested, empty where it can."""

    model: str
    side: int
    parameters: int
    layers: tuple[LayerSpec, ...]
    reason: str = ""

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(layer.channels for layer in self.layers)

    @property
    def extent(self) -> str:
        """The layers that the test's GCC sees."""
        if self.parameters > MOST_PARAMETERS:
            return NONE
        return ALL if self.units <= WHOLE_UNITS and self.side <= WHOLE_SIDE else PAIR

    @property
    def line(self) -> str:
        """The row in Markdown."""
        if self.reason:
            return f"| {self.model} | {self.parameters / 1e6:.1f} M | none: {self.reason} | | | | | |"
        ends = f"`{self.layers[0].name}` … `{self.layers[-1].name}`"
        unit = ", ".join(dict.fromkeys(layer.unit for layer in self.layers))
        cells = (
            self.model,
            f"{self.parameters / 1e6:.1f} M",
            len(self.layers),
            ends,
            unit,
            f"{self.units:,}",
        )
        return "| " + " | ".join(map(str, (*cells, f"{self.side}²", self.extent))) + " |"


def names() -> list[str]:
    """torchvision's classifiers."""
    found: list[str] = list_models(module=torchvision.models)
    return found


def side(model: str) -> int:
    """Height and width of the smallest of a few inputs that a model takes; a small one makes a test cheap."""
    return _SIDES.get(model, _SIDE)


def row(model: str) -> Row:
    """A model's row, its weights without memory where its builder allows that."""
    extra = {"image_size": side(model)} if model.startswith("vit_") else {}
    extra |= {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
    # RegNet computes its widths with tensors that must hold numbers.
    with torch.device("cpu" if model.startswith("regnet") else "meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module: nn.Module = get_model(model, weights=None, **extra)
    parameters = sum(p.numel() for p in module.parameters())
    try:
        trace = Trace(module.eval(), (3, side(model), side(model)))
        layers = choose_layers(SimpleNamespace(trace=trace, name=model), None)  # type: ignore[arg-type]
    except ModelError as error:
        return Row(model, side(model), parameters, (), str(error))
    return Row(model, side(model), parameters, layers)


def table(rows: list[Row]) -> str:
    """Rows in Markdown."""
    return "\n".join([*_HEADER, *(row.line for row in rows)])


def kept() -> dict[str, str]:
    """Model → its line in the page."""
    text = PAGE.read_text(encoding="utf-8")
    body = text[text.index(START) : text.index(END)].splitlines()
    return {
        line.split("|")[1].strip(): line for line in body if line.startswith("| ") and line not in _HEADER
    }


def write() -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(START) + len(START)], text[text.index(END) :]
    PAGE.write_text(f"{before}\n\n{table([row(name) for name in names()])}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    write()
