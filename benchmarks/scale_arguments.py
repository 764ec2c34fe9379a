"""What the catalogue's queries are asked about: things drawn from the atlas itself, half popular, half at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from atlas.query_file import Query
from atlas.store.connection import Connection

DRAWN = 40
RANDOM = "MATCH (n:{label}) WITH n ORDER BY rand() LIMIT $drawn RETURN n.id"
POPULAR = (
    "MATCH (n:{label}) WITH n, COUNT {{ {pattern} }} AS degree ORDER BY degree DESC LIMIT $drawn RETURN n.id"
)
# Most relationships of the kind that the queries about a thing of this label walk.
PATTERNS = {
    "Neuron": "(n)<-[:FLOWS_TO]-()",
    "Concept": "(n)<-[:EXPRESSES]-()",
    "Class": "(n)<-[:RESPONDS_TO]-()",
    "Sense": "(n)<-[:ASSIGNED_TO]-()",
    "Image": "(n)<-[:ACTIVATED_BY]-()",
}
OF_METHOD = (
    "MATCH (n:Circuit {method: $method}) WHERE NOT EXISTS { (n)-[:MERGED_INTO]->() } "
    "WITH n ORDER BY rand() LIMIT 20 * $drawn WITH n ORDER BY n.edges DESC LIMIT $drawn RETURN n.id"
)
EXPLAINED = (
    "MATCH (n:Circuit {method: 'gcc'}) WITH DISTINCT n.target AS id ORDER BY rand() LIMIT $drawn RETURN id"
)
EXPLAINED_CLASSES = (
    "MATCH (n:Circuit {method: 'gcc'}) WITH DISTINCT n.target AS id ORDER BY rand() LIMIT 2 * $drawn "
    "MATCH (:Image {id: id})-[:LABELLED]->(c:Class) RETURN DISTINCT c.id LIMIT $drawn"
)
# GIG was asked about few single images; it has nothing to say of others.
EXPLAINED_BY_GIG = (
    "MATCH (n:Image)<-[:EXPLAINS]-(:Circuit) WITH DISTINCT n MATCH (n)-[:EXPRESSES]->(:Concept)-[r:CONTRIBUTES_TO]->() "
    "WHERE r.scope = n.id RETURN DISTINCT n.id LIMIT $drawn"
)
PAIRS = (
    "MATCH (a:Neuron) WITH a ORDER BY rand() LIMIT $drawn "
    "MATCH (a)-[r:FLOWS_TO {rank_out: 2}]->()-[s:FLOWS_TO {rank_out: 1}]->()-[t:FLOWS_TO {rank_out: 3}]->(b:Neuron) "
    "RETURN a.id, b.id"
)
SERVED = (
    "MATCH (c:Class)<-[:EXPLAINS]-(:Circuit) WITH DISTINCT c ORDER BY rand() LIMIT $drawn "
    "MATCH (c)<-[r:CONTRIBUTES_TO {scope: c.id}]-(:Concept)-[s:CONTRIBUTES_TO]->(d:Class) "
    "WHERE d <> c AND s.scope = d.id AND r.rank_in <= 5 AND s.rank_in <= 5 "
    "RETURN c.id, head(collect(DISTINCT d.id))"
)
OF_CLA = ("circuit_attributions", "circuit_attributions_drawing", "circuit_class_scores", "weakest_link")
OF_GIG = ("concept_edges_of_image", "concept_edges_of_image_drawing")
# What has no exact circuit has nothing to say to these, and would make them look fast.
OF_EXPLAINED = (
    "circuit_of_image",
    "circuit_of_image_drawing",
    "exact_circuits_of_class",
    "exact_circuits_of_class_drawing",
    "image_circuits",
    "image_senses",
    "nearest_images_by_circuit",
    "neurons_shared_by_classes",
)
# Optional arguments without which a query is not the question that its name says.
ASKED = {
    "nearest_concepts": ("concept",),
    "traversal_circuit": ("image",),
    "traversal_circuit_drawing": ("image",),
}
TEXTS = ("n00000012", "layer3*", "val_00000*", "n0000001* AND NOT n00000012")


@dataclass(frozen=True)
class Asker:
    """Arguments for every query of the catalogue, from one atlas; ``model`` is the one that is asked about."""

    connection: Connection
    model: str
    seed: int = 0

    def _ids(self, cypher: str, **params: Any) -> list[Any]:
        found = self.connection.read(cypher, {"drawn": DRAWN, **params}, timeout=0).rows
        return [row[0] if len(row) == 1 else row for row in found]

    def _both(self, label: str) -> list[str]:
        popular = self._ids(POPULAR.format(label=label, pattern=PATTERNS[label]))
        return [x for pair in zip(popular, self._ids(RANDOM.format(label=label)), strict=False) for x in pair]

    @cached_property
    def pools(self) -> dict[str, list[Any]]:
        """What there is to ask about, by type."""
        layers = self._ids("MATCH (n:Layer {model: $model}) RETURN n.id ORDER BY n.ordinal", model=self.model)
        explained, images = self._ids(EXPLAINED), self._both("Image")
        return {
            "model": [self.model],
            "layer": layers[1:],
            "run": self._ids("MATCH (n:Run) RETURN n.id"),
            "neuron": [i for i in self._both("Neuron") if i.startswith(self.model)],
            "concept": [i for i in self._both("Concept") if i.startswith(self.model)],
            "class": self._both("Class"),
            "sense": self._both("Sense"),
            "image": [x for pair in zip(explained, images, strict=False) for x in pair],
            "circuit": self._ids(OF_METHOD, method="gcc"),
            "circuit of a class": self._ids(OF_METHOD, method="cla"),
            "explained class": self._ids(EXPLAINED_CLASSES),
            "explained image": explained,
            "image in concepts": self._ids(EXPLAINED_BY_GIG),
            "pair": self._ids(PAIRS),
            "classes": self._ids(SERVED),
        }

    def arguments(self, query: Query, turn: int) -> dict[str, Any]:
        """One complete set of arguments, the same for the same turn."""
        draw = random.Random(f"{self.seed} {query.name} {turn}")
        given: dict[str, Any] = {p.name: p.default for p in query.parameters}
        wanted = [p for p in query.parameters if p.required or p.name in ASKED.get(query.name, ())]
        for p in wanted:
            given[p.name] = self._value(query.name, p.type, draw)
        given |= self._together(query.name, set(given), draw)
        if turn % 2 and given.get("model", "") is None:
            given["model"] = self.model
        return given

    def _value(self, name: str, kind: str, draw: random.Random) -> object:
        special: Mapping[str, Callable[[], object]] = {
            "string": lambda: (
                draw.choice(TEXTS) if name == "things_by_text" else draw.choice(self.pools["class"])
            ),
            "strings": lambda: [
                draw.choice(self.pools[pool])
                for pool in ("neuron", "concept", "sense", "image")
                for _ in range(10)
            ],
            "classes": lambda: list(draw.choice(self.pools["classes"])),
        }
        if kind in special:
            return special[kind]()
        if name in OF_EXPLAINED and kind in ("image", "class"):
            return draw.choice(self.pools[f"explained {kind}"])
        if name in OF_GIG and kind == "image":
            return draw.choice(self.pools["image in concepts"])
        return draw.choice(self.pools["circuit of a class" if name in OF_CLA else kind])

    def _together(self, query: str, names: set[str], draw: random.Random) -> dict[str, Any]:
        """Arguments that only make sense as a pair."""
        if {"class_a", "class_b"} <= names and query in OF_EXPLAINED:
            both = draw.sample(self.pools["explained class"], 2)
            return dict(zip(("class_a", "class_b"), both, strict=True))
        if {"class_a", "class_b"} <= names:
            return dict(zip(("class_a", "class_b"), draw.choice(self.pools["classes"]), strict=True))
        if {"source", "target"} <= names:
            return dict(zip(("source", "target"), draw.choice(self.pools["pair"]), strict=True))
        return {}
