"""Things of this atlas that show something, one of each kind, for guides and favourites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atlas import lookup
from atlas.query_file import LISTS, Parameter, Query

if TYPE_CHECKING:
    from atlas.store.connection import Connection

Examples = Mapping[str, Any]


def find(connection: Connection) -> Examples:
    """By parameter type: a model, class, image, circuit, neuron, concept, layer, and two classes; what there is."""
    found: dict[str, Any] = {}
    rows = lookup.run(connection, "models", {"limit": 1}).rows
    if not rows:
        return found
    found["model"] = rows[0]["model"]
    found["layer"] = lookup.run(connection, "layers", {"model": found["model"], "limit": 1000}).rows[-1][
        "layer"
    ]
    classes = [row["class"] for row in lookup.run(connection, "classes", {"limit": 1000}).rows]
    if classes:
        found["class"] = classes[0]
        found["classes"] = classes[:2]
    for name in classes:
        circuits = lookup.run(connection, "circuits_of_class", {"class": name, "limit": 1}).rows
        if circuits:
            found |= _of_circuit(connection, name, circuits[0])
            break
    found |= _concepts(connection, found)
    return found


def _of_circuit(connection: Connection, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    found = {"class": name, "circuit": row["circuit"], "neuron": row["root"], "image": row["target"]}
    members = lookup.run(connection, "circuit_nodes", {"circuit": row["circuit"], "limit": 100_000}).rows
    found["last neuron"] = members[-1]["node"] if members else None
    if not str(found["image"]).startswith("img:"):
        del found["image"]
    return {kind: value for kind, value in found.items() if value is not None}


def _concepts(connection: Connection, found: Examples) -> dict[str, Any]:
    if "class" not in found:
        return {}
    rows = lookup.run(connection, "concepts_of_class", {"class": found["class"], "limit": 1}).rows
    return {"concept": rows[0]["concept"]} if rows else {}


def missing(query: Query, examples: Examples) -> tuple[str, ...]:
    """Required parameters for which the atlas has no example."""
    return tuple(p.name for p in query.parameters if p.required and _example(p, examples) is None)


def values(query: Query, examples: Examples) -> dict[str, Any]:
    """Complete arguments of a query: examples, defaults, and where there is neither, a text to write over."""
    return {p.name: _value(p, examples) for p in query.parameters}


def _value(parameter: Parameter, examples: Examples) -> Any:
    if not parameter.required:
        # Optional images and concepts are what a question is about; other defaults mean "any".
        return examples.get(parameter.type) if parameter.type in ("image", "concept") else parameter.default
    found = _example(parameter, examples)
    if found is not None:
        return found
    return [] if parameter.type in LISTS or parameter.type.endswith("s") else f"({parameter.name})"


def _example(parameter: Parameter, examples: Examples) -> Any:
    if parameter.type == "class" and parameter.name.endswith("_b"):
        return (examples.get("classes") or [None])[-1]
    if parameter.name == "units":
        return [examples["neuron"]] if "neuron" in examples else None
    if parameter.name == "target" and parameter.type == "neuron":
        return examples.get("last neuron")
    return examples.get(parameter.type)
