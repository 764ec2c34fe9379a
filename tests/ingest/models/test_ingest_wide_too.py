"""torchvision's wider classifiers, the others: all layers in the activation pass, GCC over one adjacent pair."""

from __future__ import annotations

import pytest

from tests.ingest.models.conftest import Ingest
from tests.ingest.models.ingesting import WIDE, check


@pytest.mark.slow
@pytest.mark.parametrize("model", WIDE[1::2])
def test_a_wide_model_is_ingested(model: str, ingest: Ingest) -> None:
    check(model, ingest)
