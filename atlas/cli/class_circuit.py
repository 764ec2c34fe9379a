"""`atlas circuit … --method cla`: the cross-layer attribution circuit of a class, or one of these by its id."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from atlas.cli import answers, console
from atlas.errors import AddressError, DataError

if TYPE_CHECKING:
    from atlas.cli.concept_circuit import Wish
    from atlas.store.connection import Connection

SHOWN = 15
CLASSES = 5


def circuit(text: str, wish: Wish, *, raw: bool = False) -> None:
    """Print the circuit of a class, contrastive unless ``raw``, and the classes whose circuits are most like it.

    Raises DataError for anything but a class, another set of images that circuits were made for, or a circuit.
    """
    from atlas import lookup

    with answers.database() as connection:
        kind, found = _named(connection, text, "raw" if raw else "contrastive")
        if kind not in ("class", "circuit"):
            raise DataError(
                "CLA explains classes and other sets of images",
                where=text,
                expected="a class, a set of images such as digits:name, or a circuit's id",
                got=f"a {kind}",
            )
        params: dict[str, Any] = {kind: found}
        if kind == "class":
            params |= {"variant": "raw" if raw else "contrastive", **answers.given(model=wish.of)}
        first, second, heading = (
            ("circuit_of_class", "classes_by_circuit_overlap", "\nclasses whose circuits are most like it")
            if kind == "class"
            else ("circuit_attributions", "weakest_link", "\nwhere it holds together least, first")
        )
        if wish.browser:
            console.answer(answers.browser_link(connection, first, params))
            return
        if wish.as_json:
            limited = params | answers.given(limit=wish.limit)
            answers.show(lookup.run(connection, first, limited, draw=True), as_json=True)
            return
        edges = lookup.run(connection, first, {**params, "limit": wish.limit or SHOWN})
        label = f"its {params['variant']} circuit: " if kind == "class" else ""
        answers.show(
            replace(edges, full=edges.full and wish.limit is not None), heading=f"{label}the largest scores"
        )
        more = lookup.run(connection, second, {**params, "limit": CLASSES})
        answers.show(replace(more, full=False), heading=heading)


def _named(connection: Connection, text: str, variant: str) -> tuple[str, str]:
    from atlas import resolve
    from atlas.cli.circuit import named

    try:
        return named(connection, text)
    except AddressError:
        of_set = resolve.circuit_of_set(connection, text, variant)
        if of_set is None:
            raise
        return "circuit", of_set
