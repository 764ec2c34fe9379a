"""The picture of a planted neuron of two senses: its map, its colours, its bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.errors import DataError
from ingest import plan
from ingest.demo.planted import MONOSEMANTIC, POLYSEMANTIC, SENSES_LAYERS, write_images
from ingest.demo.planted_senses import PlantedSenses
from ingest.job import IngestSpec, Prepared, Sides, prepare
from ingest.methods.pure_job import PureParameters
from ingest.methods.pure_stage import PureStage
from ingest.models import ModelSpec
from ingest.pictures import senses
from ingest.pictures.grids import Sight
from ingest.reopen import Opened


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path = tmp_path_factory.mktemp("planted")
    write_images(path / "data")
    answer = PlantedSenses()
    prepared = prepare(
        IngestSpec(
            model=ModelSpec("ingest.demo.planted:senses"),
            data=path / "data",
            layers=",".join(SENSES_LAYERS),
            methods=("pure",),
            sides=Sides(judge_share=0.0),
            pure=PureParameters(references=answer.references, least=answer.least, restarts=4),
        )
    )
    folders = plan.Folders(path / "work", path / "spools", path / "media")
    store = plan.activations(prepared, folders, lambda *_: None)
    return Opened(prepared, store, PureStage(prepared, store))


def address(prepared: Prepared, node: tuple[int, int]) -> str:
    layer = prepared.layers[node[0]]
    return prepared.subject.neuron_ids(layer)[node[1]]


def test_the_map_is_the_first_two_principal_components() -> None:
    vectors = np.random.default_rng(0).standard_normal((9, 4)) * [5, 2, 1, 0.1]
    points = senses.place(vectors)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), values[:2])
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ axes[:2].T), atol=1e-9)
    np.testing.assert_allclose(senses.place(-vectors), senses.place(-vectors))
    assert (senses.place(np.ones((3, 4))) == 0).all()


def test_an_unknown_map_and_one_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no such map"):
        senses.place(np.ones((3, 2)), "tsne")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(DataError, match=r"pip install 'circuit-atlas\[umap\]'"):
        senses.place(np.ones((3, 2)), "umap")


def test_a_split_neuron_is_drawn_the_same_twice(opened: Opened, tmp_path: Path) -> None:
    whom = address(opened.prepared, POLYSEMANTIC)
    for name in ("one.png", "two.png"):
        senses.write_png(senses.picture_of(opened, whom), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert not list(tmp_path.glob("*.part"))
    with Image.open(tmp_path / "one.png") as picture:
        shown = {colour for _, colour in picture.getcolors(2**24) or []}
    assert {senses.colour(0), senses.colour(1)} <= shown
    assert senses.colour(2) not in shown


def test_a_neuron_of_one_sense_is_not_drawn(opened: Opened) -> None:
    with pytest.raises(DataError, match="no senses"):
        senses.picture_of(opened, address(opened.prepared, MONOSEMANTIC))
    nothing = senses.Seen(
        "n", np.zeros((1, 2)), np.array([-1]), np.array([0]), (Sight(opened.store.ids[0], 1, 1),)
    )
    with pytest.raises(DataError, match="no reference"):
        senses.sense_picture(opened.prepared, nothing)
