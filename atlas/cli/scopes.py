"""`--scope NAME=CYPHER`: a set of images for a method, as a query of the atlas returns it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from atlas.address import digest_of, is_image_id
from atlas.cli import answers
from atlas.errors import QueryError

MOST = 1_000_000


def asked(texts: Sequence[str]) -> Path:
    """Ask each query for its images and keep them in a file that ``--scopes`` takes.

    Parameters
    ----------
    texts : ``NAME=CYPHER``; the query must only read, and return images or their ids.

    Raises
    ------
    QueryError : a text of another form, or a query that does more, or returns something else or nothing.
    """
    from atlas.store.files import write_atomic
    from atlas.store.guard import guarded_ids
    from atlas.store.settings import load_settings

    sets = {}
    with answers.database() as connection:
        for text in texts:
            name, _, cypher = text.partition("=")
            cells = guarded_ids(connection, cypher, limit=MOST)
            wrong = [cell for cell in cells if not (isinstance(cell, str) and is_image_id(cell))]
            if not name.strip() or wrong or not cells:
                raise QueryError(
                    "the query returns no images",
                    where=f"--scope {text}",
                    expected="NAME=CYPHER that returns nodes or ids of images",
                    got=repr(wrong[0]) if wrong else "no row",
                    next_step="e.g. --scope 'wrong=MATCH (i:Image {split: \"list\"}) RETURN i.id LIMIT 20'",
                )
            sets[name.strip()] = {"cypher": cypher, "images": sorted(set(cells))}
    content = json.dumps(sets, sort_keys=True, ensure_ascii=False)
    path = load_settings().atlas_home / "work" / f"scopes-{digest_of([content])[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path
