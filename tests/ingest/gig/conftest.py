"""A finished GIG job on the planted network, opened as a question opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ingest.concept_desk import ConceptDesk
from ingest.demo.planted_concepts import LAYERS, write_images
from ingest.job import IngestSpec, prepare
from ingest.methods.gig_job import GigParameters
from ingest.models import ModelSpec
from ingest.plan import Folders, Result, run
from ingest.reopen import Opened, open_stage


@dataclass(frozen=True)
class PlantedJob:
    """What a job left, and the job opened again."""

    folders: Folders
    result: Result
    opened: Opened

    @property
    def run(self) -> str:
        """Id of the GIG run."""
        return self.result.spools[-1].name

    @property
    def desk(self) -> ConceptDesk:
        """Where questions are asked."""
        return ConceptDesk(self.opened)


@pytest.fixture(scope="session")
def planted_job(tmp_path_factory: pytest.TempPathFactory) -> PlantedJob:
    """The planted concepts through a whole job."""
    torch.set_num_threads(1)
    home: Path = tmp_path_factory.mktemp("planted-concepts")
    write_images(home / "images")
    spec = IngestSpec(
        model=ModelSpec("ingest.demo.planted_concepts:concepts"),
        data=home / "images",
        layers=",".join(LAYERS),
        methods=("gig",),
        queries="6",
        workers=1,
        gig=GigParameters(steps=4, images_per_class=4),
    )
    folders = Folders(home / "work", home / "spools", home / "media")
    result = run(prepare(spec), folders, lambda *_: None)
    return PlantedJob(folders, result, open_stage(folders.work, result.facts["gig"], "gig", "cpu"))
