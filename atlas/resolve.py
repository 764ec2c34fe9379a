"""What a person wrote (``layer3.2/117``, ``cat``, ``photo.png``) completed to the one id it means.

Every function asks the graph, gives an id that exists, and raises AddressError otherwise: an ambiguous text
lists its candidates, an unknown one the closest.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atlas import address as addresses
from atlas.address import Address
from atlas.errors import AddressError

if TYPE_CHECKING:
    from atlas.store.connection import Connection

LISTED = 5
_MODELS = "MATCH (m:Model) RETURN m.id AS id, m.name AS name ORDER BY id"
_BY_IDS = {
    label: f"MATCH (n:{label}) WHERE n.id IN $texts RETURN n.id AS id ORDER BY id"
    for label in ("Layer", "Neuron", "Concept", "Sense", "Class", "Image", "Circuit", "Run")
}
_BY_PREFIX = {
    label: f"MATCH (n:{label}) WHERE n.id STARTS WITH $text RETURN n.id AS id ORDER BY id LIMIT $limit"
    for label in ("Image", "Circuit", "Run")
}
_BY_NAME = {
    label: f"MATCH (n:{label}) WHERE n.name = $text RETURN n.id AS id ORDER BY id LIMIT $limit"
    for label in ("Class", "Image")
}
_BY_TAIL = "MATCH (n:Image) WHERE n.name ENDS WITH $text RETURN n.id AS id ORDER BY id LIMIT $limit"
_LAYERS = (
    "MATCH (n:Layer) WHERE n.model IN $models RETURN n.name AS name, n.channels AS channels ORDER BY n.id"
)
_OF_SET = (
    "MATCH (s:ImageSet)<-[:EXPLAINS]-(c:Circuit {method: 'cla', variant: $variant}) "
    "WHERE s.id = $text OR s.id ENDS WITH $tail RETURN c.id AS id ORDER BY id LIMIT $limit"
)
_CLASSES = "MATCH (n:Class) RETURN n.name AS name, n.id AS id ORDER BY id"


def model(connection: Connection, text: str | None = None) -> str:
    """The root of the model named by id, name, or the beginning of its id; of the only model if text is None.

    Raises AddressError for none or several.
    """
    rows = connection.read(_MODELS).records()
    if not rows:
        raise AddressError(
            "the atlas holds no model", next_step="fill it with `atlas ingest` or `atlas demo`"
        )
    ids = [row["id"] for row in rows]
    if text is None:
        return _one("the model", "(none given)", ids)
    if text in ids:
        return text
    found = [row["id"] for row in rows if row["name"] == text] or [i for i in ids if i.startswith(text)]
    return _one("the model", text, found, ids)


def address(connection: Connection, text: str) -> str:
    """The id of a layer, neuron, concept or sense; the model may be left out, or be its name alone.

    Raises AddressError for none or several.
    """
    root, parsed = _parsed(connection, text)
    roots = [root] if root else [row[0] for row in connection.read(_MODELS).rows]
    candidates = [str(parsed.under(addresses.parse_root(root))) for root in roots]
    found = [row[0] for row in connection.read(_BY_IDS[parsed.kind], {"texts": candidates}).rows]
    if not found:
        raise _unknown_unit(connection, text, parsed, roots)
    return _one(f"the {parsed.kind.lower()}", text, found)


def layer(connection: Connection, text: str) -> str:
    """The id of a layer. Raises AddressError for none or several, or if the text names something else."""
    return _of_kind(connection, text, "Layer")


def neuron(connection: Connection, text: str) -> str:
    """The id of a neuron. Raises AddressError for none or several, or if the text names something else."""
    return _of_kind(connection, text, "Neuron")


def sense(connection: Connection, text: str) -> str:
    """The id of a sense. Raises AddressError for none or several, or if the text names something else."""
    return _of_kind(connection, text, "Sense")


def concept(connection: Connection, text: str) -> str:
    """The id of a concept. Raises AddressError for none or several, or if the text names something else."""
    return _of_kind(connection, text, "Concept")


def class_(connection: Connection, text: str) -> str:
    """The id of a class given by id or name. Raises AddressError for none or several."""
    found = _ids(connection, _BY_IDS["Class"], texts=[text]) if "/" in text else []
    found = found or _ids(connection, _BY_NAME["Class"], text=text, limit=LISTED + 1)
    if found:
        return _one("the class", text, found)
    rows = connection.read(_CLASSES).records()
    near = difflib.get_close_matches(text, [row["name"] for row in rows], n=3, cutoff=0.5)
    raise _unknown("the class", text, near, "`atlas classes` lists them")


def image(connection: Connection, text: str) -> str:
    """The id of an image given by id, beginning of an id, file, or name in the data set.

    Raises AddressError for none or several.
    """
    if addresses.is_image_id(text):
        found = _ids(connection, _BY_IDS["Image"], texts=[text])
    elif text.startswith("img:"):
        found = _ids(connection, _BY_PREFIX["Image"], text=text, limit=LISTED + 1)
    else:
        found = _ids(connection, _BY_NAME["Image"], text=text, limit=LISTED + 1)
        if not found and Path(text).is_file():
            digest = addresses.image_id_of_file(Path(text))
            found = _ids(connection, _BY_IDS["Image"], texts=[digest])
        if not found:
            found = _ids(connection, _BY_TAIL, text=f"/{text}", limit=LISTED + 1)
    if found:
        return _one("the image", text, found)
    raise AddressError(
        "the atlas does not hold that image",
        where=text,
        next_step="`atlas query run class_images` lists images; "
        "`atlas circuit FILE --exact` takes one that was never ingested",
    )


def circuit(connection: Connection, text: str) -> str:
    """The id of a circuit given by id or its beginning. Raises AddressError for none or several."""
    return _by_prefix(connection, "Circuit", text, "`atlas circuit IMAGE` lists the circuits of an image")


def circuit_of_set(connection: Connection, text: str, variant: str) -> str | None:
    """The id of the CLA circuit of a set of images given by id, or by what stands behind its data set; None for none.

    Raises AddressError for several.
    """
    found = _ids(connection, _OF_SET, text=text, tail=f":{text}", variant=variant, limit=LISTED + 1)
    return _one("the circuit of the set of images", text, found) if found else None


def run(connection: Connection, text: str) -> str:
    """The id of a run given by id or its beginning. Raises AddressError for none or several."""
    return _by_prefix(connection, "Run", text, "`atlas runs` lists them")


_RESOLVERS: Mapping[str, Callable[[Connection, str], str]] = {
    "model": model,
    "layer": layer,
    "neuron": neuron,
    "sense": sense,
    "concept": concept,
    "class": class_,
    "image": image,
    "circuit": circuit,
    "run": run,
}


def reference(connection: Connection, kind: str, text: str) -> str:
    """The id that a text means where a thing of this kind (a parameter type of the catalogue) is expected.

    Raises AddressError for none or several.
    """
    return _RESOLVERS[kind](connection, text)


def _parsed(connection: Connection, text: str) -> tuple[str | None, Address]:
    """Root, if one was written, and the rest; ``resnet50/layer3.2/117`` names the model by its name alone."""
    head, _, rest = text.partition("/")
    if "@" in head:
        parsed = addresses.parse(text)
        return str(parsed.root), parsed
    if text.count("/") == 2:
        return model(connection, head), addresses.parse(rest)
    try:
        return None, addresses.parse(text)
    except AddressError:
        if head not in [row["name"] for row in connection.read(_MODELS).records()]:
            raise
        return model(connection, head), addresses.parse(rest)


def _of_kind(connection: Connection, text: str, label: str) -> str:
    kind = _parsed(connection, text)[1].kind
    if kind != label:
        raise AddressError("another kind of thing is asked for", where=text, expected=label, got=kind)
    return address(connection, text)


def _by_prefix(connection: Connection, label: str, text: str, next_step: str) -> str:
    found = _ids(connection, _BY_IDS[label], texts=[text])
    found = found or _ids(connection, _BY_PREFIX[label], text=text, limit=LISTED + 1)
    if not found:
        raise _unknown(f"the {label.lower()}", text, [], next_step)
    return _one(f"the {label.lower()}", text, found)


def _ids(connection: Connection, cypher: str, **params: object) -> list[str]:
    return [row[0] for row in connection.read(cypher, params).rows]


def _one(what: str, text: str, found: Sequence[str], near: Sequence[str] = ()) -> str:
    if len(found) == 1:
        return found[0]
    if not found:
        raise _unknown(what, text, difflib.get_close_matches(text, near, n=3, cutoff=0.3) or near[:LISTED])
    more = " …" if len(found) > LISTED else ""
    raise AddressError(
        f"{what} is not named clearly",
        where=text,
        expected="one of " + ", ".join(found[:LISTED]) + more,
        got=f"{len(found)} that fit" if not more else f"more than {LISTED} that fit",
        next_step="write out the one you mean",
    )


def _unknown(what: str, text: str, near: Sequence[str], next_step: str | None = None) -> AddressError:
    expected = ("one of " if len(near) > 1 else "") + ", ".join(near) if near else None
    got = repr(text) if near else None
    return AddressError(
        f"{what} is not in the atlas", where=text, expected=expected, got=got, next_step=next_step
    )


def _unknown_unit(connection: Connection, text: str, parsed: Address, roots: Sequence[str]) -> AddressError:
    if not roots:
        return AddressError("the atlas holds no model", where=text, next_step="fill it with `atlas ingest`")
    rows = connection.read(_LAYERS, {"models": list(roots)}).records()
    channels = {row["name"]: row["channels"] for row in rows}
    if not channels:
        return _unknown("the model", text, [], "`atlas models` lists them")
    if parsed.layer not in channels:
        near = difflib.get_close_matches(parsed.layer, channels, n=3, cutoff=0.3) or list(channels)[:LISTED]
        return _unknown("the layer", text, near, "`atlas layers` lists them")
    if parsed.kind == "Neuron":
        last = channels[parsed.layer] - 1
        return AddressError(
            "the layer has no such neuron", where=text, expected=f"0 to {last}", got=parsed.channel
        )
    return _unknown(f"the {parsed.kind.lower()}", text, [])
