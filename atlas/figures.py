"""Drawings of what is in the atlas: one thing, or two compared, with pictures, scores, links and their Cypher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas import catalogue, lookup
from atlas.errors import QueryError
from atlas.lookup import Subgraph
from atlas.views import browser, grouping, pictures
from atlas.views.drawing import Caption, Context, Drawing, Vertex, of_subgraph, of_two

if TYPE_CHECKING:
    from atlas.store.connection import Connection

LIMIT = 3000
# Which question draws a thing; by method where that matters.
DRAWN = {
    ("circuit", "gcc"): "circuit_edges",
    ("image", "gcc"): "circuit_of_image",
    ("class", "gcc"): "exact_circuits_of_class",
    ("circuit", "cla"): "circuit_attributions",
    ("class", "cla"): "circuit_of_class",
    ("class", "gig"): "concepts_of_class",
    ("image", "gig"): "concept_edges_of_image",
    ("neuron", ""): "neuron_edges",
    ("concept", ""): "concept_lineage_down",
    ("sense", ""): "sense_edges",
}
# Whose answer it is where the question does not depend on the method asked for.
ALWAYS = {"neuron": "gcc", "concept": "gig", "sense": "pure"}
METHODS = {
    "gcc": "GCC, granular concept circuits",
    "cla": "CLA, cross-layer attribution",
    "gig": "GIG, generalised integrated gradients",
    "pure": "PURE, senses of neurons",
}
# What the link of a vertex asks.
ASKS = {
    "Neuron": ("neuron_edges", "neuron"),
    "Image": ("neuron_images", "image"),
    "Class": ("exact_circuits_of_class", "class"),
    "Concept": ("concept_neurons", "concept"),
    "Sense": ("sense_edges", "sense"),
}
NEXT = "`atlas circuit IMAGE --exact` computes and stores the circuits of an image"


@dataclass(frozen=True)
class Part:
    """One thing to draw: what it is called, the question with its complete arguments, and whose answer it is."""

    name: str
    query: str
    values: Mapping[str, Any]
    method: str = ""


@dataclass(frozen=True)
class Places:
    """Where Neo4j Browser is, None for a server whose Browser is not known, and where the pictures lie."""

    browser: str | None
    media: Path


@dataclass(frozen=True)
class Studio:
    """An open atlas and the places around it, which drawings are made from."""

    connection: Connection
    places: Places

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers in execution order, model after model."""
        return tuple(row["name"] for row in lookup.run(self.connection, "layers", {"limit": 100_000}).rows)

    def draw(self, parts: Sequence[Part], largest: int = grouping.LARGEST) -> Drawing:
        """One thing, or two compared; by modules where there are more than ``largest`` nodes.

        Raises QueryError if there is nothing to draw, or more than two things.
        """
        if len(parts) > 2:
            raise QueryError("too much for one drawing", expected="one thing or two", got=len(parts))
        tables = [_asked(self.connection, part) for part in parts]
        graphs = [table.subgraph or Subgraph((), ()) for table in tables]
        for part, graph in zip(parts, graphs, strict=True):
            if not graph.edges:
                raise QueryError(
                    "there is nothing to draw", where=part.name, expected="edges", got="none", next_step=NEXT
                )
        full = any(table.full for table in tables)
        caption, context = self._caption(parts, full=full), Context(self.layers, self._scores(parts))
        made = (
            of_subgraph(caption, graphs[0], context)
            if len(parts) == 1
            else of_two(caption, graphs[0], graphs[1], context)
        )
        pictured = pictures.with_pictures(made, self.places.media, self._thumbs(made))
        return self._linked(grouping.readable(pictured, largest))

    def _caption(self, parts: Sequence[Part], *, full: bool) -> Caption:
        queries = [catalogue.get(part.query) for part in parts]
        drawn = [catalogue.get(query.drawing or query.name) for query in queries]
        statements = [browser.statement(q, part.values) for q, part in zip(drawn, parts, strict=True)]
        names = (parts[0].name, parts[1].name) if len(parts) == 2 else None
        methods = " and ".join(dict.fromkeys(METHODS[p.method] for p in parts if p.method in METHODS))
        about = " · ".join(filter(None, (methods, queries[0].summary.rstrip("."))))
        return Caption(
            " and ".join(part.name for part in parts),
            about,
            names,
            ";\n\n".join(statements),
            self.link(statements[0]),
            (*self._told(parts), *(("only the strongest edges",) if full else ())),
        )

    def _told(self, parts: Sequence[Part]) -> tuple[str, ...]:
        """What a stored circuit is the circuit of."""
        if len(parts) != 1 or "circuit" not in parts[0].values:
            return ()
        row = lookup.run(self.connection, "circuit_by_id", {"circuit": parts[0].values["circuit"]}).rows[0]
        return (f"of {row['target']}", *((f"root {row['root']}",) if row["root"] else ()))

    def _scores(self, parts: Sequence[Part]) -> dict[str, float]:
        """The members' own scores, where one circuit is drawn: as stored, or a concept's contribution to the class."""
        if len(parts) != 1:
            return {}
        query, values = parts[0].query, parts[0].values
        if query == "concepts_of_class":
            rows = lookup.ask(self.connection, catalogue.get(query), values).rows
            return {row["concept"]: row["gig"] for row in rows}
        circuit = values.get("circuit")
        if query == "circuit_of_class":
            rows = lookup.ask(self.connection, catalogue.get(query), {**values, "limit": 1}).rows
            circuit = rows[0]["circuit"] if rows else None
        if circuit is None:
            return {}
        rows = lookup.run(self.connection, "circuit_nodes", {"circuit": circuit, "limit": 100_000}).rows
        return {row["node"]: row["score"] for row in rows if row["score"] is not None}

    def _thumbs(self, drawing: Drawing) -> dict[str, str]:
        units = [v.id for v in drawing.vertices if v.kind in ("Neuron", "Concept", "Sense", "Image")]
        params = {"units": units, "limit": len(units) or 1}
        rows = lookup.run(self.connection, "top_images", params).rows
        return {row["unit"]: row["thumb"] for row in rows if row["thumb"]}

    def _linked(self, drawing: Drawing) -> Drawing:
        linked = tuple(replace(v, link=self._vertex_link(v)) for v in drawing.vertices)
        return replace(drawing, vertices=linked)

    def _vertex_link(self, vertex: Vertex) -> str | None:
        if vertex.members > 1 or vertex.kind not in ASKS:
            return None
        name, parameter = ASKS[vertex.kind]
        query = catalogue.get(name)
        values = {p.name: p.default for p in query.parameters} | {parameter: vertex.id}
        return self.link(browser.statement(catalogue.get(query.drawing or name), values))

    def link(self, statement: str) -> str | None:
        """A link that opens Browser with a statement; None if it is not known where Browser is."""
        if self.places.browser is None:
            return None
        target = self.connection.target
        base = self.places.browser
        return browser.link(base, target.uri, target.user, statement, database=target.database)


def _asked(connection: Connection, part: Part) -> lookup.Table:
    query = catalogue.get(part.query)
    if query.drawing is None and query.draws is None:
        raise QueryError("this question has no drawing", where=part.query, next_step="`atlas query list`")
    return lookup.ask(connection, catalogue.get(query.drawing or query.name), part.values)
