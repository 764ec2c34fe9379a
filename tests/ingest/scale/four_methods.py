"""A small job of all four methods on pictures of bars, and what its spools hold: for runs cut or shared out."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from atlas.spool import Spool
from ingest.activations import PassSpec
from ingest.job import IngestSpec
from ingest.methods.cla_job import ClaParameters
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gig_job import GigParameters
from ingest.methods.pure_job import PureParameters
from ingest.models import ModelSpec
from ingest.numerics.gcc import Thresholds
from ingest.plan import Folders

METHODS = ("gcc", "pure", "cla", "gig")
CLASSES, IMAGES = 4, 15
SIZE = 16
FRAGILE = "ATLAS_TEST_FRAGILE"
"""Environment: a folder, in which processes that die leave a mark, and the one process that does not, as FOLDER:PID."""
DEATHS = (5, 25)
"""A process dies at its n-th image; each death happens once."""
_seen = count(1)


class Pixels:
    """The images as they are; where the environment asks for it, its process is killed in the middle."""

    def __call__(self, image: Image.Image) -> Tensor:
        die()
        return torch.from_numpy(np.array(image, np.float32) / 255).permute(2, 0, 1)

    def __repr__(self) -> str:
        return "Pixels()"


def die() -> None:
    """kill −9 this process at its n-th image, if no process died at that number before."""
    number = next(_seen)
    folder, _, spared = os.environ.get(FRAGILE, "").rpartition(":")
    if folder and number in DEATHS and spared != str(os.getpid()):
        try:
            os.close(os.open(Path(folder, str(number)), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def net() -> tuple[nn.Module, Pixels]:
    """Three layers of 8, 12 and 10 channels, four classes."""
    torch.manual_seed(3)
    module = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(12, 10, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, CLASSES)),
    )
    return module, Pixels()


def deep() -> tuple[nn.Module, Pixels]:
    """Seven layers of 8 channels: more pairs than one group of GCC's flow holds."""
    torch.manual_seed(4)
    blocks = [part for _ in range(6) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    module = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *blocks),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )
    return module, Pixels()


def write_images(root: Path) -> None:
    """Bars of one direction and colour a class, with noise."""
    rng = np.random.default_rng(0)
    for k in range(CLASSES):
        (root / f"class{k}").mkdir(parents=True)
        for n in range(IMAGES):
            pixels = rng.integers(0, 90, (SIZE, SIZE, 3))
            at = int(rng.integers(2, SIZE - 4))
            part = np.s_[at : at + 3, :, k % 3] if k % 2 else np.s_[:, at : at + 3, k % 3]
            pixels[part] += 160
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"class{k}" / f"{n}.png")


def spec(data: Path, **changes: object) -> IngestSpec:
    """The job."""
    fields: dict[str, object] = {
        "model": ModelSpec("tests.ingest.scale.four_methods:net"),
        "data": data,
        "methods": METHODS,
        "force": True,
        "queries": "12",
        "workers": 1,
        "passes": PassSpec(batch=4, shard=8),
        "gcc": GccParameters(root_share=0.15, mask_share=0.4, thresholds=Thresholds(flow_floor=0.0)),
        "pure": PureParameters(references=14, restarts=2, least=3, level=0.5),
        "cla": ClaParameters(k=3, images_per_scope=3),
        "gig": GigParameters(concepts=9, steps=4, top_concepts=3, images_per_class=3),
    }
    return IngestSpec(**{**fields, **changes})  # type: ignore[arg-type]


def folders(home: Path) -> Folders:
    """All of them below one."""
    return Folders(home / "work", home / "spools", home / "media")


def quiet(stage: str, done: int, total: int) -> None:
    """No progress."""


def spools(home: Path) -> list[Spool]:
    """What a job left whole, in the order in which it is loaded."""
    order = ("activations", *METHODS)
    found = [Spool.open(path) for path in (home / "spools").iterdir() if path.suffix != ".part"]
    return sorted(found, key=lambda spool: order.index(spool.run.method))


def digests(home: Path) -> dict[str, str]:
    """Method -> digest of its spool."""
    return {spool.run.method: spool.digest for spool in spools(home)}


def tables(spool: Spool) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> its rows, in order."""
    return {
        table.name: [tuple(row) for batch in spool.batches(table) for row in batch]
        for table in spool.tables()
    }


def differences(one: Path, other: Path, relative: float = 1e-6) -> list[str]:
    """What two homes' spools do not share: runs, tables, rows, and numbers further apart than ``relative``."""
    found: list[str] = []
    pairs = list(zip(spools(one), spools(other), strict=True))
    for a, b in pairs:
        if a.run.id != b.run.id:
            found.append(f"{a.run.id} {b.run.id}")
        left, right = tables(a), tables(b)
        if {name: len(rows) for name, rows in left.items()} != {
            name: len(rows) for name, rows in right.items()
        }:
            found.append(f"rows of {a.run.method}")
            continue
        found += [
            f"{name}: {x} {y}"
            for name in left
            for x, y in zip(left[name], right[name], strict=True)
            if not _close(x, y, relative)
        ]
    return found


def _close(x: Any, y: Any, relative: float) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        return x == y or abs(x - y) <= relative * max(abs(x), abs(y)) or (x != x and y != y)
    if isinstance(x, list | tuple) and isinstance(y, list | tuple):
        return len(x) == len(y) and all(_close(p, q, relative) for p, q in zip(x, y, strict=True))
    return bool(x == y)
