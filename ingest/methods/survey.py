"""The activation pass as tables: the model, its layers and neurons, the images, and who answers what.

Method name of the run: ``activations``. Everything is read from an :class:`ActivationStore`; lists, floors and
statistics come from the *list images* alone, so that the rest can judge them.

Notation: N images, C channels of a layer, K classes; ids are those of ``atlas.address``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.address import Address, Root, class_id, quote
from atlas.spool import Coded, Ragged
from ingest.layers import LayerSpec
from ingest.store import ActivationStore, TopLists, cell_centre

METHOD = "activations"
VERSION = "1"
CLASSES_PER_NEURON = 10

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """Whom a run is about: the address root, the data set's name and digest, its classes and images.

    ``outputs`` (K,) is the model output of each class; ``labels`` (N,) the class index of each image or None;
    ``judging`` (N,) marks images kept out of every list.
    """

    root: Root
    dataset: str
    data_digest: str
    classes: tuple[str, ...]
    outputs: tuple[int, ...]
    labels: tuple[int | None, ...]
    judging: NDArray[np.bool_]

    @property
    def lists(self) -> NDArray[np.bool_]:
        """(N,) the images that lists and statistics are made from."""
        return ~self.judging

    def class_ids(self) -> list[str]:
        """(K,) ids of the classes."""
        return [class_id(self.dataset, name) for name in self.classes]

    def class_of_output(self) -> dict[int, str]:
        """Model output -> id of its class."""
        return dict(zip(self.outputs, self.class_ids(), strict=True))

    def neuron_ids(self, layer: LayerSpec) -> list[str]:
        """(C,) ids of a layer's neurons."""
        prefix = str(Address(self.root, layer.name))
        return [f"{prefix}/{channel}" for channel in range(layer.channels)]

    def layer_id(self, layer: LayerSpec) -> str:
        """Id of a layer."""
        return str(Address(self.root, layer.name))


@dataclass(frozen=True)
class ModelFacts:
    """Properties of the Model node beside its id."""

    name: str
    weights: str
    digest: str
    source: str
    outputs: int
    input: tuple[int, int, int]
    transform: str
    accuracy: float


@dataclass(frozen=True)
class ImageFacts:
    """Properties of the Image nodes, (N,) each."""

    names: Sequence[str]
    widths: Sequence[int]
    heights: Sequence[int]
    thumbs: Sequence[str | None]


def structure_tables(
    subject: Subject, model: ModelFacts, images: ImageFacts, store: ActivationStore
) -> Iterator[tuple[str, Columns]]:
    """Model, layers, data set, classes and images with the relationships that hold them together."""
    root = str(subject.root)
    layers = store.layers
    layer_ids = [subject.layer_id(layer) for layer in layers]
    yield (
        "Model",
        {
            "id": [root],
            "name": [model.name],
            "weights": [model.weights],
            "digest": [model.digest],
            "source": [model.source],
            "tag": [subject.root.tag],
            "outputs": [model.outputs],
            "input": [list(model.input)],
            "transform": [model.transform],
            "accuracy": [None if np.isnan(model.accuracy) else model.accuracy],
        },
    )
    yield (
        "Layer",
        {
            "id": layer_ids,
            "name": [layer.name for layer in layers],
            "model": [root] * len(layers),
            "ordinal": [layer.ordinal for layer in layers],
            "kind": [layer.kind for layer in layers],
            "unit": [layer.unit for layer in layers],
            "channels": [layer.channels for layer in layers],
            "positions": [layer.positions for layer in layers],
        },
    )
    dataset = quote(subject.dataset)
    classes = subject.class_ids()
    yield (
        "Dataset",
        {
            "id": [dataset],
            "name": [subject.dataset],
            "digest": [subject.data_digest],
            "images": [len(store.ids)],
        },
    )
    yield "Class", {"id": classes, "name": list(subject.classes), "ordinal": list(subject.outputs)}
    yield (
        "Image",
        {
            "id": list(store.ids),
            "name": list(images.names),
            "split": ["judge" if judged else "list" for judged in subject.judging],
            "width": list(images.widths),
            "height": list(images.heights),
            "thumb": list(images.thumbs),
        },
    )
    yield "Model-HAS_LAYER-Layer", {"start": [root] * len(layers), "end": layer_ids}
    yield "Layer-FEEDS-Layer", {"start": layer_ids[:-1], "end": layer_ids[1:]}
    yield "Dataset-HAS_CLASS-Class", {"start": [dataset] * len(classes), "end": classes}
    yield "Dataset-HAS_IMAGE-Image", {"start": [dataset] * len(store.ids), "end": list(store.ids)}
    labelled = [(i, label) for i, label in enumerate(subject.labels) if label is not None]
    yield (
        "Image-LABELLED-Class",
        {"start": [store.ids[i] for i, _ in labelled], "end": [classes[label] for _, label in labelled]},
    )
    yield "Image-PREDICTED_AS-Class", _predictions(subject, store, classes)


