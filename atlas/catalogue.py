"""``queries/*.cypher`` by name: found in the wheel and in the checkout, checked when first asked for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from atlas.errors import QueryError
from atlas.query_file import Query, read, refused

Catalogue = Mapping[str, Query]


def folders() -> tuple[Path, ...]:
    """The folder of the wheel or of the checkout, then the user's own (``ATLAS_QUERIES``).

    Raises QueryError if there is none.
    """
    shipped = _shipped()
    own = os.environ.get("ATLAS_QUERIES")
    if own is None:
        return (shipped,)
    if not Path(own).is_dir():
        raise QueryError("no such folder", where=own, next_step="correct ATLAS_QUERIES, or unset it")
    return (shipped, Path(own))


@lru_cache(maxsize=1)
def _shipped() -> Path:
    here = Path(__file__).resolve().parent
    shipped = next((f for f in (here / "queries", here.parent / "queries") if any(f.glob("*.cypher"))), None)
    if shipped is None:
        raise QueryError(
            "the query files are missing", where=here / "queries", next_step="install circuit-atlas anew"
        )
    return shipped


def load() -> Catalogue:
    """All queries by name, sorted, read once per set of folders.

    Raises QueryError for a bad file.
    """
    return _load(folders())


@lru_cache(maxsize=8)
def _load(places: tuple[Path, ...]) -> Catalogue:
    return load_folders(*places)


def load_folders(*places: Path) -> Catalogue:
    """All queries of some folders by name, sorted.

    Raises QueryError for a bad file, a name used twice, or a drawing of nothing.
    """
    found: dict[str, Query] = {}
    for path in (path for place in places for path in sorted(place.glob("*.cypher"))):
        query = read(path)
        if query.name in found:
            raise QueryError(
                "a query of that name exists", where=f"{path}:1", got=str(found[query.name].path)
            )
        found[query.name] = query
    for query in list(found.values()):
        if query.draws is not None:
            _check_drawing(query, found)
            found[query.draws] = replace(found[query.draws], drawing=query.name)
    return {name: found[name] for name in sorted(found)}


def get(name: str) -> Query:
    """The query of that name.

    Raises QueryError that names the closest ones.
    """
    catalogue = load()
    if name not in catalogue:
        near = difflib.get_close_matches(name, catalogue, n=3) or ["a name from `atlas query list`"]
        raise QueryError("no such query", where=name, expected=" or ".join(near), got=name)
    return catalogue[name]


def _check_drawing(query: Query, found: Catalogue) -> None:
    table = found.get(query.draws or "")
    if table is None or table.draws is not None:
        raise refused(query.path, 1, "draws no table", "the name of a query", query.draws)
    if table.parameters != query.parameters:
        expected, got = [p.name for p in table.parameters], [p.name for p in query.parameters]
        raise refused(query.path, 1, "a drawing takes other parameters than its table", expected, got)
