"""All four methods on classifiers drawn by a seed, one of each of some families."""

from __future__ import annotations

import os
import random
import zlib

import pytest

from ingest import model_table
from ingest.models import ModelSpec
from tests.ingest.models.conftest import Ingest

SEED = int(os.environ.get("ATLAS_TEST_SEED", "20261121"))
# Names that begin so are a family; one member of each of eight families is drawn.
FAMILIES = ["resnet", "vgg", "vit", "swin", "efficientnet", "mobilenet", "densenet", "convnext", "googlenet"]
FAMILIES += ["inception", "squeezenet", "shufflenet", "mnasnet", "regnet", "alexnet"]
MOST = 45_000_000


def drawn() -> list[str]:
    """Eight models of at most :data:`MOST` parameters, of eight families; xdist's workers must agree on them."""
    sizes = {name: float(line.split("|")[2].split()[0]) * 1e6 for name, line in model_table.kept().items()}
    rng = random.Random(zlib.crc32(str(SEED).encode()))
    members = [[n for n in sizes if n.startswith(family) and sizes[n] <= MOST] for family in FAMILIES]
    chosen = [rng.choice(names) for names in members if names]
    return sorted(rng.sample(chosen, 8))


@pytest.mark.slow
@pytest.mark.parametrize("model", drawn())
def test_four_methods_see_a_pair_of_layers(model: str, ingest: Ingest) -> None:
    print(f"ATLAS_TEST_SEED={SEED}")  # noqa: T201 - shown where the test fails
    size = model_table.side(model)
    spec = ModelSpec(model, weights="random:0", image_size=(size, size))
    found = ingest(spec, ("gcc", "cla", "gig", "pure"), pair=True)
    assert set(found) == {"activations", "gcc", "cla", "gig", "pure"}
    assert found["cla"].rows("Neuron-ATTRIBUTES_TO-Neuron") > 0
    assert found["gig"].rows("Concept") > 0
    assert found["gig"].rows("Concept-CONTRIBUTES_TO-Concept") > 0
    assert found["pure"].run.facts["job"] == found["gcc"].run.facts["job"].replace(
        found["gcc"].run.id, found["pure"].run.id
    )
