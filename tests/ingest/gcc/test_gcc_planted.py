"""The planted network: what a job finds is what was planted, edge by edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.demo.planted import GRANULAR_LAYERS, image_name, write_images
from ingest.demo.planted_answers import QUERY_A, QUERY_B, PlantedAnswer, PlantedSettings
from ingest.job import IngestSpec, Sides, prepare
from ingest.methods.gcc import QueryCircuits
from ingest.methods.gcc_job import GccParameters
from ingest.methods.gcc_stage import GccStage
from ingest.models import ModelSpec
from ingest.numerics.gcc import Thresholds
from ingest.plan import Folders, activations

ANSWERS = {"a": QUERY_A, "b": QUERY_B}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, QueryCircuits]:
    """The circuits of both queries, from files through a whole job."""
    home = tmp_path_factory.mktemp("planted")
    write_images(home / "images")
    settings = PlantedSettings()
    thresholds = Thresholds(pot_percentile=settings.pot_percentile, flow_floor=settings.flow_floor)
    spec = IngestSpec(
        model=ModelSpec("ingest.demo.planted:granular"),
        data=home / "images",
        layers=",".join(GRANULAR_LAYERS),
        sides=Sides(judge_share=0.0),
        gcc=GccParameters(
            root_share=settings.root_share, mask_share=settings.mask_share, thresholds=thresholds
        ),
    )
    prepared = prepare(spec)
    folders = Folders(home / "work", home / "spools", home / "media")
    stage = GccStage(prepared, activations(prepared, folders, lambda *_: None))
    rows = {Path(image.path).name: row for row, image in enumerate(prepared.images.images)}
    wanted = {key: rows[Path(image_name(answer.query)).name] for key, answer in ANSWERS.items()}
    results = {row: result for row, _, result in stage.circuits(sorted(wanted.values()))}
    return {key: results[row] for key, row in wanted.items()}


@pytest.mark.parametrize("key", ANSWERS)
def test_roots_are_the_planted_ones(key: str, found: dict[str, QueryCircuits]) -> None:
    channels = found[key].query.root_channels()
    last = len(channels) - 1
    roots = {(layer, int(c)) for layer, own in enumerate(channels) for c in own if layer < last}
    assert roots == {node for node in ANSWERS[key].roots if node[0] < last}


@pytest.mark.parametrize("key", ANSWERS)
def test_edges_are_the_planted_ones(key: str, found: dict[str, QueryCircuits]) -> None:
    answer: PlantedAnswer = ANSWERS[key]
    edges = found[key].edges
    expected = {(e.layer, e.source, e.target): e for e in answer.edges}
    assert edges.pairs() == set(expected)
    for n in range(len(edges)):
        planted = expected[int(edges.layer[n]), int(edges.source[n]), int(edges.target[n])]
        assert edges.sensitivity[n] == pytest.approx(float(planted.sensitivity), abs=1e-6)
        assert edges.overlap[n] == pytest.approx(float(planted.overlap), abs=1e-12)
        assert bool(edges.identity[n]) == planted.identity
    assert not edges.pairs() & answer.refused


@pytest.mark.parametrize("key", ANSWERS)
def test_circuits_are_the_planted_ones(key: str, found: dict[str, QueryCircuits]) -> None:
    answer: PlantedAnswer = ANSWERS[key]
    own = {c.root: frozenset(c.members()) for c in found[key].circuits if c.merged_into is None}
    assert own == dict(answer.circuits)
    merged = {c.root: c.merged_into for c in found[key].circuits if c.merged_into is not None}
    assert merged == dict(answer.merged)
