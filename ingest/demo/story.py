"""The demo's job: which images, which network, and shares fit for a set of this size."""

from __future__ import annotations

from pathlib import Path

from atlas.errors import DataError
from ingest.demo.digits import CLASSES, PAIRS, read_answers, side_file, write_dataset
from ingest.demo.network import WEIGHTS
from ingest.job import IngestSpec, read_groups
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.models import ModelSpec

ROOT_SHARE = 0.05
MASK_SHARE = 0.30
# A tour of minutes: fewer images a class and steps of the path than a job has by default.
SCORED_IMAGES = 5
STEPS = 8


def demo_spec(folder: Path, images: int) -> IngestSpec:
    """The job of ``atlas demo``: writes the canvases below ``folder`` and explains the whole judging half."""
    data = folder / f"digits-{images}"
    write_dataset(data, images=images)
    return IngestSpec(
        model=ModelSpec("ingest.demo.network:digit_pairs", checkpoint=WEIGHTS),
        data=data,
        dataset="digits",
        methods=("gcc", "cla", "gig", "pure"),
        queries="judge",
        sides=read_groups(side_file(data)),
        gcc=GccParameters(root_share=ROOT_SHARE, mask_share=MASK_SHARE),
        cla=ClaParameters(images_per_scope=SCORED_IMAGES),
        gig=GigParameters(steps=STEPS, images_per_class=SCORED_IMAGES),
    )


def story_image(data: Path) -> str:
    """Name of the judging image that the demo tells about: the first of class 4-5."""
    files = read_answers(side_file(data))
    names = sorted(
        name for name, entry in files.items() if entry["half"] == "judging" and name.startswith("4-5/")
    )
    if not names:
        raise DataError("no judging image of class 4-5", where=data)
    return names[0]


def sibling_of(name: str) -> str:
    """Name of the first class that shares one digit with this one."""
    own = set(PAIRS[CLASSES.index(name)])
    return next(c for c, pair in zip(CLASSES, PAIRS, strict=True) if len(own & set(pair)) == 1)
