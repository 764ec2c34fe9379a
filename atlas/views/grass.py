"""How Neo4j Browser draws the graph: one colour and one caption per label, widths and captions per relationship."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from atlas.schema import NODE_TYPES, RELATIONSHIP_TYPES
from atlas.views.drawing import SCORES


@dataclass(frozen=True)
class Look:
    """Fill colour, caption with properties in braces, and diameter in pixels."""

    colour: str
    caption: str
    diameter: int = 50


# Colours of Okabe and Ito for what circuits are made of, their tints for the rest.
LOOKS: Mapping[str, Look] = {
    "Neuron": Look("#0072b2", "{layer} {channel}"),
    "Sense": Look("#56b4e9", "sense {ordinal}"),
    "Concept": Look("#009e73", "c{ordinal} {label}"),
    "Class": Look("#d55e00", "{name}", 65),
    "Image": Look("#e69f00", "{name}"),
    "Circuit": Look("#cc79a7", "{method} {id}", 65),
    "Layer": Look("#3d4c63", "{name}", 65),
    "Model": Look("#16181d", "{name}", 80),
    "Dictionary": Look("#7fcfb9", "{method} {K}"),
    "Dataset": Look("#8c4a1e", "{name}", 65),
    "ImageSet": Look("#f5d08a", "{kind} {size}"),
    "Run": Look("#8a8f98", "{method} {status}"),
    "Evaluation": Look("#b8a3d9", "{metric} {value}"),
    "Intervention": Look("#7a2e5d", "{kind}"),
    "Atlas": Look("#d9dce1", "schema {schema}"),
}
WIDE = "3px"


def sheet(*, functional: bool = False) -> dict[str, dict[str, str]]:
    """The style as rules by selector, in the order of the schema.

    ``functional`` writes colours as ``rgb(…)``: a Browser link cannot carry ``#``.
    """

    def colour(text: str) -> str:
        return "rgb({}, {}, {})".format(*_rgb(text)) if functional else text

    rules = {"node": {"diameter": "50px", "border-width": "2px", "font-size": "10px"}}
    for label in NODE_TYPES:
        look = LOOKS[label]
        rules[f"node.{label}"] = {
            "color": colour(look.colour),
            "border-color": colour(_darker(look.colour)),
            "text-color-internal": colour("#ffffff" if _luminance(look.colour) < 0.3 else "#16181d"),
            "caption": look.caption,
            "diameter": f"{look.diameter}px",
        }
    rules["relationship"] = {
        "color": colour("#8a8f98"),
        "shaft-width": "1px",
        "font-size": "8px",
        "padding": "3px",
        "text-color-external": colour("#16181d"),
        "text-color-internal": colour("#ffffff"),
        "caption": "{type}",
    }
    for name in RELATIONSHIP_TYPES:
        if name in SCORES:
            rules[f"relationship.{name}"] = {"shaft-width": WIDE, "caption": f"{{{SCORES[name]}}}"}
    return rules


def document() -> str:
    """The style as a `.grass` file, which Browser takes when it is dropped on its window."""
    lines = []
    for selector, properties in sheet().items():
        lines.append(f"{selector} {{")
        lines += [
            f"  {name}: '{value}';" if name == "caption" else f"  {name}: {value};"
            for name, value in properties.items()
        ]
        lines.append("}\n")
    return "\n".join(lines)


def command() -> str:
    """The style as a Browser command, which a link can carry."""
    return ":style " + json.dumps(sheet(functional=True), separators=(",", ":"))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _darker(colour: str) -> str:
    return "#" + "".join(f"{channel * 3 // 4:02x}" for channel in _rgb(colour))


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1), in [0, 1]."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _rgb(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
