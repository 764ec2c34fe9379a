"""Readable ids, parsed and printed by one function each.

Grammar (every part percent-encoded for ``/ : @ ~ %``)::

    root     name@digest8[~tag]            resnet50@9f2c1a7b      resnet50@9f2c1a7b~half
    layer    [root/]layer                  resnet50@9f2c1a7b/layer3.2
    neuron   [root/]layer/channel          layer3.2/117
    concept  [root/]layer/[dict.]cN        layer3.2/c42           layer3.2/sae.c42
    sense    [root/]layer/channel:ordinal  layer4.2/117:0
    class    dataset/name                  digits/4-7
    image    img:<16 hex of SHA-256 of the file's bytes>

The root may be left out where one model is in the atlas; completing it is the lookup's work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from atlas.errors import AddressError

RESERVED = "%/:@~"
DIGEST_LENGTH = 8
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def quote(part: str) -> str:
    """Percent-encode the reserved characters of one part."""
    return "".join(f"%{ord(c):02X}" if c in RESERVED else c for c in part)


def unquote(part: str) -> str:
    """Undo :func:`quote`."""
    return re.sub(
        "%(" + "|".join(f"{ord(c):02X}" for c in RESERVED) + ")", lambda m: chr(int(m[1], 16)), part
    )


@dataclass(frozen=True)
class Root:
    """One model seen through one data set: ``name@digest8[~tag]``."""

    name: str
    digest: str
    tag: str | None = None

    def __str__(self) -> str:
        text = f"{quote(self.name)}@{self.digest[:DIGEST_LENGTH]}"
        return f"{text}~{quote(self.tag)}" if self.tag else text


@dataclass(frozen=True)
class Address:
    """A layer, or a neuron, concept or sense of it. ``root`` is None in a short form."""

    root: Root | None
    layer: str
    channel: int | None = None
    concept: int | None = None
    dictionary: str | None = None
    sense: int | None = None

    @property
    def kind(self) -> str:
        """The node label that this address names."""
        if self.concept is not None:
            return "Concept"
        if self.sense is not None:
            return "Sense"
        return "Layer" if self.channel is None else "Neuron"

    def under(self, root: Root) -> Address:
        """The same address, complete."""
        return replace(self, root=root)

    def __str__(self) -> str:
        parts = [] if self.root is None else [str(self.root)]
        parts.append(quote(self.layer))
        if self.concept is not None:
            prefix = f"{quote(self.dictionary)}." if self.dictionary else ""
            parts.append(f"{prefix}c{self.concept}")
        elif self.channel is not None:
            parts.append(str(self.channel) if self.sense is None else f"{self.channel}:{self.sense}")
        return "/".join(parts)


_ROOT = re.compile(r"(?P<name>[^@/~:]+)@(?P<digest>[0-9a-f]{8})(?:~(?P<tag>[^@/~:]+))?")
_UNIT = re.compile(r"(?P<channel>\d+)(?::(?P<sense>\d+))?|(?:(?P<dictionary>[^@/~:]+)\.)?c(?P<concept>\d+)")


def parse_root(text: str) -> Root:
    """Parse ``name@digest8[~tag]``.

    Raises AddressError if the text has another form.
    """
    match = _ROOT.fullmatch(text)
    if match is None:
        raise AddressError("not a model address", where=text, expected="name@8 hex digits", got=repr(text))
    tag = match["tag"]
    return Root(unquote(match["name"]), match["digest"], None if tag is None else unquote(tag))


def parse(text: str) -> Address:
    """Parse the address of a layer, neuron, concept or sense, complete or short.

    Raises AddressError if the text has another form.
    """
    parts = text.split("/")
    root = parse_root(parts.pop(0)) if "@" in parts[0] else None
    if not 1 <= len(parts) <= 2 or not parts[0] or set(parts[0]) & set(":@~"):
        raise AddressError(
            "not an address",
            where=text,
            expected="[model@digest/]layer[/channel, /cN or /channel:sense]",
            got=repr(text),
            next_step="`atlas layers` lists the layers",
        )
    layer = unquote(parts[0])
    if len(parts) == 1:
        return Address(root, layer)
    unit = _UNIT.fullmatch(parts[1])
    if unit is None:
        raise AddressError(
            "not a unit of a layer", where=text, expected="a channel, cN or channel:sense", got=repr(parts[1])
        )
    if unit["concept"] is not None:
        dictionary = unit["dictionary"]
        return Address(
            root,
            layer,
            concept=int(unit["concept"]),
            dictionary=None if dictionary is None else unquote(dictionary),
        )
    sense = unit["sense"]
    return Address(root, layer, channel=int(unit["channel"]), sense=None if sense is None else int(sense))


def class_id(dataset: str, name: str) -> str:
    """``dataset/name``."""
    return f"{quote(dataset)}/{quote(name)}"


def parse_class(text: str) -> tuple[str, str]:
    """Undo :func:`class_id`.

    Raises AddressError if the text has another form.
    """
    dataset, slash, name = text.partition("/")
    if not slash or "/" in name or not dataset or not name:
        raise AddressError("not a class id", where=text, expected="dataset/name", got=repr(text))
    return unquote(dataset), unquote(name)


def image_id(data: bytes) -> str:
    """``img:`` and the first 16 hex digits of the SHA-256 of an image file's bytes."""
    return f"img:{hashlib.sha256(data).hexdigest()[:16]}"


def image_id_of_file(path: Path) -> str:
    """:func:`image_id` of a file."""
    return image_id(path.read_bytes())


def is_image_id(text: str) -> bool:
    """Whether a text has the form of an image id."""
    return re.fullmatch(r"img:[0-9a-f]{16}", text) is not None


def digest_of(parts: Iterable[str]) -> str:
    """SHA-256 over texts, each ended by a NUL, in hex."""
    h = hashlib.sha256()
    for part in parts:
        h.update(part.encode())
        h.update(b"\0")
    return h.hexdigest()


def canonical(parameters: Mapping[str, object]) -> str:
    """Parameters as one JSON text that does not depend on their order."""
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def run_id(
    model: str, data_digest: str, method: str, version: str, parameters: Mapping[str, object], seed: int
) -> str:
    """``r`` and 10 hex digits of SHA-256 over what makes a run what it is.

    Device, code and times are no part of it, so a resumed run *is* the run.
    """
    return "r" + digest_of([model, data_digest, method, version, canonical(parameters), str(seed)])[:10]


def short_id(prefix: str, *parts: str) -> str:
    """A one-letter prefix and 11 base-36 digits of a SHA-256: 56 bits, 12 characters of [a-z0-9]."""
    number = int(digest_of(parts), 16)
    digits = []
    for _ in range(12 - len(prefix)):
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return prefix + "".join(digits)


PICTURED_BY = {"Neuron": "activations", "Concept": "gig", "Sense": "pure"}
"""Kinds of units that have a picture, and the method whose run it is of."""


def picture_name(run: str, unit: str) -> str:
    """Path below the media folder of the picture of what a unit answers in a run's lists."""
    digest = digest_of([run, unit])[:16]
    return f"pictures/{digest[:2]}/{digest}.webp"
