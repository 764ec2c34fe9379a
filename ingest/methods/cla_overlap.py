"""Do circuits of related classes overlap? Figures over all k, beside circuits that know less.

Notation: S class scopes; per scope the matrices of all links; a *source* of circuits is one way to score them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.errors import DataError
from ingest.methods.cla_stage import ClaStage
from ingest.methods.cla_tables import CONTRASTIVE, RAW
from ingest.methods.measures import Measure
from ingest.methods.weight_paths import weight_paths
from ingest.numerics.cla_circuit import (
    Array,
    ClaCircuit,
    Members,
    contrasted,
    find_circuit,
    layer_sizes,
    random_circuit,
)
from ingest.numerics.overlap import jaccard_matrix, pair_auroc, permuted
from ingest.segments import Trace

PERMUTATIONS = 1000
WEIGHTS, RANDOM, TRACED = "weights", "random", " traced from the logit"
Scores = Sequence[Sequence[NDArray[np.float32]]]
"""Per scope, per link (C, D)."""
Circuits = Mapping[tuple[str, int], Sequence[ClaCircuit]]
"""(source, k) → one circuit a scope."""


def sweep_of_k(widths: Sequence[int]) -> tuple[int, ...]:
    """1, 2, 4, … up to 256 or half of the widest layer, beyond which circuits are whole layers."""
    most = max(1, min(256, max(widths) // 2))
    return tuple(2**n for n in range(most.bit_length()))


def parts_of(related: str, names: Sequence[str]) -> list[frozenset[str]]:
    """What each class is made of: by a JSON file {class: [part, …]}, or the text that joins parts of names.

    Raises DataError if the file cannot be read or leaves out a class.
    """
    path = Path(related)
    if path.suffix != ".json":
        return [frozenset(filter(None, name.split(related) if related else [name])) for name in names]
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [frozenset(str(part) for part in found[name]) for name in names]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "cannot read what classes are made of",
            where=path,
            expected="{class: [part, …]} for every class",
            got=f"{type(error).__name__}: {error}",
        ) from error


def relation(parts: Sequence[frozenset[str]]) -> NDArray[np.bool_]:
    """(S, S) whether two classes have a part in common."""
    return np.array([[bool(a & b) for b in parts] for a in parts])


class Scored:
    """Scores of S scopes, and every way to make a circuit's matrices of them, one scope in memory at a time."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._sums = [
            sum((own[i].astype(np.float64) for own in scores[1:]), scores[0][i].astype(np.float64))
            for i in range(len(scores[0]))
        ]
        self.variants = (RAW, CONTRASTIVE) if len(scores) > 1 else (RAW,)

    def __iter__(self) -> Iterator[dict[str, list[Array]]]:
        """Per scope, per variant the matrices of all links."""
        for own in self._scores:
            wide = [m.astype(np.float64) for m in own]
            found = {RAW: wide}
            if CONTRASTIVE in self.variants:
                found[CONTRASTIVE] = [
                    contrasted(m, total, len(self._scores)) for m, total in zip(wide, self._sums, strict=True)
                ]
            yield found


def circuits_of(
    stage: ClaStage, scores: Scores, suffix: str = "", ks: Sequence[int] | None = None
) -> dict[tuple[str, int], list[ClaCircuit]]:
    """Raw and contrastive circuits of all scopes for every k, from one set of scores."""
    found: dict[tuple[str, int], list[ClaCircuit]] = {}
    for matrices in Scored(scores):
        for name, own in matrices.items():
            for k in ks or sweep_of_k(stage.widths):
                circuit = stage.circuit(own, layer_sizes(stage.widths, k))
                found.setdefault((name + suffix, k), []).append(circuit)
    return found


