"""A table as CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io

from atlas.lookup import Table
from atlas.views.json import dumps


def document(answer: Table) -> str:
    """Header and rows; null is an empty field, lists and maps are JSON, floats keep all their digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(answer.columns)
    for row in answer.rows:
        writer.writerow(_field(row[column]) for column in answer.columns)
    return out.getvalue()


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return dumps(value)
