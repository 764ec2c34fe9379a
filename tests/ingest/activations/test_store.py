"""Lists, statistics, predictions and places asked of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from atlas.errors import DataError, ModelError
from ingest.activations import ActivationJob, activation_pass
from ingest.images import ImageSet, scan_images
from ingest.store import ActivationStore, cell_centre

MakeJob = Callable[..., ActivationJob]
SIZE = 32
IMAGES = 22


def test_lists_of_a_subset_are_the_literal_ones(job: ActivationJob, store: ActivationStore) -> None:
    rng = np.random.default_rng(1)
    subset = rng.random(IMAGES) < 0.6
    rows = np.flatnonzero(subset)
    for layer in job.layers:
        pooled = np.array(store.pooled(layer.name))
        lists = store.lists(layer.name, 0.3, subset)
        assert lists.indices.shape == (layer.channels, int(np.ceil(0.3 * len(rows))))
        assert lists.images == len(rows)
        for c in range(layer.channels):
            best = sorted(rows, key=lambda i, c=c: (-float(pooled[i, c]), store.ids[i]))
            assert lists.indices[c].tolist() == best[: lists.indices.shape[1]]
        np.testing.assert_array_equal(lists.values, np.take_along_axis(pooled.T, lists.indices, axis=1))
        np.testing.assert_array_equal(
            lists.peaks, np.take_along_axis(np.array(store.peaks(layer.name)).T, lists.indices, axis=1)
        )
        np.testing.assert_array_equal(lists.members(IMAGES).sum(axis=1), lists.indices.shape[1])


def test_who_is_held_is_who_would_be_listed(job: ActivationJob, store: ActivationStore) -> None:
    subset = np.arange(IMAGES) % 2 == 0
    for layer in job.layers:
        pooled = np.array(store.pooled(layer.name))
        lists = store.lists(layer.name, 0.3, subset)
        members = lists.members(IMAGES)
        for i in range(IMAGES):
            held = lists.would_hold(pooled[i], store.ids[i])
            if subset[i]:
                np.testing.assert_array_equal(held, members[:, i])
            else:
                with_it = subset.copy()
                with_it[i] = True
                again = store.top(layer.name, lists.indices.shape[1], with_it).members(IMAGES)
                np.testing.assert_array_equal(held, again[:, i])


def test_channels_in_blocks_give_the_same(
    store: ActivationStore, job: ActivationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [image.label for image in job.images.images]
    name = job.layers[1].name
    whole = store.top(name, 5), store.stats(name), store.class_stats(name, labels, 2)
    monkeypatch.setattr("ingest.store.BLOCK_BYTES", IMAGES * 4 * 2)
    assert len(list(store.blocks(name, store.rows(None)))) == 5
    parts = store.top(name, 5), store.stats(name), store.class_stats(name, labels, 2)
    np.testing.assert_array_equal(whole[0].indices, parts[0].indices)
    for before, after in zip(whole[1:], parts[1:], strict=True):
        for key in before:
            np.testing.assert_array_equal(before[key], after[key])


def test_unknown_layer_and_wrong_subset_are_errors(store: ActivationStore) -> None:
    with pytest.raises(ModelError, match="layer not in the activation store: layer9"):
        store.pooled("layer9")
    with pytest.raises(DataError, match="subset of another data set"):
        store.stats(store.layers[0].name, np.ones(3, np.bool_))
    with pytest.raises(DataError, match="no image in the subset"):
        store.stats(store.layers[0].name, np.zeros(IMAGES, np.bool_))


def test_predictions_and_accuracy(job: ActivationJob, store: ActivationStore) -> None:
    logits = torch.from_numpy(np.array(store.logits)).double()
    predictions = store.predictions()
    probability, output = logits.softmax(dim=1).max(dim=1)
    np.testing.assert_array_equal(predictions.output, output)
    np.testing.assert_allclose(predictions.probability, probability, rtol=1e-6)
    np.testing.assert_array_equal(predictions.logit, logits.amax(dim=1).float())
    labels = [None, *(image.label for image in job.images.images[1:])]
    outputs = [int(output[5]), 3]
    right = [outputs[k] == int(p) for k, p in zip(labels[1:], output[1:], strict=True)]
    assert store.accuracy(labels, outputs) == pytest.approx(sum(right) / len(right))
    assert np.isnan(store.accuracy([None] * IMAGES, outputs))


def test_places_are_centres_of_cells_in_pixels_of_the_input(
    network: nn.Module, image_set: ImageSet, make_job: MakeJob
) -> None:
    for layer in make_job(image_set, network).layers:
        assert layer.grid is not None
        height, width = layer.grid
        assert height * width + layer.tokens_before == layer.positions
        x, y = cell_centre(layer, np.array([0, width - 1, (height - 1) * width]), (3, SIZE, 2 * SIZE))
        half = SIZE / height / 2
        assert x.tolist() == [2 * half, 2 * SIZE - 2 * half, 2 * half]
        assert y.tolist() == [half, half, SIZE - half]


def test_a_layer_without_a_grid_sees_the_whole_input(job: ActivationJob) -> None:
    x, y = cell_centre(replace(job.layers[0], grid=None), np.array([[0, 5]]), (3, 20, 30))
    assert x.tolist() == [[15.0, 15.0]]
    assert y.tolist() == [[10.0, 10.0]]


def test_a_bright_dot_is_found_at_its_place(tmp_path: Path, make_job: MakeJob) -> None:
    (tmp_path / "images" / "dots").mkdir(parents=True)
    places = [(5, 20), (30, 1), (0, 0)]
    for n, (x, y) in enumerate(places):
        dot = np.zeros((SIZE, SIZE, 3), np.uint8)
        dot[y, x] = 255
        Image.fromarray(dot).save(tmp_path / "images" / "dots" / f"{n}.png")
    module = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(192, 4)).eval()
    job = make_job(scan_images(tmp_path / "images"), module, globs="0")
    store = activation_pass(job, tmp_path / "store")
    lists = store.top("0")
    for images, peaks in zip(lists.indices, lists.peaks, strict=True):
        found = np.stack(cell_centre(job.layers[0], peaks, job.model.input_shape), axis=1)
        asked = np.array([places[int(Path(job.images.images[i].path).stem)] for i in images])
        assert (np.abs(found - (asked + 0.5)) <= 2).all()
