"""The guide to Neo4j Browser: a page that walks through this atlas, with its own queries filled in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atlas.views import pages
from atlas.views.markup import text


@dataclass(frozen=True)
class Step:
    """One thing to look at; ``link`` opens Browser with the statement filled in."""

    heading: str
    words: str
    statement: str
    link: str | None


# Heading, words, query; a step whose query has no example in the atlas is left out.
WALK = (
    (
        "The layers",
        "Each node is a traced point of the model; FEEDS goes in execution order.",
        "layers",
    ),
    (
        "The circuit of an image",
        "Neurons that this image sets off, from the first layer on. The number on an arrow is its sensitivity: "
        "what is lost of the target without the source.",
        "circuit_of_image",
    ),
    ("One circuit", "The same from one root neuron alone.", "circuit_edges"),
    (
        "Why this neuron",
        "The images it answers most, and their classes. Do they have something in common?",
        "neuron_images",
    ),
    ("Where it leads", "What flows into it and out of it over the whole data set.", "neuron_edges"),
    (
        "What circuits share",
        "Circuits of other images that hold the same neurons.",
        "circuits_sharing_neurons",
    ),
    (
        "Concepts of a class",
        "Directions in feature space that carry the class, layer by layer.",
        "concepts_of_class",
    ),
    ("What two classes share", "Concepts that count for both, and how much.", "shared_concepts"),
    ("How a shared concept is built", "Its strongest sources, layer by layer.", "concept_lineage_down"),
    ("Neurons that split", "Polysemantic neurons and their senses.", "polysemantic_neurons"),
    ("The senses of a neuron", "What feeds each sense and which classes it serves.", "senses_of_neuron"),
)


def document(where: str, style: str, steps: Iterable[Step]) -> str:
    """The page. ``where`` is Browser's address, ``style`` the command that sets the style."""
    steps = list(steps)
    parts = [
        f'<p>Browser is at <a href="{text(where)}">{text(where)}</a>. Log in as the user that <code>atlas server '
        "status</code> names, with the password in the file it names. Each link below opens Browser with a query "
        "filled in; press the triangle beside it to run it.</p>\n",
        "<h2>Colours and captions</h2>\n<p>Drop <code>atlas.grass</code> on Browser's window, or run the command "
        "below. <code>:style reset</code> undoes it.</p>\n",
        pages.query(style, None),
        "<h2>Only what was asked for</h2>\n<p>By default Browser also draws every other edge between the nodes of an "
        "answer. The managed server turns that off; on another server run this once.</p>\n",
        pages.query(":config autoComplete: false", None),
        "<h2>Favourites</h2>\n<p>Drop <code>favourites.zip</code> on Browser's window: the star on the left then "
        "holds every question of the catalogue, filled in with things of this atlas.</p>\n",
    ]
    for i, step in enumerate(steps, 1):
        parts.append(f"<h2>{i}. {text(step.heading)}</h2>\n<p>{text(step.words)}</p>\n")
        parts.append(pages.query(step.statement, step.link, opened=True))
    if not steps:
        parts.append("<h2>Nothing to see yet</h2>\n<p>Fill the atlas with <code>atlas demo</code>.</p>\n")
    return pages.page("Circuit Atlas in Neo4j Browser", "".join(parts))
