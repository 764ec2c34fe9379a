"""The four-method job, run once in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ingest.job import prepare
from ingest.plan import run
from tests.ingest.scale import four_methods


@pytest.fixture(scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bars") / "bars"
    four_methods.write_images(root)
    return root


@pytest.fixture(scope="session")
def whole(data: Path, _one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a job that ran in one process and in one go."""
    home = tmp_path_factory.mktemp("whole")
    run(prepare(four_methods.spec(data)), four_methods.folders(home), four_methods.quiet)
    return home
