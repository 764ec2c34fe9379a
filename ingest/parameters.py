"""``--set METHOD.NAME=VALUE``: any parameter of any method by its name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from atlas.errors import DataError
from ingest.job import IngestSpec

METHODS = ("gcc", "cla", "gig", "pure")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def with_settings(spec: IngestSpec, settings: Sequence[str]) -> IngestSpec:
    """The job with these parameters set; each text is ``METHOD.NAME=VALUE``.

    Raises DataError for an unknown method or name, or a value of another type than the default's.
    """
    for text in settings:
        path, _, value = text.partition("=")
        method, _, name = path.partition(".")
        names = {
            f"{m}.{n}": owner for m in METHODS for n, owner in _owners(getattr(spec, m), getattr(spec, m))
        }
        if path not in names or "=" not in text:
            close = difflib.get_close_matches(path, names, n=3, cutoff=0.3)
            raise DataError(
                "no such parameter",
                where=f"--set {text}",
                expected="METHOD.NAME=VALUE",
                got=path,
                next_step=f"closest: {', '.join(close)}; `atlas parameters` lists them",
            )
        spec = replace(spec, **{method: _changed(getattr(spec, method), name, value, text)})
    return spec


def parameters(spec: IngestSpec) -> Iterator[dict[str, str]]:
    """Rows (parameter, default) of all that can be set."""
    for method in METHODS:
        own = getattr(spec, method)
        for name, owner in _owners(own, own):
            yield {"parameter": f"{method}.{name}", "value": str(getattr(owner, name))}


def _owners(owner: Any, whole: Any) -> Iterator[tuple[str, Any]]:
    """Each plain field's name and the dataclass that holds it, nested ones included."""
    for field in fields(owner):
        value = getattr(owner, field.name)
        if is_dataclass(value):
            yield from _owners(value, whole)
        else:
            yield field.name, owner


def _changed(owner: Any, name: str, value: str, text: str) -> Any:
    for field in fields(owner):
        held = getattr(owner, field.name)
        if field.name == name:
            return replace(owner, **{name: _as(type(held), value, text)})
        if is_dataclass(held) and name in dict(_owners(held, held)):
            return replace(owner, **{field.name: _changed(held, name, value, text)})
    raise DataError("no such parameter", where=f"--set {text}")


def _as(kind: type, value: str, text: str) -> Any:
    try:
        return _TRUTH[value.lower()] if kind is bool else kind(value)
    except (ValueError, KeyError) as error:
        raise DataError(
            "not a value of this parameter", where=f"--set {text}", expected=kind.__name__, got=value
        ) from error
