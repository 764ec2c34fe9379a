"""A job on shards is the job on the same files: numbers, ids, pictures, and what is asked of it afterwards."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from atlas.errors import DataError
from ingest.activations import PassSpec
from ingest.job import IngestSpec, Sides, prepare
from ingest.methods.gcc_job import GccParameters
from ingest.models import ModelSpec
from ingest.pictures.grids import Sight, neuron_grid
from ingest.plan import Folders, Result, run
from ingest.reopen import reopen

CLASSES = [f"class {i}" for i in range(10)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files") / "data"
    rng = np.random.default_rng(0)
    for n in range(20):
        folder = root / CLASSES[n % 10]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{n:02d}.png")
    return root


def job(data: Path, home: Path) -> tuple[IngestSpec, Result]:
    spec = IngestSpec(
        model=ModelSpec("examples.own_model:small_resnet"),
        data=data,
        force=True,
        queries="2",
        workers=1,
        sides=Sides(0.0),
        passes=PassSpec(batch=8, shard=8),
        gcc=GccParameters(root_share=0.1, mask_share=0.4, flow_images=1),
    )
    return spec, run(prepare(spec), folders(home), lambda *_: None)


def folders(home: Path) -> Folders:
    return Folders(home / "work", home / "spools", home / "media")


@pytest.fixture(scope="module")
def expected(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return job(files, tmp_path_factory.mktemp("home"))[1]


def in_parquet(files: Path, root: Path) -> None:
    paths = sorted(files.rglob("*.png"))
    for shard in range(2):
        own = paths[shard * 10 : shard * 10 + 10]
        table = pa.table({"image": [p.read_bytes() for p in own], "label": [p.parent.name for p in own]})
        pq.write_table(table, root / f"{shard}.parquet", row_group_size=4)


def in_tar(files: Path, root: Path) -> None:
    with tarfile.open(root / "all.tar", "w") as opened:
        for path in sorted(files.rglob("*.png")):
            entry = tarfile.TarInfo(path.relative_to(files).as_posix())
            entry.size = path.stat().st_size
            opened.addfile(entry, io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("pack", [in_parquet, in_tar])
def test_a_job_on_shards_is_the_job_on_files(pack, files: Path, expected: Result, tmp_path: Path) -> None:
    root, home = tmp_path / "data", tmp_path / "home"
    root.mkdir()
    pack(files, root)
    spec, result = job(root, home)
    prepared = prepare(spec)
    assert prepared.subject.classes == tuple(CLASSES)
    assert result.store.ids == expected.store.ids
    for layer in result.store.layers:
        ours, theirs = (np.array(x.store.pooled(layer.name)) for x in (result, expected))
        np.testing.assert_array_equal(ours, theirs)
    assert len(list((home / "media").rglob("*.webp"))) == 20
    again, store = reopen(home / "work", result.facts["gcc"], "cpu")
    image = again.images.images[13]
    found = again.find(image.id, None)
    x = again.input(found.file)
    own = next(x for _, x in again.batches([13]))
    assert (x == own).all()
    assert store.ids[13] == found.id
    picture = neuron_grid(again, f"{again.subject.root}/2/5", [Sight(image.id, 8.0, 8.0)])
    assert np.asarray(picture).std() > 10, "a picture, not the grey of a missing file"
    for shard in root.iterdir():
        shard.unlink()
    with pytest.raises(DataError, match="none of the images is there"):
        neuron_grid(again, f"{again.subject.root}/2/5", [Sight(image.id, 8.0, 8.0)])
