"""The reference page of the graph, docs/schema.md, from the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atlas.schema.catalogue import INDEXES, NODE_TYPES, RELATIONSHIP_TYPES, SCHEMA_VERSION
from atlas.schema.core import SCORED, NodeType, Property, RelationshipType

_HEAD = f"""# The graph

Generated from `atlas/schema/` by `make docs`; schema version {SCHEMA_VERSION}, kept as `Atlas.schema`.

Every node has a unique `id`, a readable address. A node or relationship with `run` was written by that one run
and goes with it. What several runs share lists them in `runs` and goes with the last of them; of a shared
property the value of the first run stays. A property that is not *required* may be absent.

Kinds: `json` is a string that holds a JSON document; `integers`, `floats` and `strings` are lists.
"""
_SCORED = """Types marked *scored* also carry these, because raw scores of different layers, targets and methods
cannot be compared. In a pruned graph an absent edge is not a zero.
"""


def page() -> str:
    """The whole page, Markdown."""
    parts = [_HEAD, "## Labels\n"]
    parts += [_node(node) for node in NODE_TYPES.values()]
    parts += ["## Relationships\n", _SCORED, _properties(SCORED)]
    parts += [_relationship(relationship) for relationship in RELATIONSHIP_TYPES.values()]
    parts += ["## Indexes\n", _indexes()]
    return "\n".join(parts)


def _node(node: NodeType) -> str:
    return f"### {node.label}\n\n{node.meaning}\n\n{_properties(node.properties)}"


def _relationship(relationship: RelationshipType) -> str:
    ends = " · ".join(f"`({a})-[:{relationship.type}]->({b})`" for a, b in relationship.ends)
    key = ["both ends", *(f"`{name}`" for name in relationship.key)]
    facts = f"Key: {' + '.join(key)}.{' Scored.' if relationship.scored else ''}"
    shown = [p for p in relationship.properties if not relationship.scored or p not in SCORED]
    table = f"\n{_properties(shown)}" if shown else ""
    return f"### {relationship.type}\n\n{relationship.meaning}\n\n{ends}\n\n{facts}\n{table}"


def _properties(properties: Sequence[Property]) -> str:
    rows = [
        (f"`{p.name}`", p.kind + (", required" if p.required else ""), p.unit, p.meaning) for p in properties
    ]
    return _table(("property", "kind", "unit", "meaning"), rows)


def _indexes() -> str:
    rows = [
        (f"`{index.name}`", index.kind, ", ".join(index.targets), ", ".join(index.properties))
        for index in INDEXES
    ]
    unique = [(f"`{label.lower()}_id`", "unique", label, "id") for label in NODE_TYPES]
    return _table(("name", "kind", "on", "properties"), [*unique, *rows])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
