"""Pages about the whole: overview, layers, lists of units, evaluations, runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from atlas.lookup import Table
from atlas.report.site import Site, facts
from atlas.store.runs import RunInfo
from atlas.views import pages, plots
from atlas.views.markup import text

Rows = Sequence[Mapping[str, Any]]
CLASSES = 60
LISTED = 5000


def index(site: Site, layers: Rows) -> None:
    """The overview: models, layers, classes, and what classes share."""
    page = "index.html"
    models = site.ask("models")
    if not models.table.rows:
        words = "<p>This atlas is empty. <code>atlas demo</code> or <code>atlas ingest</code> fills it.</p>\n"
        site.write(page, "Circuit Atlas", words)
        return
    parts = [f"<h2>Models</h2>\n{site.table(page, models)}"]
    parts.append(f"<h2>Layers</h2>\n{site.table(page, site.ask('layers'))}")
    for model in [row["model"] for row in models.table.rows]:
        named = f" of {text(model)}" if len(models.table.rows) > 1 else ""
        answers = site.ask("class_accuracy", model=model, limit=1000)
        parts.append(f"<h2>Classes{named}</h2>\n{site.table(page, answers)}")
    parts.append(_shared(site))
    hubs = site.ask("hubs")
    if hubs.table.rows:
        parts.append(f"<h2>Neurons with most flow through them</h2>\n{site.table(page, hubs)}")
    site.write(page, "Circuit Atlas", "".join(parts))


def _shared(site: Site) -> str:
    """The matrix of shared concepts; nothing in an atlas without concepts."""
    answer = site.ask("shared_matrix")
    rows = answer.table.rows
    if not rows:
        return ""
    names = sorted({row["class_a"] for row in rows} | {row["class_b"] for row in rows})[:CLASSES]
    cells = {(row["class_a"], row["class_b"]): float(row["strength"]) for row in rows}
    # A class's name, without its data set where all are of one.
    short = {
        name: name.split("/", 1)[1] if len({n.split("/")[0] for n in names}) == 1 else name for name in names
    }
    pairs = {(short[a], short[b]): v for (a, b), v in cells.items() if a in short and b in short}
    caption = "Concepts that two classes share: sum of the smaller of the two shares"
    shown = plots.heat_map([short[name] for name in names], pairs, caption)
    return f"<h2>Shared concepts</h2>\n{shown}{pages.query(answer.statement, answer.link)}"


def layer(site: Site, row: Mapping[str, Any], members: Rows) -> None:
    """The page of a layer: its facts, its concepts, and what circuits name of it."""
    page = site.known[row["layer"]]
    parts = [facts(row)]
    concepts = site.ask("concepts_of_layer", layer=row["layer"])
    if concepts.table.rows:
        parts.append(f"<h2>Concepts</h2>\n{site.table(page, concepts)}")
    busy = site.ask("neurons_in_most_circuits", layer=row["layer"])
    if busy.table.rows:
        parts.append(f"<h2>Neurons in circuits of most classes</h2>\n{site.table(page, busy)}")
    parts.append(f"<h2>What circuits name of it</h2>\n{_listed(site, page, members)}")
    site.write(page, f"Layer {site.short(row['layer'])}", "".join(parts))


def all_units(site: Site, members: Rows) -> None:
    """The list of all units with a page."""
    page = "units.html"
    answer = site.question("units_of_circuits", limit=len(members) or 1)
    more = (
        f" The first {LISTED:,} stand here, all on the pages of their layers."
        if len(members) > LISTED
        else ""
    )
    site.write(
        page,
        "Neurons, concepts and senses",
        f"<p>{len(members):,} that circuits name, those of most circuits first.{more}</p>\n"
        f"{_listed(site, page, members[:LISTED])}{pages.query(answer.statement, answer.link)}",
    )


def _listed(site: Site, page: str, members: Rows) -> str:
    if not members:
        return '<p class="soft">None.</p>\n'
    rows = tuple({"unit": m["unit"], "kind": m["kind"], "circuits": m["circuits"]} for m in members)
    table = Table("units", {}, ("unit", "kind", "circuits"), rows)
    return pages.table(table, site.links(page), site.short)


def evaluations(site: Site) -> None:
    """Every measured figure, as plots per metric's first word and as a table, and what interventions did."""
    page = "evaluations.html"
    answer = site.ask("evaluations", limit=2000)
    parts = []
    for subject in dict.fromkeys(row["subject"] for row in answer.table.rows):
        own = [row for row in answer.table.rows if row["subject"] == subject]
        bars = [
            plots.Bar(_told(row), row["value"], row["low"], row["high"])
            for row in sorted(own, key=_order)
            if row["value"] is not None
        ]
        small = [bar for bar in bars if abs(bar.value) <= 1.0]
        large = [bar for bar in bars if abs(bar.value) > 1.0]
        for group, words in ((small, "between −1 and 1"), (large, "beyond")):
            parts.append(
                plots.intervals(group[:80], f"Figures {words} of {site.short(str(subject))}, 95 % intervals")
            )
    parts.append(f"<h2>All figures</h2>\n{site.table(page, answer)}")
    for heading, query in (
        ("Interventions", "interventions"),
        ("Predicted against measured", "predicted_against_measured"),
    ):
        found = site.ask(query)
        if found.table.rows:
            parts.append(f"<h2>{heading}</h2>\n{site.table(page, found)}")
    site.write(page, "Evaluations", "".join(parts))


def _settings(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that tell a figure from others of its metric."""
    try:
        settings = json.loads(row["settings"] or "{}")
    except ValueError:
        settings = {}
    return {k: v for k, v in settings.items() if isinstance(v, str | int | float)}


def _told(row: Mapping[str, Any]) -> str:
    """A metric with its settings."""
    extra = " ".join(f"{k}={v}" for k, v in _settings(row).items())
    return f"{row['metric']} {extra}".strip()


def _order(row: Mapping[str, Any]) -> tuple[str, list[tuple[str, float, str]]]:
    """By metric, then by settings, words before numbers, numbers by size."""
    given = [
        (k, float("-inf"), v) if isinstance(v, str) else (k, float(v), "")
        for k, v in sorted(_settings(row).items(), key=lambda item: (not isinstance(item[1], str), item[0]))
    ]
    return row["metric"], given


def runs(site: Site, found: Sequence[RunInfo]) -> None:
    """Provenance: every run with its parameters."""
    page = "runs.html"
    parts = [site.table(page, site.ask("runs", limit=1000))]
    for run in found:
        about = {
            **{
                name: getattr(run, name)
                for name in ("model", "dataset", "data", "version", "seed", "code", "device")
            },
            **{name: getattr(run, name) for name in ("started", "finished", "requires", "digest")},
        }
        given = json.dumps(dict(run.parameters), indent=1, sort_keys=True, ensure_ascii=False)
        parts.append(
            f"<h2>{text(run.id)}: {text(run.method)}</h2>\n{facts(about)}"
            f'<pre tabindex="0" role="region" aria-label="parameters of {text(run.id)}">{text(given)}</pre>\n'
        )
    site.write(page, "Runs", "".join(parts))
