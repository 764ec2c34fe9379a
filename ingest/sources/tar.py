"""Tar shards: WebDataset's, and tars of image folders. Members are found once and read by their place.

WebDataset: files with the same name up to the first dot of the last part are one sample; ``.cls`` (or ``label`` in
``.json``) is its class, a number or a name. Without any, a member's first folder is its class, and of a flat tar named
after a WordNet synset (ImageNet's training set) the tar's name.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ingest.pixels import EXTENSIONS
from ingest.sources.records import Listing, Record

_WORDNET = re.compile(r"n\d{8}")
_KEYS = ("label", "cls", "class")
_CLASS_FILES = (".cls", ".cls.txt", ".label")
Place = tuple[int, int]
"""First byte and number of bytes."""


def records(file: Path) -> Listing:
    """What a tar holds; a broken or cut one is named in ``skipped``, its whole members are kept."""
    members, broken = _members(str(file), *_stamp(file))
    pictures = [name for name in members if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    labels = _sample_labels(file, members)
    found = []
    for name in pictures:
        label = labels.get(_sample(name))
        if not labels:
            parts = PurePosixPath(name).parts
            own = file.stem if _WORDNET.fullmatch(file.stem) else None
            label = parts[0] if len(parts) > 1 else own
        found.append(Record(name, label))
    return Listing(found, [("", broken)] if broken else [])


def read(file: Path, member: str) -> bytes:
    """A member's bytes. Raises OSError for a shard or member that is gone."""
    members, _ = _members(str(file), *_stamp(file))
    if member not in members:
        raise FileNotFoundError(2, "not in this tar", member)
    return _bytes(file, members[member])


def _bytes(file: Path, place: Place) -> bytes:
    with file.open("rb") as opened:
        opened.seek(place[0])
        return opened.read(place[1])


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=256)
def _members(name: str, size: int, changed: int) -> tuple[Mapping[str, Place], str]:
    """Whole members and their places, and what is wrong with the file, empty if nothing."""
    found: dict[str, Place] = {}
    try:
        with tarfile.open(name, "r:") as opened:
            for entry in opened:
                if not entry.isfile() or _hidden(entry.name):
                    continue
                if entry.offset_data + entry.size > size:
                    return found, f"cut off in {entry.name}"
                found[entry.name.removeprefix("./")] = (entry.offset_data, entry.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        return found, str(error) or type(error).__name__
    return found, ""


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name.removeprefix("./")).parts)


def _sample(name: str) -> str:
    head, _, last = name.rpartition("/")
    return f"{head}/{last.partition('.')[0]}"


def _sample_labels(file: Path, members: Mapping[str, Place]) -> dict[str, str | int | None]:
    """Sample → its class, from class files and JSON; empty where there are none."""
    found: dict[str, str | int | None] = {}
    for name, place in members.items():
        if name.endswith(_CLASS_FILES):
            found[_sample(name)] = _label(_bytes(file, place).decode("utf-8", "replace").strip())
        elif name.endswith(".json") and _sample(name) not in found:
            try:
                content = json.loads(_bytes(file, place))
            except ValueError:
                continue
            value = next((content[k] for k in _KEYS if isinstance(content, dict) and k in content), None)
            if isinstance(value, (str, int)):
                found[_sample(name)] = _label(str(value))
    return found


def _label(text: str) -> str | int | None:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return text or None
