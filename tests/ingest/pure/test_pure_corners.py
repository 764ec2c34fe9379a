"""Corners of the stage: silent and dead neurons, few references, other lower layers, parameters nobody can mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from atlas.errors import DataError
from ingest.layers import LayerSpec
from ingest.methods.pure import Lens, lenses, pair_vectors
from ingest.methods.pure_job import PureParameters
from ingest.methods.pure_split import Senses, candidates, split
from ingest.methods.pure_tables import relation_table
from ingest.methods.pure_use import class_likeness, nearest
from ingest.methods.sense_ablation import random_inputs, sense_effects, sense_inputs
from ingest.numerics.pure import Look, pure
from ingest.segments import Trace

PARAMETERS = PureParameters(restarts=3)


def two_clouds(n: int, share: float = 0.5, seed: int = 0) -> torch.Tensor:
    """(1, n, 12) points of two well parted clouds."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.05, (1, n, 12))
    points[:, : int(share * n), 0] += 1
    points[:, int(share * n) :, 1] += 1
    return torch.from_numpy(points)


def split_of(
    vectors: torch.Tensor, known: np.ndarray | None = None, **changed: object
) -> tuple[object, Senses]:
    given = np.ones(vectors.shape[:2], bool) if known is None else known
    parameters = replace(PARAMETERS, **changed)  # type: ignore[arg-type]
    return split(np.arange(len(vectors)), vectors, vectors, given, parameters, 0)


def test_two_clouds_are_two_senses_ranked_from_their_centroids() -> None:
    vectors = two_clouds(60)
    tests, senses = split_of(vectors)
    assert tests.senses.tolist() == [2]  # type: ignore[attr-defined]
    for s in (0, 1):
        own = senses.labels[0] == s
        away = np.linalg.norm(vectors[0, own].numpy() - senses.centroids[0, s], axis=1)
        assert (np.argsort(away) == np.argsort(senses.rank[0, own])).all()
        assert sorted(senses.rank[0, own].tolist()) == list(range(1, int(own.sum()) + 1))
        np.testing.assert_allclose(senses.feeds[0, s], vectors[0, own].numpy().mean(0), atol=1e-6)
        np.testing.assert_allclose(senses.spread[0, s], vectors[0, own].numpy().std(0), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 9, 19])
def test_too_few_references_are_not_tested(count: int) -> None:
    known = np.zeros((1, 60), bool)
    known[0, :count] = True
    tests, senses = split_of(two_clouds(60), known)
    assert np.isnan(tests.p).all()  # type: ignore[attr-defined]
    assert tests.senses.tolist() == [min(count, 1)]  # type: ignore[attr-defined]
    assert len(senses.channel) == 0


def test_identical_vectors_are_one_sense() -> None:
    tests, senses = split_of(torch.ones(2, 40, 5, dtype=torch.float64))
    assert tests.p.tolist() == [1, 1]  # type: ignore[attr-defined]
    assert len(senses.channel) == 0


def test_a_sense_too_small_is_none() -> None:
    tests, _ = split_of(two_clouds(100, 0.06))
    assert not candidates(tests, PARAMETERS).any()  # type: ignore[arg-type]


def test_senses_pass_through_a_note_of_a_shard() -> None:
    _, senses = split_of(two_clouds(60))
    again = Senses.of(senses.columns())
    np.testing.assert_array_equal(again.centroids, senses.centroids)
    assert len(senses.take(np.array([False])).channel) == 0


@pytest.mark.parametrize("text", ["1", "2..", "5..2", "two", "2..99"])
def test_numbers_of_senses_that_nobody_can_mean(text: str) -> None:
    with pytest.raises(DataError, match="number of senses"):
        PureParameters(senses=text).check()


def test_parameters() -> None:
    assert PureParameters().counts == (2, 3, 4, 5)
    assert PureParameters(senses="3").counts == (3,)
    assert "chunk_bytes" not in PureParameters().to_dict()
    with pytest.raises(DataError, match="variant"):
        PureParameters(variant="purer").check()
    with pytest.raises(DataError, match="too small"):
        PureParameters(references=0).check()


