"""Pages of classes: the circuit by each method, neurons, concepts, likeness, mistakes, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atlas.errors import QueryError
from atlas.figures import METHODS, Part
from atlas.report.site import Site
from atlas.views import html, pages, svg
from atlas.views.drawing import Drawing
from atlas.views.markup import text

METHOD_QUERIES = (
    ("gcc", "exact_circuits_of_class"),
    ("cla", "circuit_of_class"),
    ("gig", "concepts_of_class"),
)
EDGES = 400
TABLES = (
    ("Neurons that tell it apart", "class_neurons", 15),
    ("Concepts that carry it", "concepts_of_class", 20),
    ("Circuits of it and of its images", "circuits_of_class", 15),
    ("Classes whose circuits are most like it", "classes_by_circuit_overlap", 8),
)
IMAGES = 16


def write(site: Site, row: dict[str, Any], models: Sequence[str]) -> None:
    """The page of a class of the table ``classes``, with a drawing of its circuit for each method that has one."""
    identity, name = row["class"], row["name"]
    page = site.known[identity]
    parts = [_figure(site, page, identity, name, *pair) for pair in METHOD_QUERIES]
    for heading, query, limit in TABLES:
        answer = site.ask(query, **{"class": identity, "limit": limit})
        if answer.table.rows:
            parts.append(f"<h2>{heading}</h2>\n{site.table(page, answer)}")
    for model in models:
        wrong = site.ask("misclassified_images", model=model, limit=IMAGES, **{"class": identity})
        by = f" by {text(model)}" if len(models) > 1 else ""
        if wrong.table.rows:
            parts.append(f"<h2>Taken for another class{by}</h2>\n{site.table(page, wrong)}")
    images = site.ask("class_images", limit=IMAGES, **{"class": identity})
    shown = [(r["image"], r["name"]) for r in images.table.rows]
    parts.append(f"<h2>Images</h2>\n{site.pictures(page, shown)}")
    parts.append(pages.query(images.statement, images.link))
    site.write(page, f"Class {name}", "".join(parts))


def _figure(site: Site, page: str, identity: str, name: str, method: str, query: str) -> str:
    """The circuit by one method as a picture that leads to the interactive page; nothing if there is none."""
    question = site.question(query, limit=EDGES, **{"class": identity})
    try:
        drawing = site.studio.draw([Part(name, query, question.values, method)])
    except QueryError:
        return ""
    stem = page.removesuffix(".html")
    site.save(f"{stem}-{method}.svg", svg.document(drawing))
    site.save(f"{stem}-{method}.html", html.document(_relinked(site, page, drawing), linked="Its page"))
    site.written.append(f"{stem}-{method}.html")
    base = stem.split("/")[-1]
    words = f"The circuit of {name} by {METHODS[method]}"
    said = f"{svg.describe(drawing)}. The picture leads to the interactive drawing."
    return (
        f'<h2>{text(words)}</h2>\n<figure><a href="{text(base)}-{method}.html">'
        f'<img src="{text(base)}-{method}.svg" alt="{text(words)}" loading="lazy"></a>'
        f"<figcaption>{text(said)}</figcaption></figure>\n"
        f"{pages.query(question.statement, question.link)}"
    )


def _relinked(site: Site, page: str, drawing: Drawing) -> Drawing:
    """Vertices that lead to their pages in the site."""
    to = site.links(page.replace(".html", "-x.html"))
    return replace(drawing, vertices=tuple(replace(v, link=to(v.id)) for v in drawing.vertices))
