"""torchvision's narrower classifiers, ingested end to end: all layers through GCC, random weights, tiny inputs."""

from __future__ import annotations

import pytest

from tests.ingest.models.conftest import Ingest
from tests.ingest.models.ingesting import NARROW, check


@pytest.mark.slow
@pytest.mark.parametrize("model", NARROW)
def test_a_model_is_ingested_with_all_its_layers(model: str, ingest: Ingest) -> None:
    check(model, ingest)
