"""Pages of neurons, concepts and senses: pictures first, then numbers, each with its query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlas import address
from atlas.address import PICTURED_BY
from atlas.lookup import Table
from atlas.report.site import Answer, Site, facts
from atlas.views.drawing import shown
from atlas.views.markup import text

SHOWN = 12
# Heading, query, parameter of the unit, rows.
NEURON = (
    ("Classes it tells apart", "neuron_classes", "neuron", 8),
    ("What flows in and out", "neuron_edges", "neuron", 10),
    ("Circuits it is part of", "neuron_circuits", "neuron", 10),
)
CONCEPT = (
    ("Classes it carries", "concept_classes", "concept", 12),
    ("What it is built from", "concept_lineage_down", "concept", 20),
    ("Where it goes", "concept_lineage_up", "concept", 20),
    ("Its largest channels", "concept_neurons", "concept", 12),
)
# Ten of each kind of evidence.
SENSE = (("What feeds it and what it drives", "sense_edges", "sense", 40),)
# What the page of each kind asks: query, rows or None for the query's own number.
ASKED: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "Neuron": (
        ("neuron_by_address", None),
        ("neuron_images", SHOWN),
        *((query, rows) for _, query, _, rows in NEURON),
    ),
    "Concept": (
        ("concept_by_address", None),
        ("concept_images", SHOWN),
        *((query, rows) for _, query, _, rows in CONCEPT),
    ),
    "Sense": (("sense_images", SHOWN), *((query, rows) for _, query, _, rows in SENSE)),
}


def ahead(site: Site, kind: str, units: Sequence[str], split: Sequence[str] = ()) -> dict[str, Table]:
    """All that the pages of some units of one kind will ask, in a query or two for each question."""
    parameter, found = kind.lower(), dict[str, Table]()
    for query, rows in ASKED[kind]:
        found |= site.ask_ahead(query, parameter, units, **({} if rows is None else {"limit": rows}))
    if split:
        found |= site.ask_ahead("senses_of_neuron", "neuron", split)
    return found


def neuron(site: Site, unit: str, *, split: bool = False) -> None:
    """The page of a neuron; ``split`` if it has senses."""
    page = site.known[unit]
    own = site.ask("neuron_by_address", neuron=unit)
    parts = [facts(own.table.rows[0])] if own.table.rows else []
    parts.append(_evidence(site, page, unit, "Neuron"))
    images = site.ask("neuron_images", neuron=unit, limit=SHOWN)
    parts.append(_gallery(site, page, images, "Images it answers most", "value"))
    parts += _tables(site, page, unit, NEURON)
    if split:
        parts.append(f"<h2>Its senses</h2>\n{site.table(page, site.ask('senses_of_neuron', neuron=unit))}")
    site.write(page, f"Neuron {site.short(unit)}", "".join(parts))


def concept(site: Site, unit: str) -> None:
    """The page of a concept."""
    page = site.known[unit]
    own = site.ask("concept_by_address", concept=unit)
    parts = [facts(own.table.rows[0], skip=("vector",))] if own.table.rows else []
    parts.append(_evidence(site, page, unit, "Concept"))
    images = site.ask("concept_images", concept=unit, limit=SHOWN)
    parts.append(_gallery(site, page, images, "Images that show it", "similarity"))
    parts += _tables(site, page, unit, CONCEPT)
    site.write(page, f"Concept {site.short(unit)}", "".join(parts))


def sense(site: Site, unit: str) -> None:
    """The page of a sense, which links to its neuron."""
    page = site.known[unit]
    parsed = address.parse(unit)
    owner = str(address.Address(parsed.root, parsed.layer, parsed.channel))
    to = site.links(page)(owner)
    words = text(site.short(owner))
    parts = [f'<p>A sense of {f"""<a href="{text(to)}">{words}</a>""" if to else words}.</p>\n']
    parts.append(_evidence(site, page, unit, "Sense"))
    images = site.ask("sense_images", sense=unit, limit=SHOWN)
    parts.append(_gallery(site, page, images, "Its most typical images", "similarity"))
    parts += _tables(site, page, unit, SENSE)
    site.write(page, f"Sense {site.short(unit)}", "".join(parts))


def _tables(site: Site, page: str, unit: str, rows: tuple[tuple[str, str, str, int], ...]) -> list[str]:
    parts = []
    for heading, query, parameter, limit in rows:
        answer = site.ask(query, **{parameter: unit, "limit": limit})
        if answer.table.rows:
            parts.append(f"<h2>{heading}</h2>\n{site.table(page, answer)}")
    return parts


def _gallery(site: Site, page: str, answer: Answer, heading: str, scored: str) -> str:
    from atlas.views import pages

    images = [
        (row["image"], f"{row['name']}" + ("" if row[scored] is None else f" {shown(row[scored], 3)}"))
        for row in answer.table.rows
    ]
    return (
        f"<h2>{heading}</h2>\n{site.pictures(page, images)}{pages.query(answer.statement, answer.link)}"
        if images
        else ""
    )


def _evidence(site: Site, page: str, unit: str, kind: str) -> str:
    """The evidence picture of a unit, if it was made."""
    run = site.runs.get((unit.split("/")[0], PICTURED_BY[kind]))
    path = None if run is None else site.copied(address.picture_name(run, unit))
    if path is None:
        return ""
    above = "../" * page.count("/")
    words = "Its best images, cut to its receptive field, dark where it does not look"
    picture = f'<img src="{text(above + path)}" alt="{text(words)}">'
    return f"<figure>{picture}<figcaption>{text(words)}</figcaption></figure>\n"
