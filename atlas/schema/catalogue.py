"""The declared names, looked up."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from atlas.errors import SchemaError
from atlas.schema.core import Index, NodeType, RelationshipType, Table
from atlas.schema.nodes import NODES
from atlas.schema.relationships import RELATIONSHIPS

SCHEMA_VERSION = 1

NODE_TYPES = MappingProxyType({node.label: node for node in NODES})
RELATIONSHIP_TYPES = MappingProxyType({relationship.type: relationship for relationship in RELATIONSHIPS})
# Nodes first: a relationship is loaded when both its ends are there.
TABLES = MappingProxyType(
    {node.label: Table(node.label, node.properties) for node in NODES}
    | {table.name: table for relationship in RELATIONSHIPS for table in relationship.tables}
)
PROPERTIES = frozenset(p.name for item in TABLES.values() for p in item.properties)

INDEXES: tuple[Index, ...] = (
    Index("neuron_place", "range", ("Neuron",), ("model", "layer", "channel")),
    Index("layer_name", "range", ("Layer",), ("name",)),
    Index("class_name", "range", ("Class",), ("name",)),
    Index("image_name", "range", ("Image",), ("name",)),
    Index("concept_layer", "range", ("Concept",), ("layer",)),
    Index("circuit_target", "range", ("Circuit",), ("target",)),
    Index("drives_circuit", "range", ("DRIVES",), ("circuit",), relationship=True),
    Index("attributes_scope", "range", ("ATTRIBUTES_TO",), ("scope",), relationship=True),
    Index("contributes_scope", "range", ("CONTRIBUTES_TO",), ("scope",), relationship=True),
    Index("atlas_text", "fulltext", ("Model", "Layer", "Class", "Image", "Concept"), ("name", "label")),
    Index("concept_vector", "vector", ("Concept",), ("vector",)),
)


def node_type(label: str) -> NodeType:
    """The declaration of a label.

    Raises SchemaError if there is none.
    """
    if label not in NODE_TYPES:
        raise SchemaError("unknown label", where=label, expected=_near(label, list(NODE_TYPES)), got=label)
    return NODE_TYPES[label]


def relationship_type(name: str) -> RelationshipType:
    """The declaration of a relationship type.

    Raises SchemaError if there is none.
    """
    if name not in RELATIONSHIP_TYPES:
        raise SchemaError(
            "unknown relationship type", where=name, expected=_near(name, list(RELATIONSHIP_TYPES)), got=name
        )
    return RELATIONSHIP_TYPES[name]


def table(name: str) -> Table:
    """The table of that name.

    Raises SchemaError if there is none.
    """
    if name not in TABLES:
        raise SchemaError("unknown table", where=name, expected=_near(name, list(TABLES)), got=name)
    return TABLES[name]


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return " or ".join(near) if near else "a name of the schema (docs/schema.md)"
