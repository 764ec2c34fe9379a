"""The whole report: which pages there are, in which order they are written, and the folder as a whole or not at all."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from atlas.errors import DataError
from atlas.figures import Studio
from atlas.lookup import Table
from atlas.report import classes, overview, units
from atlas.report.site import STYLE, Site
from atlas.store.files import disk_errors
from atlas.store.runs import list_runs
from atlas.views import pages

MARK = ".circuit-atlas-report"
MOST = 1_000_000
AT_ONCE = 2
BATCH = 100
Batch = tuple[str, list[str]]
Progress = Callable[[str, int, int], None]


def build(studio: Studio, folder: Path, progress: Progress) -> Site:
    """Write the report of an atlas into a folder, in place of an earlier report.

    Pages stand under the same names whenever it is made. Raises DataError if something else lies in the folder.
    """
    _check(folder)
    beside = folder.with_name(f".{folder.name}.part")
    with disk_errors(folder):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        (beside / MARK).write_text(
            "a report of circuit-atlas; `atlas report` replaces it\n", encoding="utf-8"
        )
    site = Site(studio, beside)
    try:
        _pages(site, progress)
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    site.folder = folder
    return site


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError("not a folder", where=folder, next_step="name another one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise DataError(
            "the folder holds something else",
            where=folder,
            expected="an empty or new folder, or an earlier report",
            got=sorted(path.name for path in folder.iterdir())[:3],
            next_step="name another folder",
        )


def _pages(site: Site, progress: Progress) -> None:
    site.save(STYLE, pages.style())
    models = site.ask("models").table.rows
    site.root = models[0]["model"] if len(models) == 1 else ""
    layers = _rows(site, "layers", "layer", "Layer")
    found_classes = _rows(site, "classes", "class", "Class")
    members = _rows(site, "units_of_circuits", "unit", None)
    for row in members:
        site.add(row["kind"], row["unit"])
    overview.index(site, layers)
    overview.all_units(site, members)
    overview.evaluations(site)
    runs = list_runs(site.studio.connection)
    overview.runs(site, runs)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Half of a page's time is the server's.
        roots = [row["model"] for row in models]
        for done, _ in enumerate(pool.map(lambda row: classes.write(site, row, roots), found_classes)):
            progress("classes", done + 1, len(found_classes))
    for done, row in enumerate(layers):
        progress("layers", done, len(layers))
        overview.layer(site, row, [m for m in members if m["layer"] == row["layer"]])
    site.runs = {(run.model, run.method): run.id for run in runs}
    _units(site, members, progress)


def _units(site: Site, members: Sequence[dict[str, Any]], progress: Progress) -> None:
    split = {row["unit"].rpartition(":")[0] for row in members if row["kind"] == "Sense"}

    def ahead(batch: Batch) -> dict[str, Table]:
        kind, names = batch
        return units.ahead(site, kind, names, [name for name in names if name in split])

    done = 0
    batches = _batches(members)
    # The server answers for the next pages while these are written.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming = deque(pool.submit(ahead, batch) for batch in batches[:AT_ONCE])
        for number, (kind, names) in enumerate(batches):
            site.ready = coming.popleft().result()
            if number + AT_ONCE < len(batches):
                coming.append(pool.submit(ahead, batches[number + AT_ONCE]))
            for name in names:
                if kind == "Neuron":
                    units.neuron(site, name, split=name in split)
                elif kind == "Concept":
                    units.concept(site, name)
                else:
                    units.sense(site, name)
                done += 1
                progress("neurons, concepts, senses", done, len(members))


def _batches(members: Sequence[dict[str, Any]]) -> list[Batch]:
    """Units of one kind at a time, in the order given within a kind."""
    kinds: dict[str, list[str]] = {}
    for row in members:
        kinds.setdefault(row["kind"], []).append(row["unit"])
    return [
        (kind, names[i : i + BATCH]) for kind, names in kinds.items() for i in range(0, len(names), BATCH)
    ]


def _rows(site: Site, query: str, key: str, kind: str | None) -> list[dict[str, Any]]:
    rows = [dict(row) for row in site.ask(query, limit=MOST).table.rows]
    if kind is not None:
        for row in rows:
            site.add(kind, row[key])
    return rows
