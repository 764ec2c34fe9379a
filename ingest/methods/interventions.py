"""What the ablations of an evaluation did to each class, as tables.

One Intervention for each kind of cut, scope, and with or without the last layer; `CHANGED` gives, per class, the
mean target logit of its images before and after, and the interval of the change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from atlas.address import short_id
from atlas.spool import Values
from ingest.methods.gcc_evaluation import KINDS, AllDrops
from ingest.methods.measures import Resampling

Columns = Mapping[str, Values]


def intervention_tables(
    drops: AllDrops, classes: Sequence[str | None], resampling: Resampling, run: str, seed: int = 0
) -> Iterator[tuple[str, Columns]]:
    """Intervention nodes and their effect on classes.

    Parameters
    ----------
    drops : of n queries.
    classes : (n,) id of the class whose logit was looked at; queries without one are left out.
    resampling : intervals over the sources of the n images.
    run : the id of the evaluation's run.
    seed : of the random controls.
    """
    nodes: dict[str, list[object]] = {name: [] for name in ("id", "kind", "baseline", "seed", "n")}
    edges: dict[str, list[object]] = {
        name: [] for name in ("start", "end", "metric", "before", "after", "low", "high")
    }
    for (scope, last), found in drops.items():
        clean = np.array([np.nan if d is None else d.clean for d in found])
        for kind in KINDS:
            lost = np.array([np.nan if d is None else d.by_kind[kind] for d in found])
            name = f"{kind} neurons, {scope}, {'with' if last else 'without'} the last layer"
            identity = short_id("i", run, name)
            row = (identity, name, "zero", seed, int((~np.isnan(lost)).sum()))
            for column, value in zip(nodes, row, strict=True):
                nodes[column].append(value)
            for own in sorted({c for c in classes if c is not None}):
                here = np.array([c == own for c in classes]) & ~np.isnan(lost)
                if not here.any():
                    continue
                before = float(clean[here].mean())
                low, high = resampling.interval(np.where(here, -lost, np.nan))
                after = before - float(lost[here].mean())
                ends = (None if np.isnan(low) else low, None if np.isnan(high) else high)
                for column, value in zip(edges, (identity, own, "logit", before, after, *ends), strict=True):
                    edges[column].append(value)
    yield "Intervention", nodes
    if edges["start"]:
        yield "Intervention-CHANGED-Class", edges
