"""`atlas circuit … --method gig`: a class, an image or a concept explained in concepts of the whole data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.cli import answers, console
from atlas.errors import AddressError, DataError

if TYPE_CHECKING:
    from atlas.store.connection import Connection

SHOWN = 15


@dataclass(frozen=True)
class Wish:
    """How the answer is wanted."""

    of: str | None = None
    as_json: bool = False
    limit: int | None = None
    browser: bool = False
    device: str = "auto"


# What is asked about a kind of thing: the query that is drawn and given as JSON, then a table per heading.
QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "class": (
        ("concepts_of_class", "its concepts, the strongest of each layer"),
        ("concept_edges_of_class", "\nwhat they give each other, of each later one's total"),
    ),
    "image": (
        (
            "concept_edges_of_image",
            "what its concepts give each other and the class, of each later one's total",
        ),
        ("concepts_of_image", "\nits concepts and where they show"),
    ),
    "concept": (
        ("concept_lineage_up", "where it goes, layer by layer"),
        ("concept_lineage_down", "\nwhat it is built from"),
    ),
}


def circuit(text: str, wish: Wish) -> None:
    """Print the concepts of a class, an image or a concept; those of an image are computed and stored if need be."""
    from atlas import lookup

    with answers.database() as connection:
        kind, found = _named(connection, text)
        if kind == "image":
            found = _explained(connection, text, found, wish)
        params: dict[str, Any] = {kind: found}
        if kind != "concept":
            params |= answers.given(model=wish.of)
        first = QUESTIONS[kind][0][0]
        if wish.browser:
            console.answer(answers.browser_link(connection, first, params))
            return
        if wish.as_json:
            limited = params | answers.given(limit=wish.limit)
            answers.show(lookup.run(connection, first, limited, draw=True), as_json=True)
            return
        for name, heading in QUESTIONS[kind]:
            table = lookup.run(connection, name, {**params, "limit": wish.limit or SHOWN})
            answers.show(replace(table, full=table.full and wish.limit is not None), heading=heading)


def _named(connection: Connection, text: str) -> tuple[str, str]:
    from atlas import resolve
    from atlas.cli.circuit import named

    try:
        return "concept", resolve.concept(connection, text)
    except AddressError:
        kind, found = named(connection, text)
    if kind not in QUESTIONS:
        raise DataError(
            "GIG explains classes, images and concepts", where=text, expected="one of these", got=f"a {kind}"
        )
    return kind, found


def _explained(connection: Connection, text: str, found: str, wish: Wish) -> str:
    """The image's id, its explanation computed and stored first where there is none."""
    from atlas import address, lookup

    if address.is_image_id(found):
        stored = lookup.run(
            connection, "concept_edges_of_image", {"image": found, "limit": 1, **answers.given(model=wish.of)}
        )
        if stored.rows:
            return found
    from atlas.cli.concept_questions import explain

    return explain(connection, Path(text) if Path(text).is_file() else None, found, wish)
