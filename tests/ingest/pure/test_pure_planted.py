"""A whole PURE job on a network whose senses are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from atlas.errors import DataError
from atlas.spool import Spool
from ingest.demo.planted import MONOSEMANTIC, POLYSEMANTIC, SENSES, SENSES_LAYERS, image_name, write_images
from ingest.demo.planted_senses import PlantedSenses, true_senses
from ingest.job import IngestSpec, Prepared, Sides, prepare
from ingest.methods.pure_job import PureParameters
from ingest.models import ModelSpec
from ingest.plan import Folders, Result, run
from ingest.reopen import open_stage
from ingest.senses import SenseDesk

Rows = list[dict[str, object]]


def job(data: Path, judge_share: float = 0.0, **changed: object) -> Prepared:
    answer = PlantedSenses()
    given = {"references": answer.references, "least": answer.least, "restarts": 4, **changed}
    return prepare(
        IngestSpec(
            model=ModelSpec("ingest.demo.planted:senses"),
            data=data,
            layers=",".join(SENSES_LAYERS),
            methods=("pure",),
            sides=Sides(judge_share=judge_share),
            workers=1,
            pure=PureParameters(**given),  # type: ignore[arg-type]
        )
    )


def folders(path: Path) -> Folders:
    return Folders(path / "work", path / "spools", path / "media")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted")
    write_images(path / "data")
    return path


@pytest.fixture(scope="module")
def done(world: Path) -> Result:
    return run(job(world / "data"), folders(world), lambda *_: None)


@pytest.fixture(scope="module")
def tables(done: Result) -> dict[str, Rows]:
    spool = Spool.open(done.spools[-1])
    return {item.name: spool_rows(spool, item.name) for item in spool.tables()}


def spool_rows(spool: Spool, name: str) -> Rows:
    item = next(item for item in spool.tables() if item.name == name)
    columns = [p.name for p in item.columns]
    return [dict(zip(columns, row, strict=True)) for batch in spool.batches(item) for row in batch]


def neuron(tables: dict[str, Rows], node: tuple[int, int]) -> dict[str, object]:
    layer, channel = node
    own = [r for r in tables["Neuron"] if (r["layer"], r["channel"]) == (SENSES_LAYERS[layer], channel)]
    assert len(own) == 1
    return own[0]


def test_a_sum_of_two_detectors_is_split_and_one_detector_is_not(tables: dict[str, Rows]) -> None:
    split, whole = neuron(tables, POLYSEMANTIC), neuron(tables, MONOSEMANTIC)
    assert split["polysemantic"] is True
    assert split["senses"] == 2
    assert whole["polysemantic"] is False
    assert whole["senses"] == 1
    assert {str(r["start"]) for r in tables["Neuron-HAS_SENSE-Sense"]} == {split["id"]}


def test_each_reference_is_in_the_sense_of_the_detector_that_spoke(
    tables: dict[str, Rows], world: Path
) -> None:
    ids = {image.id: image.path for image in job(world / "data").images.images}
    number = {image_name(image): image for image in range(48)}
    rows = tables["Sense-EXEMPLIFIED_BY-Image"]
    images = [number[ids[str(r["end"])]] for r in rows]
    assert len(images) == PlantedSenses().references
    assert adjusted_rand_score(true_senses(images), [str(r["start"]) for r in rows]) == 1.0


def test_each_sense_is_fed_by_its_detector_and_serves_its_class(tables: dict[str, Rows]) -> None:
    first = {r["end"]: r["start"] for r in tables["Neuron-FEEDS_SENSE-Sense"] if r["rank_in"] == 1}
    served = {
        r["start"]: str(r["end"]).rsplit("/", 1)[1] for r in tables["Sense-SERVES-Class"] if r["share"] == 1
    }
    found = {int(str(source).rsplit("/", 1)[1]): served[sense] for sense, source in first.items()}
    assert found == SENSES


def test_feeding_shares_and_ranks_are_those_of_the_centroid(tables: dict[str, Rows]) -> None:
    for sense in tables["Sense"]:
        centroid = np.array(sense["centroid"])
        edges = [r for r in tables["Neuron-FEEDS_SENSE-Sense"] if r["end"] == sense["id"]]
        for edge in edges:
            channel = int(str(edge["start"]).rsplit("/", 1)[1])
            assert edge["relevance"] == pytest.approx(centroid[channel], rel=1e-6)
            assert edge["share"] == pytest.approx(centroid[channel] / np.abs(centroid).sum(), rel=1e-6)


def test_classes_are_related_by_the_last_layer(tables: dict[str, Rows]) -> None:
    assert len(tables["Class-RELATED_TO-Class"]) == 3
    assert all(-1 <= float(str(r["similarity"])) <= 1 for r in tables["Class-RELATED_TO-Class"])


def test_every_query_is_assigned_once_to_each_neuron_it_activates(
    tables: dict[str, Rows], world: Path
) -> None:
    pairs = [(r["start"], str(r["end"]).split(":")[0]) for r in tables["Image-ASSIGNED_TO-Sense"]]
    assert len(pairs) == len(set(pairs)) > 0
    references = {r["end"]: r["start"] for r in tables["Sense-EXEMPLIFIED_BY-Image"]}
    for row in tables["Image-ASSIGNED_TO-Sense"]:
        assert references.get(row["start"], row["end"]) == row["end"]


def test_the_same_job_cut_into_blocks_gives_the_same_senses(
    world: Path, tmp_path: Path, tables: dict[str, Rows]
) -> None:
    small = run(job(world / "data", vector_bytes=1), folders(tmp_path), lambda *_: None)
    spool = Spool.open(small.spools[-1])
    own = sorted(spool_rows(spool, "Sense-EXEMPLIFIED_BY-Image"), key=str)
    assert [(r["start"], r["end"]) for r in own] == [
        (r["start"], r["end"]) for r in sorted(tables["Sense-EXEMPLIFIED_BY-Image"], key=str)
    ]


def test_a_file_is_assigned_and_one_sense_is_taken_away(world: Path, tmp_path: Path) -> None:
    result = run(
        job(world / "data", judge_share=0.3, references=24, least=6), folders(tmp_path), lambda *_: None
    )
    spool = Spool.open(result.spools[-1])
    desk = SenseDesk(open_stage(tmp_path / "work", spool.run.facts, "pure", "cpu"))
    split = desk.neuron(f"{SENSES_LAYERS[1]}/{POLYSEMANTIC[1]}")
    feeding = {
        int(np.argmax(split.senses.feeds[0, sense])): split.sense_id(sense) for sense in range(split.count)
    }
    assert set(feeding) == set(SENSES)
    for image in (0, 5, 33, 40):
        row = desk.assign(split, world / "data" / image_name(image))
        assert row["sense"] == feeding[true_senses([image])[0]]
    for effect in desk.ablate(split, draws=5):
        assert effect["own"] > 3 * effect["others"]
        assert effect["own"] > effect["random"]
        assert effect["inputs"] >= 1
    with pytest.raises(DataError, match="no senses"):
        desk.neuron(f"{SENSES_LAYERS[1]}/{MONOSEMANTIC[1]}")
    with pytest.raises(DataError, match="was not split"):
        desk.neuron(f"{SENSES_LAYERS[0]}/0")
