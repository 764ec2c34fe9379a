"""One job in a process of its own: seconds of processor time per stage, and the most memory it held.

``python -m benchmarks.cost_job JSON`` with the fields of :class:`Job` prints one JSON object. Processor time of one
thread, not time on the wall, so that what else runs on the machine adds little.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.worlds import cost as world
from ingest.activations import PassSpec
from ingest.job import IngestSpec, Sides, prepare
from ingest.layers import choose_layers
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.models import ModelSpec, load_model
from ingest.plan import Folders, run

ROOT_SHARE = 0.1
"""Of the list images: with few images the default would leave lists of one."""
METHODS = ("gcc", "cla", "gig", "pure")


@dataclass(frozen=True)
class Job:
    """What is measured: a model of :mod:`benchmarks.worlds.cost` and how much is asked of it."""

    model: str = "residual"
    chosen: str | None = None
    """Patterns of the layers to take; the model's default layers if None."""
    layers: int = 4
    channels: int = 32
    size: int = 32
    images: int = 64
    classes: int = 4
    queries: int = 2
    concepts: int = 16
    flow: int = 10
    """Images that GCC's flow averages a source over, if its root list holds so many."""
    per_class: int = 2
    """Images of a class that CLA and GIG look at."""
    targets: int = 4
    """Concepts of a layer and class that GIG explains."""
    steps: int = 8
    references: int = 10
    """Images of a neuron that PURE splits into senses of at least half as many."""
    batch: int = 16
    methods: str = ",".join(METHODS)

    def spec(self, data: Path) -> IngestSpec:
        """The job as `atlas ingest` would be asked for it."""
        return IngestSpec(
            model=ModelSpec(f"benchmarks.worlds.cost:{self.model}"),
            data=data,
            layers=self.chosen,
            methods=tuple(self.methods.split(",")),
            queries=str(self.queries),
            sides=Sides(judge_share=0.0),
            force=True,
            workers=1,
            passes=PassSpec(batch=self.batch),
            gcc=GccParameters(root_share=ROOT_SHARE, mask_share=0.3, flow_images=self.flow),
            cla=ClaParameters(images_per_scope=self.per_class),
            gig=GigParameters(
                concepts=self.concepts,
                images_per_class=self.per_class,
                top_concepts=self.targets,
                steps=self.steps,
            ),
            pure=PureParameters(references=self.references, least=max(1, self.references // 2)),
        )


def write_images(folder: Path, job: Job, seed: int = 0) -> None:
    """Smooth noise in class folders: what is in the images does not matter to what they cost."""
    draw = np.random.default_rng(seed)
    for number in range(job.images):
        own = folder / f"class-{number % job.classes}"
        own.mkdir(parents=True, exist_ok=True)
        coarse = draw.integers(0, 256, (job.size // 4, job.size // 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((job.size, job.size), Image.Resampling.BILINEAR).save(
            own / f"{number}.png"
        )


def measure(job: Job) -> dict[str, Any]:
    """Run a job in this process."""
    torch.set_num_threads(1)
    world.SHAPE = world.Shape(job.layers, job.channels, job.size, job.classes)
    seconds: dict[str, float] = defaultdict(float)
    kinds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        write_images(home / "images", job)
        prepared = prepare(job.spec(home / "images"))
        last = time.process_time()

        def at(name: str) -> None:
            nonlocal last
            now = time.process_time()
            sys.stderr.write(f"{now:8.0f} s {name}\n")
            if name.startswith("spooled:"):
                method = name.partition(":")[2]
                for kind, spent in kinds.items():
                    seconds[f"{method}:{kind}" if method != "activations" else "activations"] += spent
                kinds.clear()
                seconds[f"{method}:tables" if method != "activations" else "activations"] += now - last
            else:
                kind = re.sub(r"[-\d]*$", "", name.partition(":")[2])
                kinds[kind] = kinds.get(kind, 0.0) + now - last
            last = now

        run(prepared, Folders(home / "work", home / "spools", home / "media"), told, at)
        bare = bare_forward(prepared.model.module, prepared.model.input_shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    neurons = sum(layer.channels for layer in prepared.layers)
    facts = {"neurons": neurons, "layers": len(prepared.layers), "forward_seconds": bare, "peak_bytes": peak}
    return {"job": asdict(job), "seconds": dict(seconds), **facts}


def shapes(job: Job) -> list[tuple[int, int]]:
    """(channels, positions) of each layer."""
    world.SHAPE = world.Shape(job.layers, job.channels, job.size, job.classes)
    spec = ModelSpec(f"benchmarks.worlds.cost:{job.model}")
    layers = choose_layers(load_model(spec, lambda: (job.size, job.size)), job.chosen)
    return [(layer.channels, layer.positions) for layer in layers]


def told(what: str, done: int, total: int) -> None:
    """A line now and then for who waits."""
    if done * 20 // max(1, total) != (done - 1) * 20 // max(1, total):
        sys.stderr.write(f"{time.process_time():8.0f} s {what} {done} of {total}\n")


def bare_forward(module: torch.nn.Module, shape: tuple[int, int, int], images: int = 8) -> float:
    """Seconds of processor time of one image in the plain model, the best of three."""
    x = torch.zeros(images, *shape)
    best = float("inf")
    with torch.no_grad():
        for _ in range(3):
            start = time.process_time()
            module(x)
            best = min(best, time.process_time() - start)
    return best / images


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Job(**json.loads(sys.argv[1])))) + "\n")