def traced_circuits(
    stage: ClaStage, scores: Scores, outputs: Sequence[int], ks: Sequence[int]
) -> dict[tuple[str, int], list[ClaCircuit]]:
    """Circuits by the same scores from each class's logit backward, without sweeps: what these do to them."""
    head = next((n for n, link in enumerate(stage.links) if link.target is None and link.hops == 1), None)
    found: dict[tuple[str, int], list[ClaCircuit]] = {}
    if head is None:
        return found
    for matrices, output in zip(Scored(scores), outputs, strict=True):
        for name, own in matrices.items():
            for k in ks:
                sizes = layer_sizes(stage.widths, k)
                circuit = find_circuit(stage.chain(own), sizes, own[head][:, output], cap=0)
                found.setdefault((name + TRACED, k), []).append(circuit)
    return found


def weight_circuits(
    stage: ClaStage, trace: Trace, outputs: Sequence[int], ks: Sequence[int]
) -> dict[tuple[str, int], Sequence[ClaCircuit]]:
    """Circuits by path norms of weights, from each class's logit backward.

    Without sweeps: weights are the same for all classes, and sweeps would lead all of them to one circuit.
    """
    paths = [weight_paths(trace, link) for link in stage.links]
    chain = stage.chain(paths)
    head = next((p for p, link in zip(paths, stage.links, strict=True) if link.target is None), None)
    found: dict[tuple[str, int], Sequence[ClaCircuit]] = {}
    for k in ks:
        sizes = layer_sizes(stage.widths, k)
        found[WEIGHTS, k] = [
            find_circuit(chain, sizes, last=None if head is None else head[:, output], cap=0)
            for output in outputs
        ]
    return found


def overlap_measures(
    circuits: Circuits, related: NDArray[np.bool_], seed: int, permutations: int = PERMUTATIONS
) -> list[Measure]:
    """AUROC per source and k, over all layers and the last one, with its permutation test, and mean overlaps."""
    found = []
    upper = np.triu_indices(len(related), 1)
    for (source, k), own in circuits.items():
        members = [circuit.members for circuit in own]
        for part, layers in (("all", None), ("last", [len(members[0]) - 1])):
            matrix = jaccard_matrix(members, layers)
            p, null = permuted(matrix, related, permutations, seed)
            settings = {"source": source, "k": k, "layers": part, "p": p, "null_95": null}
            value = pair_auroc(matrix, related)
            found.append(Measure("circuit_overlap_auroc", value, np.nan, np.nan, len(upper[0]), settings))
            for name, pairs in (("related", related[upper]), ("unrelated", ~related[upper])):
                values = matrix[upper][pairs]
                mean = float(values.mean()) if len(values) else float("nan")
                found.append(
                    Measure(
                        "circuit_jaccard",
                        mean,
                        np.nan,
                        np.nan,
                        len(values),
                        {"source": source, "k": k, "layers": part, "pairs": name},
                    )
                )
    return found


def random_members(stage: ClaStage, count: int, k: int, seed: int) -> list[Members]:
    """Uniform circuits of the same sizes."""
    rng = np.random.default_rng([seed, k])
    return [random_circuit(stage.widths, layer_sizes(stage.widths, k), rng) for _ in range(count)]


def random_measures(stage: ClaStage, count: int, ks: Sequence[int], seed: int) -> list[Measure]:
    """Mean Jaccard of uniform circuits, per k."""
    found = []
    upper = np.triu_indices(count, 1)
    for k in ks:
        values = jaccard_matrix(random_members(stage, count, k, seed))[upper]
        settings = {"source": RANDOM, "k": k, "layers": "all", "pairs": "all"}
        mean = float(values.mean()) if len(values) else float("nan")
        found.append(Measure("circuit_jaccard", mean, np.nan, np.nan, len(values), settings))
    return found


def random_groups(groups: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
    """The images of all groups dealt anew into groups of the same sizes."""
    pool = [row for group in groups for row in group]
    order = np.random.default_rng(seed).permutation(len(pool))
    dealt, start = [], 0
    for group in groups:
        dealt.append(sorted(pool[i] for i in order[start : start + len(group)]))
        start += len(group)
    return dealt
