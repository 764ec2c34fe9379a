"""Concept circuits on a network planted so that each colour has neurons of its own: each carries its classes alone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from atlas.errors import DataError
from ingest.demo.network import SquareImage
from ingest.demo.story import demo_spec
from ingest.experiments.concept_effect import ConceptSpec, concept_effects, effect_rows, read_concepts
from ingest.job import IngestSpec, Sides, prepare
from ingest.models import ModelSpec

CLASSES = ("blue+green", "blue+red", "green+red", "none")


class Colours(nn.Module):
    """Channel 2c of both layers sees colour c; the head adds up the two colours of each class."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Sequential(nn.Conv2d(n, 8, 1), nn.ReLU()) for n in (3, 8))
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            for colour in range(3):
                self.a[0].weight[2 * colour, colour] = 1.0
                self.b[0].weight[2 * colour, 2 * colour] = 1.0
            self.a[0].bias[1::2] = 0.05
            for own, colours in enumerate(((2, 1), (2, 0), (1, 0))):
                self.head.weight[own, [2 * c for c in colours]] = 10.0
            self.head.bias[3] = 2.0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.head(self.b(self.a(x)).mean((2, 3)))
        return out


def colours() -> tuple[nn.Module, SquareImage]:
    return Colours(), SquareImage(8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    halves = {}
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for n in range(6):
            pixels = np.zeros((8, 8, 3), np.uint8)
            for side, colour in enumerate(name.split("+")):
                if colour != "none":
                    block = rng.integers(150, 256, (8, 4))
                    pixels[:, 4 * side : 4 * side + 4, ("red", "green", "blue").index(colour)] = block
            pixels[0, 0] = n
            Image.fromarray(pixels).save(root / name / f"{n}.png")
            halves[f"{name}/{n}.png"] = "lists" if n < 3 else "judging"
    model = ModelSpec(f"{__name__}:colours")
    return prepare(IngestSpec(model, root, layers="a,b", sides=Sides(halves=halves)))


@pytest.fixture(scope="module", autouse=True)
def _importable():
    import sys

    sys.modules.setdefault(__name__, SimpleNamespace(colours=colours))  # type: ignore[arg-type]


def test_a_concepts_circuit_carries_the_classes_that_contain_it_and_no_others(prepared) -> None:
    concepts = read_concepts("+", prepared.subject.classes)
    assert concepts["red"] == ("blue+red", "green+red")
    spec = ConceptSpec({c: concepts[c] for c in ("red", "green", "blue")}, k=1, scored=6, draws=2)
    rows = {
        (row["concept"], row["cut"]): row
        for row in effect_rows(concept_effects(prepared, spec, lambda *_: None))
    }
    for concept in ("red", "green", "blue"):
        own = rows[concept, "circuit"]
        assert own["kl_auc"] == 1.0
        assert own["kl_containing"] > 0.5
        assert own["kl_others"] < 1e-6
        assert own["accuracy_lost_containing"] > 0.9
        assert own["accuracy_lost_others"] == 0.0
        assert rows[concept, "random"]["accuracy_lost_containing"] < 0.9


def test_concepts_are_read_from_names_and_files(tmp_path) -> None:
    path = tmp_path / "concepts.json"
    told = {"warm": ["blue+red", "green+red", "not there"], "cold": ["blue+green"]}
    for document in (told, {"concepts": told, "files": {}}):
        path.write_text(json.dumps(document))
        assert read_concepts(str(path), CLASSES) == {
            "warm": ("blue+red", "green+red"),
            "cold": ("blue+green",),
        }
    assert read_concepts("+", CLASSES)["none"] == ("none",)
    with pytest.raises(DataError, match="too few concepts"):
        read_concepts("@", ("a",))
    path.write_text("[1]")
    with pytest.raises(DataError, match="not a file of concepts"):
        read_concepts(str(path), CLASSES)


@pytest.mark.slow
def test_every_digits_circuit_carries_the_classes_that_contain_it(tmp_path) -> None:
    torch.set_num_threads(1)
    job = prepare(replace(demo_spec(tmp_path, 800), layers="layer3.*,layer4.*"))
    spec = ConceptSpec(read_concepts("-", job.subject.classes), k=32, scored=6, images=200, draws=1)
    rows = effect_rows(concept_effects(job, spec, lambda *_: None))
    assert len(rows) == 20
    for row in rows:
        apart = row["accuracy_lost_containing"] - row["accuracy_lost_others"]
        if row["cut"] == "circuit":
            assert row["kl_auc"] >= 0.9, row
            assert apart >= 0.5, row
        else:
            assert apart <= 0.1, row
