"""The concepts of one layer: made from one feature vector per list image, kept on disk, and read again.

Notation: X (N, C) feature vectors of the layer as sampled, one a list image; β (C,) its centre; V (K, C) unit concepts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.errors import DataError
from ingest.methods.dictionary_file import dictionary_path, read_dictionary
from ingest.methods.feature_space import FeatureSpace
from ingest.methods.gig_job import GigParameters
from ingest.numerics.dictionaries import DICTIONARIES, membership
from ingest.numerics.lasso import lasso, penalty_for, relative_error, wished_active
from ingest.store_files import disk_errors

DEFAULT = "kmeans"
HELD_OUT = 256
_SHARE = 4
_VECTORS = ("rows", "positions", "by_srd", "vectors")


@dataclass(frozen=True)
class Vectors:
    """Sampled feature vectors of one layer: rows of the store (N,), positions (N,), whether SRD chose the position
    (N,), and the vectors (N, C) float32, not centred.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    by_srd: NDArray[np.bool_]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Vectors:
        """Undo :meth:`columns`."""
        return cls(*(np.asarray(columns[name]) for name in _VECTORS))

    @classmethod
    def join(cls, parts: Sequence[Vectors]) -> Vectors:
        """Several, one after another; at least one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _VECTORS))

    def columns(self) -> dict[str, NDArray[Any]]:
        """By name."""
        return {name: getattr(self, name) for name in _VECTORS}

    def take(self, mask: NDArray[np.bool_]) -> Vectors:
        """Those of a mask (N,)."""
        return Vectors(self.rows[mask], self.positions[mask], self.by_srd[mask], self.vectors[mask])


@dataclass(frozen=True)
class LayerDictionary:
    """All that decomposing a layer takes, and what is known of its concepts.

    v : (K, C) float32 unit concepts.      penalty : λ.      rel_l2, l0 : on held-out vectors.
    sizes, norms : (K,) list vectors nearest to each concept, and their mean norm.      made_from : N.
    """

    space: FeatureSpace
    method: str
    v: Tensor
    penalty: float
    rel_l2: float
    l0: float
    sizes: NDArray[np.int64]
    norms: NDArray[np.float64]
    made_from: int

    @property
    def prefix(self) -> str | None:
        """What stands before ``cN`` in its concepts' addresses: nothing for the default method."""
        return None if self.method == DEFAULT else self.method


def check_dictionary(name: str) -> None:
    """Raise DataError for a dictionary that there is not."""
    if name not in DICTIONARIES and dictionary_path(name) is None:
        raise DataError(
            "no such dictionary",
            where="--set gig.dictionary",
            expected=f"{', '.join(DICTIONARIES)} or file:PATH",
            got=name,
        )


def dictionary_digest(name: str) -> str | None:
    """SHA-256 of a dictionary's file, hex; None for a name of the registry. Raises DataError if it cannot be read."""
    path = dictionary_path(name)
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError("the dictionary cannot be read", where=path, got=type(error).__name__) from error


def default_concepts(channels: int, vectors: int) -> int:
    """K = min(8 C, N / 4), at least one."""
    return max(1, min(8 * channels, vectors // _SHARE))


def make_dictionary(
    space: FeatureSpace, x: Tensor, held_out: Tensor, parameters: GigParameters, seed: int
) -> LayerDictionary:
    """The dictionary of one layer.

    Parameters
    ----------
    x : (N, C) its list vectors, not centred, on the device to work on.
    held_out : (M, C) vectors that λ is set and ``rel_l2`` measured on; the list vectors where there are none.

    Raises
    ------
    DataError : all vectors are zero, after centring; the layer is named.
    """
    centre = space.centre.to(x.device, x.dtype)
    centred = x - centre
    judged = held_out.to(x.device, x.dtype) - centre if len(held_out) else centred
    file = dictionary_path(parameters.dictionary)
    try:
        if file is not None:
            v = read_dictionary(file, space.layer.name, space.layer.channels).to(x.device)
        else:
            count = int((centred.abs().amax(1) > 0).sum()) if len(centred) else 0
            wished = parameters.concepts or default_concepts(space.layer.channels, count)
            v = DICTIONARIES[parameters.dictionary](centred, wished, seed, x.device).to(x.dtype)
    except DataError as error:
        raise DataError(
            f"no concepts for layer {space.layer.name}: {error.what}",
            where=error.where or space.layer.name,
            expected=error.expected,
            got=error.got,
            next_step=error.next_step,
        ) from error
    own = membership(centred, v)
    penalty = penalty_for(judged, v, wished_active(len(v), parameters.l0))
    codes = lasso(judged, v, penalty)
    return LayerDictionary(
        space,
        "file" if file is not None else parameters.dictionary,
        v.float(),
        penalty,
        relative_error(judged, codes, v),
        codes.l0,
        own.sizes.cpu().numpy(),
        own.norms.cpu().numpy(),
        int((own.nearest >= 0).sum()),
    )


def nearest_vectors(
    dictionary: LayerDictionary, x: Tensor, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Per concept the ``count`` vectors of x (N, C) most like it: indices (K, n), cosines (K, n), best first."""
    v = dictionary.v.to(x.dtype)
    x = x.to(v.device)
    unit = torch.nn.functional.normalize(x - dictionary.space.centre.to(x.device, x.dtype), dim=1)
    best, indices = [], []
    step = max(1, 2**24 // max(1, len(x)))
    for start in range(0, len(v), step):
        # A stable sort: equal cosines keep the order of the images.
        found = (v[start : start + step] @ unit.T).sort(dim=1, descending=True, stable=True)
        best.append(found.values[:, :count].double())
        indices.append(found.indices[:, :count])
    return torch.cat(indices).cpu().numpy(), torch.cat(best).cpu().numpy()


def keep_layer(path: Path, dictionary: LayerDictionary, vectors: Vectors) -> None:
    """Write a layer's dictionary and list vectors to one file, beside and renamed. Raises DiskError."""
    arrays: dict[str, Any] = {
        "v": dictionary.v.cpu().numpy(),
        "numbers": np.array([dictionary.penalty, dictionary.rel_l2, dictionary.l0, dictionary.made_from]),
        "method": np.array(dictionary.method),
        **{name: getattr(dictionary, name) for name in ("sizes", "norms")},
        **vectors.columns(),
    }
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        beside.replace(path)


def read_layer(
    path: Path, space: FeatureSpace, device: torch.device | str = "cpu"
) -> tuple[LayerDictionary, Vectors]:
    """Undo :func:`keep_layer`, with the concepts on a device."""
    with np.load(path, allow_pickle=False) as file:
        arrays: Mapping[str, NDArray[Any]] = {name: file[name] for name in file.files}
    penalty, rel_l2, l0, made_from = arrays["numbers"].tolist()
    dictionary = LayerDictionary(
        space,
        str(arrays["method"]),
        torch.from_numpy(arrays["v"]).to(device),
        penalty,
        rel_l2,
        l0,
        arrays["sizes"],
        arrays["norms"],
        int(made_from),
    )
    return dictionary, Vectors.of(arrays)
