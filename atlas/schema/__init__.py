"""The graph, declared once: the only spelling of labels, relationship types, keys and properties.

Constraints, indexes, load statements, Arrow schemas, query checks and the reference page all come from here.
"""

from atlas.schema.catalogue import (
    INDEXES,
    NODE_TYPES,
    PROPERTIES,
    RELATIONSHIP_TYPES,
    SCHEMA_VERSION,
    TABLES,
    node_type,
    relationship_type,
    table,
)
from atlas.schema.core import Index, Kind, NodeType, Property, RelationshipType, Table

__all__ = [
    "INDEXES",
    "NODE_TYPES",
    "PROPERTIES",
    "RELATIONSHIP_TYPES",
    "SCHEMA_VERSION",
    "TABLES",
    "Index",
    "Kind",
    "NodeType",
    "Property",
    "RelationshipType",
    "Table",
    "node_type",
    "relationship_type",
    "table",
]
