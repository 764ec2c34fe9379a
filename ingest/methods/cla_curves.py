"""What a circuit's size does: stability over images, and the effect of pruning it on its own class and on others.

Notation: S class scopes, each with a circuit per source and k; B judging images, each of one of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec
from ingest.methods.circuit_pruning import CIRCUIT, ZERO, Pruner
from ingest.methods.cla_overlap import Circuits
from ingest.methods.measures import Measure, Resampling
from ingest.numerics.cla_circuit import Array, Members
from ingest.numerics.overlap import jaccard_matrix
from ingest.numerics.traversal import Node
from ingest.segments import OUTPUT, Trace

KINDS = (ZERO, CIRCUIT)


@dataclass(frozen=True)
class Judged:
    """B images: x (B, 3, H, W), the scope (B,) of each, its class's model output (B,), and its row of the store."""

    x: Tensor
    scope: tuple[int, ...]
    output: tuple[int, ...]
    rows: tuple[int, ...]


def partners(related: NDArray[np.bool_]) -> dict[str, tuple[int, ...]]:
    """Per scope whose circuit is cut: its own (*target*), the next related class's, the next unrelated class's.

    ``related`` (S, S). Left out is what some class has none of.
    """
    count = len(related)
    found = {"target": tuple(range(count))}
    for name, wanted in (("related", related), ("unrelated", ~related)):
        nexts = [
            next((j % count for j in range(i + 1, i + count) if wanted[i, j % count]), None)
            for i in range(count)
        ]
        if None not in nexts:
            found[name] = tuple(j for j in nexts if j is not None)
    return found


def stability_measures(listed: Circuits, judged: Circuits, suffix: str) -> list[Measure]:
    """Per source and k: the mean Jaccard of a class's circuit with that of its other images, and with other classes'.

    ``judged`` has the same sources, named with ``suffix``, from other images.
    """
    found = []
    for (source, k), own in listed.items():
        other = judged.get((source + suffix, k))
        unstable = sum(not circuit.stable for circuit in own)
        sweeps = max(circuit.sweeps for circuit in own)
        settings = {"source": source, "k": k, "sweeps": sweeps, "unstable": unstable}
        if other is None:
            continue
        both = jaccard_matrix([c.members for c in (*own, *other)])[: len(own), len(own) :]
        same = np.diag(both)
        apart = both[~np.eye(len(own), dtype=bool)]
        for name, values in (("same_class", same), ("other_class", apart)):
            if len(values):
                mean = float(values.mean())
                found.append(
                    Measure(
                        "circuit_stability", mean, np.nan, np.nan, len(values), {**settings, "with": name}
                    )
                )
    return found


def effect_measures(
    trace: Trace,
    layers: Sequence[LayerSpec],
    circuits: Mapping[tuple[str, int], Sequence[Members]],
    judged: Judged,
    cuts: Mapping[str, Sequence[int]],
    resampling: Resampling,
) -> list[Measure]:
    """Per source, k and kind of pruning what images lose of their class's logit and accuracy.

    ``cuts`` : per name whose circuit the images of each scope are judged under, as from :func:`partners`.
    """
    pruner, found = Pruner(trace, layers), []
    with torch.inference_mode():
        clean = _logits(trace.values(judged.x, [OUTPUT])[OUTPUT])
    for (source, k), own in circuits.items():
        for kind in KINDS:
            for name, partner in cuts.items():
                after = _pruned(pruner, [own[j] for j in partner], judged, kind)
                settings = {"source": source, "k": k, "kind": kind, "on": name}
                for metric, values in _losses(clean, after, judged.output).items():
                    found.append(resampling.mean(metric, values, settings))
    return found


def _pruned(pruner: Pruner, own: Sequence[Members], judged: Judged, kind: str) -> Array:
    """(B, outputs) logits, each image under the circuit given for its scope."""
    after: Array | None = None
    for scope in sorted(set(judged.scope)):
        rows = [i for i, s in enumerate(judged.scope) if s == scope]
        cut = _nodes(own[scope])
        x = judged.x[rows]
        values = pruner.values(pruner.clean(x, [(cut, kind)]), cut, kind)[OUTPUT]
        if after is None:
            after = np.empty((len(judged.scope), values.shape[1]))
        after[rows] = _logits(values)
    return np.empty((0, 0)) if after is None else after


def _losses(clean: Array, after: Array, output: Sequence[int]) -> dict[str, Array]:
    """(B,) per metric: the class's logit lost, and whether the answer was right before and is not now."""
    rows = np.arange(len(output))
    right = clean.argmax(axis=1) == np.array(output)
    wrong = after.argmax(axis=1) != np.array(output)
    return {
        "pruned_logit_drop": clean[rows, list(output)] - after[rows, list(output)],
        "pruned_accuracy_drop": np.where(right, wrong.astype(np.float64), np.nan),
    }


def _nodes(members: Members) -> frozenset[Node]:
    return frozenset((layer, channel) for layer, own in enumerate(members) for channel in own)


def _logits(values: Tensor) -> Array:
    logits: Array = values.double().cpu().numpy()
    return logits