class Three(nn.Module):
    """Three layers in a row, the last with a shortcut from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(4, 5, 1)
        self.c = nn.Conv2d(5, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.a(x))
        return (self.c(torch.relu(self.b(a))) + a).flatten(1)


@pytest.fixture
def three() -> tuple[Trace, list[LayerSpec]]:
    torch.manual_seed(0)
    trace = Trace(Three().double().requires_grad_(False), (3, 2, 3))
    found = []
    for ordinal, name in enumerate(("a", "b", "c")):
        channels, height, width = trace.shape(trace.names[name])
        spec = LayerSpec(
            name, trace.names[name], ordinal, "conv", "", channels, height * width, (height, width), 0, 1
        )
        found.append(spec)
    return trace, found


def test_any_lower_layer_can_feed(three: tuple[Trace, list[LayerSpec]]) -> None:
    trace, layers = three
    assert {n: lens.lower.name for n, lens in lenses(trace, layers, "").items()} == {1: "a", 2: "b"}
    assert {n: lens.lower.name for n, lens in lenses(trace, layers, "a").items()} == {1: "a", 2: "a"}
    assert not lenses(trace, layers, "c")
    with pytest.raises(DataError, match="no such layer"):
        lenses(trace, layers, "z")


def test_vectors_do_not_depend_on_the_batches(three: tuple[Trace, list[LayerSpec]]) -> None:
    trace, layers = three
    x = torch.randn(6, 3, 2, 3, dtype=torch.float64)
    lens: Lens = lenses(trace, layers, "a")[2]
    rows, channels = np.array([5, 0, 0, 3, 5, 5]), np.array([1, 2, 0, 3, 0, 2])

    def loader(size: int):  # type: ignore[no-untyped-def]
        return lambda wanted: (
            (wanted[i : i + size], x[wanted[i : i + size]]) for i in range(0, len(wanted), size)
        )

    whole, parts = (
        pair_vectors(lens, trace, loader(size), (rows, channels), [pure], 1 << 20)[0] for size in (8, 1)
    )
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=0)
    for row, channel, found in zip(rows, channels, whole, strict=True):
        a = trace.values(x[row : row + 1], [lens.lower.node])[lens.lower.node].requires_grad_(True)
        h = lens.segment(a, trace.values(x[row : row + 1], list(lens.segment.frozen)))[0, channel]
        (g,) = torch.autograd.grad(0.5 * (h.clamp(min=0) ** 2).sum(), a)
        r = (a.detach() * g)[0].sum((1, 2))
        torch.testing.assert_close(found, r / (r.abs().sum() + 1e-10))


def test_nearest_centroid_and_margin() -> None:
    centroids = np.array([[[0.0, 0], [4, 0], [0, 0.5]]] * 2, np.float32)
    sense, distance, margin = nearest(np.array([[1.0, 0], [0, 0]], np.float32), centroids, np.array([2, 2]))
    assert sense.tolist() == [0, 0]
    assert distance.tolist() == [1, 0]
    assert margin.tolist() == pytest.approx([2 / 3, 1])


def test_likeness_of_classes_is_the_cosine_of_centred_means() -> None:
    pooled = np.array([[1.0, 0], [3, 0], [0, 2], [0, 0], [9, 9]], np.float32)
    found = class_likeness(pooled, [0, 0, 1, 2, None], 4, np.arange(5))
    means = np.array([[2.0, 0], [0, 2], [0, 0]])
    centred = means - means.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:3, :3], unit @ unit.T)
    assert np.isnan(found[3]).all()
    _, table = relation_table(["a", "b", "c", "d"], found, 1, "x")
    assert len(table["similarity"]) == 2  # type: ignore[arg-type]


def test_inputs_of_one_sense_and_others_of_equal_relevance() -> None:
    feeds = np.array([[0.5, 0.2, 0.1, 0.0], [0.0, 0.2, -0.01, 0.6]])
    assert sense_inputs(feeds, 0).tolist() == [0, 2]
    assert sense_inputs(feeds, 1).tolist() == [3]
    rng = np.random.default_rng(0)
    relevance = np.array([5.0, 4.9, 0, 0, 0, 0, 0, 0])
    assert random_inputs(relevance, np.array([0]), rng)[0] != 0
    assert len(random_inputs(relevance, np.arange(8), rng)) == 0
    seen: list[int] = []

    def measure(cuts):  # type: ignore[no-untyped-def]
        seen.append(len(cuts))
        return np.array([[1.0, 0.25, np.nan]] + [[0.5, 0.5, 0.5]] * (len(cuts) - 1))

    first = sense_effects(feeds, np.array([10, 10]), np.array([0, 1, 0]), measure, draws=2)[0]
    assert (first.own, first.others, first.random, first.ratio) == (1.0, 0.25, 0.5, 4.0)
    assert seen == [3, 3]


def test_look_without_pairs() -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert len(pure(Look(torch.rand(1, 2, 3), lambda a, rows: a, none, none))) == 0


def test_vectors_of_tokens_behind_a_frozen_residual_stream() -> None:
    torch.manual_seed(1)
    model = VisionTransformer(16, 8, 2, 2, 8, 12, num_classes=3).double().eval().requires_grad_(False)
    trace = Trace(model, (3, 16, 16))
    layers = []
    for ordinal in (0, 1):
        name = f"encoder.layers.encoder_layer_{ordinal}.mlp.1"
        node = trace.names[name]
        layers.append(LayerSpec(name, node, ordinal, "tokens", "", 12, 5, (2, 2), 1, 2))
    lens = lenses(trace, layers, "")[1]
    assert lens.segment.frozen
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    rows, channels = np.array([2, 0, 2, 1]), np.array([11, 3, 0, 3])
    (found,) = pair_vectors(
        lens, trace, lambda wanted: [(wanted, x[list(wanted)])], (rows, channels), [pure], 1 << 20
    )
    for row, channel, vector in zip(rows, channels, found, strict=True):
        clean = trace.values(x[row : row + 1], [*lens.nodes, lens.upper.node])
        a = clean[lens.lower.node].clone().requires_grad_(True)
        h = lens.segment(a, {name: clean[name] for name in lens.segment.frozen})[0, :, channel]
        torch.testing.assert_close(h, clean[lens.upper.node][0, :, channel])
        (g,) = torch.autograd.grad(0.5 * (h.clamp(min=0) ** 2).sum(), a)
        r = (a.detach() * g)[0].sum(0)
        torch.testing.assert_close(vector, r / (r.abs().sum() + 1e-10))
