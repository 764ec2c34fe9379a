"""Text made safe for XML and HTML, and for JSON inside a page."""

from __future__ import annotations

import re
import unicodedata
from html import escape
from typing import Any

from atlas.views.json import dumps

# XML 1.0 has no place for these, however they are written.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    """Any value as text between tags or within a double-quoted attribute."""
    return escape(clean(str(value)), quote=True)


def clean(value: str) -> str:
    """A text with a replacement character for each one that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", value)


def script_json(value: Any) -> str:
    """A value as JSON for a ``<script type="application/json">``: it cannot end the element."""
    found = dumps(value)
    for character in "<>&\u2028\u2029":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found


def shorten(value: str, width: int) -> str:
    """Text cut in its middle to ``width`` columns of a fixed-width font; wide letters count twice."""
    if columns(value) <= width:
        return value
    head, tail = "", ""
    while columns(head) < (width - 1) // 2:
        head += value[len(head)]
    while columns(tail) < (width - 1) // 2:
        tail = value[-1 - len(tail)] + tail
    return f"{head}…{tail}"


def columns(value: str) -> int:
    """Columns that a text takes in a fixed-width font."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value
    )
