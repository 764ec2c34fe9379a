"""The methods there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from atlas.errors import DataError
from ingest.job import Prepared
from ingest.methods.cla_stage import ClaStage
from ingest.methods.gcc_stage import GccStage
from ingest.methods.gig_stage import GigStage
from ingest.methods.pure_stage import PureStage
from ingest.methods.stage import Stage
from ingest.store import ActivationStore

Make = Callable[[Prepared, ActivationStore, tuple[int, ...] | None], Stage]

STAGES: Mapping[str, Make] = {
    "gcc": GccStage,
    "pure": PureStage,
    "cla": ClaStage,
    "gig": GigStage,
}


def check_methods(methods: Iterable[str]) -> None:
    """Raise DataError for a method that there is not."""
    for method in methods:
        if method not in STAGES:
            raise DataError("no such method", where=method, expected=" or ".join(STAGES), got=method)
