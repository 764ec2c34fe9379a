"""Graphs to draw: a small one with awkward names, and one of any size."""

from __future__ import annotations

import random

from atlas.lookup import Subgraph

AWKWARD = "\"quotes\" <b>&amp; 'angle' ñ 数字 ع \x07"
ROOT = "net@0123abcd"
# A model, layer, neuron, class, image and circuit called $name where a name is free; the image's file is gone.
AWKWARD_GRAPH = """
CREATE (m:Model {id: 'net@0123abcd', name: $name, digest: 'd', weights: $name})
CREATE (m)-[:HAS_LAYER]->(l:Layer {id: 'net@0123abcd/a', name: 'a', model: m.id, ordinal: 0, kind: 'conv',
  channels: 1})-[:HAS_NEURON]->(n:Neuron {id: 'net@0123abcd/a/0', model: m.id, layer: 'a', channel: 0})
CREATE (d:Dataset {id: 'set', name: 'set', digest: 'd'})
CREATE (d)-[:HAS_CLASS]->(k:Class {id: 'set/' + $name, name: $name})
CREATE (d)-[:HAS_IMAGE]->(i:Image {id: 'img:0000000000000001', name: $name, thumb: '../../secret.png'})
CREATE (i)-[:LABELLED]->(k)
CREATE (n)-[:ACTIVATED_BY {value: 1.0, rank: 1, x: 1.0, y: 1.0, run: 'r1'}]->(i)
CREATE (c:Circuit {id: 'c00000000001', method: 'gcc', target: i.id})-[:EXPLAINS]->(i)
CREATE (c)-[:INCLUDES {role: 'root', run: 'r1'}]->(n)
"""


def neuron(layer: str, channel: int) -> dict[str, object]:
    return {
        "id": f"{ROOT}/{layer}/{channel}",
        "type": "Neuron",
        "layer": layer,
        "channel": channel,
        "mean": 0.25,
    }


def small() -> Subgraph:
    """An image, four neurons of two layers, a concept and a class; one negative score, two parallel edges."""
    image = {"id": "img:0000000000000001", "type": "Image", "name": f"{AWKWARD}.png"}
    label = {"id": "set/c", "type": "Class", "name": AWKWARD}
    concept = {"id": f"{ROOT}/b/c3", "type": "Concept", "layer": f"{ROOT}/b", "ordinal": 3, "label": None}
    a0, a1, b0, b1 = neuron("a", 0), neuron("a", 1), neuron("b", 0), neuron("b", 1)
    edges = (
        {"source": a0["id"], "target": b0["id"], "type": "ATTRIBUTES_TO", "score": 0.5, "scope": "set/c"},
        {"source": a0["id"], "target": b0["id"], "type": "ATTRIBUTES_TO", "score": -0.75, "scope": "set/d"},
        {"source": a1["id"], "target": b1["id"], "type": "ATTRIBUTES_TO", "score": 0.25, "scope": "set/c"},
        {"source": b0["id"], "target": label["id"], "type": "ATTRIBUTES_TO", "score": 2.0, "scope": "set/c"},
        {"source": b1["id"], "target": label["id"], "type": "ATTRIBUTES_TO", "score": 1.0, "scope": "set/c"},
        {"source": a0["id"], "target": image["id"], "type": "ACTIVATED_BY", "value": 1.5, "rank": 1},
        {"source": concept["id"], "target": label["id"], "type": "CONTRIBUTES_TO", "gig": -0.5},
    )
    return Subgraph((image, label, concept, a0, a1, b0, b1), edges)


def layered(columns: int, rows: int, edges: int, seed: int = 0) -> Subgraph:
    """Neurons of ``columns`` layers, each edge to the next layer and mostly within one of four communities."""
    draw = random.Random(seed)
    nodes = tuple(neuron(f"layer{i}", j) for i in range(columns) for j in range(rows))
    ends = set()
    while len(ends) < edges:
        i, j = draw.randrange(columns - 1), draw.randrange(rows)
        k = draw.randrange(rows) if draw.random() < 0.05 else (j + 4 * draw.randrange(rows)) % rows
        ends.add((f"{ROOT}/layer{i}/{j}", f"{ROOT}/layer{i + 1}/{k}"))
    made = tuple(
        {"source": a, "target": b, "type": "DRIVES", "sensitivity": draw.random(), "circuit": "c00000000001"}
        for a, b in sorted(ends)
    )
    return Subgraph(nodes, made)
