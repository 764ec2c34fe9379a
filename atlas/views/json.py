"""The JSON contract: exactly one document, ``query``, ``params``, ``columns``, ``rows`` and perhaps ``subgraph``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from atlas.lookup import Table


def document(answer: Table) -> str:
    """A table as one JSON document, ended by a newline. NaN and infinities become null."""
    content: dict[str, Any] = {
        "query": answer.name,
        "params": answer.params,
        "columns": list(answer.columns),
        "rows": list(answer.rows),
    }
    if answer.subgraph is not None:
        content["subgraph"] = {
            "nodes": list(answer.subgraph.nodes),
            "edges": list(answer.subgraph.edges),
        }
    return dumps(content) + "\n"


def dumps(value: Any) -> str:
    """Any value of a table as strict JSON."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
