"""The concepts of a set of images: what each adds to the output, and what the strongest are made of.

Per image: GIG of every concept of every layer to one output; the concepts of largest mean are the layer's *top*
concepts, and the targets of GIG from the layer before. Means are over images, each with the same weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ingest.methods.gig import Clean, Decomposed, Explainer, Scores
from ingest.methods.gig_tables import Averages
from ingest.segments import OUTPUT

WARNED = 0.05
"""Completeness errors above this are told."""


@dataclass(frozen=True)
class ScopeGraph:
    """Averages over the images of a scope.

    tops : layer → ordinals of its top concepts, the strongest first.
    to_output : layer → averages (1, K).      to_next : (source, target) → averages (T, K), targets in order of tops.
    errors : completeness errors of all images and targets, (E,) float64.
    """

    tops: Mapping[int, list[int]]
    to_output: Mapping[int, Averages]
    to_next: Mapping[tuple[int, int], Averages]
    errors: Tensor


def adjacent(explainer: Explainer) -> list[tuple[int, int]]:
    """Layers that follow each other, where the second is computed from the first."""
    last = len(explainer.dictionaries) - 1
    return [(n, n + 1) for n in range(last) if explainer.joined(n, n + 1)]


def scope_graph(
    explainer: Explainer,
    batches: Sequence[Tensor],
    output: int | None,
    top: int,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> ScopeGraph:
    """Explain an output on some images.

    Parameters
    ----------
    batches : images (B, 3, H, W) each.
    output : of the class; None for each image's largest logit.
    top : concepts per layer that are targets: those of the largest signed mean.
    pairs : (source, target) layers; the adjacent ones by default.
    """
    pairs = adjacent(explainer) if pairs is None else pairs
    layers = range(len(explainer.dictionaries))
    needed: list[tuple[int, int | None]] = [*((n, None) for n in layers), *pairs]
    # One batch is kept, so that the usual small scope is decomposed once.
    kept: dict[int, tuple[Clean, list[Decomposed]]] = {}

    def opened(index: int) -> tuple[Clean, list[Decomposed]]:
        if index not in kept:
            kept.clear()
            clean = explainer.clean(batches[index], needed)
            nodes = [explainer.dictionaries[n].space.node for n in layers]
            kept[index] = clean, [explainer.decompose(n, clean[nodes[n]]) for n in layers]
        return kept[index]

    to_output: dict[int, list[Scores]] = {n: [] for n in layers}
    for index in range(len(batches)):
        clean, codes = opened(index)
        for n in layers:
            to_output[n].append(_to_output(explainer, codes[n], output, clean))
    tops = {n: _top(found, top) for n, found in to_output.items()}
    to_next: dict[tuple[int, int], list[Scores]] = {pair: [] for pair in pairs if tops[pair[1]]}
    for index in range(len(batches)):
        clean, codes = opened(index)
        for pair, found in to_next.items():
            targets = torch.tensor(tops[pair[1]])
            found.append(explainer.to_concepts(codes[pair[0]], pair[1], targets, clean))
    every = [scores for part in (to_output, to_next) for found in part.values() for scores in found]
    return ScopeGraph(
        tops,
        {n: _averages(found) for n, found in to_output.items()},
        {pair: _averages(found) for pair, found in to_next.items()},
        torch.cat([scores.error.flatten().cpu() for scores in every]),
    )


def _to_output(explainer: Explainer, codes: Decomposed, output: int | None, clean: Clean) -> Scores:
    if output is not None:
        return explainer.to_outputs(codes, [output], clean)
    wanted = clean[OUTPUT].argmax(1)
    every = explainer.to_outputs(codes, sorted(set(wanted.tolist())), clean)
    place = {output: n for n, output in enumerate(sorted(set(wanted.tolist())))}
    own = torch.tensor([place[int(w)] for w in wanted], device=every.scores.device)
    rows = torch.arange(len(own), device=own.device)
    return Scores(every.scores[rows, own][:, None], every.error[rows, own][:, None])


def _top(found: Sequence[Scores], count: int) -> list[int]:
    """Ordinals of the largest means above zero, ties by ordinal."""
    mean = torch.cat([scores.scores[:, 0] for scores in found]).mean(0)
    order = mean.sort(descending=True, stable=True)
    return [int(n) for n, value in zip(order.indices, order.values, strict=True) if value > 0][:count]


def _averages(found: Sequence[Scores]) -> Averages:
    return Averages.of(torch.cat([scores.scores for scores in found]).cpu().numpy())


def run_facts(numbers: Mapping[str, float], steps: int) -> dict[str, Any]:
    """Facts about a run from the sums over its shards: vectors whose position SRD did not choose, contributions, and
    how complete they are; with a remark where the mean error, or the share of targets above it, is over 5 %.
    """
    measured = max(1.0, numbers.get("targets", 0.0))
    over = numbers.get("incomplete", 0.0) / measured
    error = numbers.get("completeness_error", 0.0) / measured
    remarks = []
    if error > WARNED or over > WARNED:
        remarks.append(
            f"GIG: the completeness error is {error:.1%} of Σ|GIG| on average and over {WARNED:.0%} for "
            f"{over:.1%} of targets; more steps (--set gig.steps={2 * steps}) make it smaller, and so does "
            "--set gig.residual=true where a LayerNorm reads the layer, which turns sharply near zero"
        )
    return {
        "vectors": int(numbers.get("vectors", 0)),
        "fallback_vectors": int(numbers.get("fallbacks", 0)),
        "targets": int(numbers.get("targets", 0)),
        "completeness_error": error,
        "incomplete_share": over,
        "contributions": int(numbers.get("contributions", 0)),
        "remarks": remarks,
    }
