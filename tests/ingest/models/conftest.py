"""Six small images of two classes, and jobs that see a model through them as cheaply as the methods allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.spool import Spool
from ingest.activations import PassSpec
from ingest.job import IngestSpec, Prepared, Sides, prepare
from ingest.layers import choose_layers
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.models import ModelSpec
from ingest.plan import Folders, run

Ingested = dict[str, Spool]
Ingest = Callable[..., Ingested]
OUTPUTS = 1000
"""Lines of the class file that a job of this session is given."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders, ``0`` and ``1``."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for n in range(6):
        folder = root / "images" / str(n % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{n}.png")
    return root / "images"


def cheap(model: ModelSpec, data: Path, methods: tuple[str, ...]) -> IngestSpec:
    """A job with the least of everything."""
    classes = data.parent / f"classes-{OUTPUTS}.txt"
    classes.write_text("\n".join(map(str, range(OUTPUTS))))
    return IngestSpec(
        model=model,
        data=data,
        classes=classes,
        methods=methods,
        queries="1",
        force=True,
        workers=1,
        sides=Sides(0.0),
        passes=PassSpec(batch=6, shard=6),
        gcc=GccParameters(root_share=0.34, mask_share=0.5, flow_images=1, keep_sensitivity=4, keep_most=8),
        cla=ClaParameters(k=2, keep=4, sources=2, images_per_scope=1, scopes="all"),
        gig=GigParameters(
            concepts=2, steps=2, top_concepts=1, images_per_class=1, keep=4, express=2, exemplars=2
        ),
        pure=PureParameters(
            references=6, senses="2..2", restarts=1, least=2, feeds=2, flow_images=1, flow_targets=2
        ),
    )


@pytest.fixture
def ingest(pictures: Path, tmp_path: Path) -> Ingest:
    """Run a cheap job of a model; its spools by method.

    ``pair``: the methods see only the two adjacent layers of fewest channels, the activation pass all.
    """

    def run_it(model: ModelSpec, methods: tuple[str, ...] = ("gcc",), *, pair: bool = False) -> Ingested:
        spec = cheap(model, pictures, () if pair else methods)
        prepared = prepare(spec)
        found = finished(prepared, tmp_path / "all")
        if pair:
            own = narrowest(prepared)
            narrow = replace(spec, methods=methods, layers=own)
            job = replace(prepared, spec=narrow, layers=choose_layers(prepared.model, own))
            found |= {k: v for k, v in finished(job, tmp_path / "pair").items() if k != "activations"}
        return found

    return run_it


def narrowest(prepared: Prepared) -> str:
    """Names of the two adjacent layers with the smallest product of channels."""
    layers = prepared.layers
    at = min(range(len(layers) - 1), key=lambda i: layers[i].channels * layers[i + 1].channels)
    return f"{layers[at].name},{layers[at + 1].name}"


def finished(prepared: Prepared, home: Path) -> Ingested:
    """Run a job below a folder, and open what it left."""
    folders = Folders(home / "work", home / "spools", home / "media")
    result = run(prepared, folders, lambda *_: None)
    return {Spool.open(path).run.method: Spool.open(path) for path in result.spools}