def _predictions(subject: Subject, store: ActivationStore, classes: list[str]) -> Columns:
    predictions = store.predictions()
    named = {output: classes[k] for k, output in enumerate(subject.outputs)}
    kept = [i for i, output in enumerate(predictions.output) if int(output) in named]
    return {
        "start": [store.ids[i] for i in kept],
        "end": [named[int(predictions.output[i])] for i in kept],
        "probability": predictions.probability[kept],
        "logit": predictions.logit[kept],
        "model": [str(subject.root)] * len(kept),
    }


def layer_tables(
    subject: Subject, store: ActivationStore, layer: LayerSpec, root_share: float, mask_share: float
) -> Iterator[tuple[str, Columns]]:
    """One layer's neurons with their statistics, root lists, mask lists and class selectivity.

    ``root_share`` and ``mask_share`` are the shares of the list images in T1 and T10.
    """
    roots = store.lists(layer.name, root_share, subject.lists)
    masks = store.lists(layer.name, mask_share, subject.lists)
    stats = store.stats(layer.name, subject.lists)
    ids = np.array(subject.neuron_ids(layer))
    channels = np.arange(layer.channels)
    yield (
        "Neuron",
        {
            "id": ids,
            "model": [str(subject.root)] * layer.channels,
            "layer": [layer.name] * layer.channels,
            "channel": channels,
            **{name: stats[name] for name in ("mean", "std", "max", "p90", "p99", "dead")},
            "root_floor": roots.floor,
            "mask_floor": masks.floor,
        },
    )
    yield "Layer-HAS_NEURON-Neuron", {"start": [subject.layer_id(layer)] * layer.channels, "end": ids}
    yield "Neuron-ACTIVATED_BY-Image", _root_lists(store, layer, roots, ids)
    yield "Image-ACTIVATES-Layer", _mask_lists(subject, store, layer, masks)
    if subject.classes:
        yield "Neuron-RESPONDS_TO-Class", _selectivity(subject, store, layer, ids)


def _root_lists(store: ActivationStore, layer: LayerSpec, roots: TopLists, ids: NDArray[np.str_]) -> Columns:
    length = roots.indices.shape[1]
    x, y = cell_centre(layer, roots.peaks, store.plan.input_shape)
    return {
        "start": Coded(np.repeat(np.arange(len(ids)), length), ids.tolist()),
        "end": Coded(roots.indices.ravel(), store.ids),
        "value": roots.values.ravel(),
        "rank": np.tile(np.arange(1, length + 1), len(ids)),
        "x": x.ravel(),
        "y": y.ravel(),
    }


def _mask_lists(subject: Subject, store: ActivationStore, layer: LayerSpec, masks: TopLists) -> Columns:
    pooled = store.pooled(layer.name)
    channels: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    kept: list[int] = []
    for row, image in enumerate(store.ids):
        activations = np.asarray(pooled[row])
        held = np.flatnonzero(masks.would_hold(activations, None if subject.judging[row] else image))
        if len(held):
            kept.append(row)
            channels.append(held)
            values.append(activations[held])
    return {
        "start": [store.ids[row] for row in kept],
        "end": [subject.layer_id(layer)] * len(kept),
        "channels": ragged(channels, np.int64),
        "values": ragged(values, np.float32),
    }


def ragged(lists: Sequence[NDArray[Any]], dtype: type) -> Ragged:
    """Lists of numbers as one column."""
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in lists], dtype=np.int64)])
    return Ragged(np.concatenate([np.empty(0, dtype), *lists]).astype(dtype), offsets)


def _selectivity(
    subject: Subject, store: ActivationStore, layer: LayerSpec, ids: NDArray[np.str_]
) -> Columns:
    stats = store.class_stats(layer.name, subject.labels, len(subject.classes), subject.lists)
    auc, mean = stats["auc"].T, stats["mean"].T
    order = np.argsort(-np.nan_to_num(auc, nan=-1.0), axis=1, kind="stable")[:, :CLASSES_PER_NEURON]
    known = ~np.isnan(np.take_along_axis(auc, order, axis=1))
    neurons, ranks = np.nonzero(known)
    classes = order[neurons, ranks]
    return {
        "start": Coded(neurons, ids.tolist()),
        "end": Coded(classes, subject.class_ids()),
        "mean": mean[neurons, classes],
        "auc": auc[neurons, classes],
        "rank_out": ranks + 1,
    }
