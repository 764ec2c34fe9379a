"""The methods whose claims can be measured on an atlas, and by which function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from atlas.errors import DataError
from ingest import evaluation_cla, evaluation_gcc, evaluation_gig, evaluation_pure
from ingest.methods.stage import Progress
from ingest.plan import Folders
from ingest.reopen import Opened

Evaluate = Callable[[Opened, str, int, Folders, Progress], Path]
"""(job of the method's run, the run's id, images at most, folders, progress) -> the spool of the figures."""

EVALUATIONS: Mapping[str, Evaluate] = {
    "gcc": evaluation_gcc.evaluate,
    "gig": evaluation_gig.evaluate,
    "cla": evaluation_cla.evaluate,
    "pure": evaluation_pure.evaluate,
}


def evaluation_of(method: str) -> Evaluate:
    """Raises DataError for a method that nothing is measured of."""
    if method not in EVALUATIONS:
        raise DataError(
            "nothing is measured for this method", where=method, expected=" or ".join(EVALUATIONS), got=method
        )
    return EVALUATIONS[method]
