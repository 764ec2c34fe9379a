"""Effects of an intervention as tables of the graph, and as rows to print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atlas.address import short_id
from atlas.spool import Values
from ingest.methods.circuit_pruning import CIRCUIT, EDGES, ZERO
from ingest.methods.effects import Change

BASELINES = {ZERO: "zero", CIRCUIT: "recomputed without the circuit", EDGES: "recomputed without the edges"}
OWN = "circuit"
Columns = Mapping[str, Values]


@dataclass(frozen=True)
class Effect:
    """What one cut (the circuit, ``top`` or ``random``) changed."""

    control: str
    change: Change
    predicted: float | None


def effect_tables(
    effects: Sequence[Effect], kind: str, circuit: str | None, run: str, seed: int
) -> Iterator[tuple[str, Columns]]:
    """Intervention nodes, one per control, the circuit that was cut, and what changed."""
    controls = list(dict.fromkeys(effect.control for effect in effects))
    ids = {control: short_id("i", run, control) for control in controls}
    own: dict[str, dict[str, int]] = {control: {} for control in controls}
    for effect in effects:
        own[effect.control][effect.change.group] = effect.change.n
    yield (
        "Intervention",
        {
            "id": [ids[control] for control in controls],
            "kind": [f"{kind} {control}" for control in controls],
            "baseline": [BASELINES[kind]] * len(controls),
            "seed": [seed] * len(controls),
            "n": [sum(own[control].values()) for control in controls],
        },
    )
    if circuit is not None and OWN in ids:
        yield "Intervention-CUTS-Circuit", {"start": [ids[OWN]], "end": [circuit]}
    changes = [effect.change for effect in effects]
    yield (
        "Intervention-CHANGED-Class",
        {
            "start": [ids[effect.control] for effect in effects],
            "end": [change.group for change in changes],
            "metric": [change.metric for change in changes],
            "before": [change.before for change in changes],
            "after": [change.after for change in changes],
            "low": [None if np.isnan(change.low) else change.low for change in changes],
            "high": [None if np.isnan(change.high) else change.high for change in changes],
            "predicted": [effect.predicted for effect in effects],
        },
    )


def effect_rows(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Effects as rows of a table: control, class, metric, before, after, change, low, high, predicted, images."""
    return [
        {
            "control": effect.control,
            "class": effect.change.group,
            "metric": effect.change.metric,
            "before": effect.change.before,
            "after": effect.change.after,
            "change": effect.change.after - effect.change.before,
            "low": None if np.isnan(effect.change.low) else effect.change.low,
            "high": None if np.isnan(effect.change.high) else effect.change.high,
            "predicted": effect.predicted,
            "images": effect.change.n,
        }
        for effect in effects
    ]
