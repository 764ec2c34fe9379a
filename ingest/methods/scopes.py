"""Sets of images that scores are averaged over: classes, folders, all, or sets named in a file.

A scope is an ImageSet of the graph. A class's has the class's id; others have `dataset:name`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.address import digest_of, quote
from atlas.errors import DataError
from atlas.spool import Values
from ingest.images import ImageRecord
from ingest.methods.survey import Subject

SIDES = ("list", "judge", "all")
KINDS = ("classes", "all", "folders")


@dataclass(frozen=True)
class Scope:
    """A set of images: its id, rows of the store, and the digest of their ids.

    ``kind`` is class, folder, file, cypher or all.  ``output`` is the model output of a class, None for other kinds.
    """

    id: str
    kind: str
    rows: tuple[int, ...]
    digest: str
    output: int | None = None


def choose_scopes(
    text: str, subject: Subject, images: Sequence[ImageRecord], side: str = "list", most: int = 0
) -> tuple[Scope, ...]:
    """The scopes that a text names, each once.

    Parameters
    ----------
    text : comma-separated: ``classes``, ``all``, ``folders`` (each folder below the data root), or a JSON file
        {name: [image path or id, …], or a folder, or {"cypher": query, "images": [id, …]}}.
    images : the records of the store's rows.
    side : take list images, judging images, or all.
    most : images of a scope at most, those of the smallest ids; 0 for all.

    Raises DataError if the text names none, a file cannot be read or names an unknown image, or a scope of a file
    has no image on this side. Classes and folders without one are left out.
    """
    if side not in SIDES:
        raise DataError("no such side", expected=" or ".join(SIDES), got=side)
    found: dict[str, Scope] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        for kind, name, rows, output in _sets(part, subject, images):
            kept = _kept(rows, subject.judging, images, side, most)
            if not kept and kind in ("file", "cypher"):
                raise DataError(
                    "no image of this scope is on this side",
                    where=name,
                    expected=f"{side} images",
                    got=len(rows),
                )
            identity = name if kind == "class" else f"{quote(subject.dataset)}:{quote(name)}"
            if kept:
                digest = digest_of(sorted(images[row].id for row in kept))
                found.setdefault(identity, Scope(identity, kind, kept, digest, output))
    if not found:
        raise DataError(
            "no scope with images",
            where=text,
            expected=f"{', '.join(KINDS)} or a JSON file, with {side} images",
            next_step="put images in a folder per class, or name sets in a file",
        )
    return tuple(found.values())


def class_scopes(
    subject: Subject, images: Sequence[ImageRecord], side: str = "list", most: int = 0
) -> tuple[Scope, ...]:
    """The scopes of all classes with images; raises DataError as :func:`choose_scopes`."""
    return choose_scopes("classes", subject, images, side, most)


def scope_tables(scopes: Sequence[Scope], ids: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Values]]]:
    """ImageSet nodes and the images they hold; ``ids`` those of the store's rows."""
    yield (
        "ImageSet",
        {
            "id": [scope.id for scope in scopes],
            "kind": [scope.kind for scope in scopes],
            "size": [len(scope.rows) for scope in scopes],
            "digest": [scope.digest for scope in scopes],
        },
    )
    yield (
        "ImageSet-HOLDS-Image",
        {
            "start": [scope.id for scope in scopes for _ in scope.rows],
            "end": [ids[row] for scope in scopes for row in scope.rows],
        },
    )


def _sets(
    part: str, subject: Subject, images: Sequence[ImageRecord]
) -> Iterator[tuple[str, str, list[int], int | None]]:
    """(kind, name or class id, rows, output) of what one part of the text names."""
    if part == "classes":
        for k, identity in enumerate(subject.class_ids()):
            rows = [row for row, label in enumerate(subject.labels) if label == k]
            yield "class", identity, rows, subject.outputs[k]
    elif part == "all":
        yield "all", "all", list(range(len(images))), None
    elif part == "folders":
        folders: dict[str, list[int]] = {}
        for row, image in enumerate(images):
            for parent in Path(image.path).parents[:-1]:
                folders.setdefault(parent.as_posix(), []).append(row)
        for name in sorted(folders):
            yield "folder", name, folders[name], None
    else:
        for kind, name, rows in _file(Path(part), images):
            yield kind, name, rows, None


def _file(path: Path, images: Sequence[ImageRecord]) -> Iterator[tuple[str, str, list[int]]]:
    """(kind, name, rows) of the sets of a JSON file."""
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))
        asked = {str(name) for name, own in sets.items() if isinstance(own, dict)}
        lists = {str(k): v["images"] if isinstance(v, dict) else v for k, v in sets.items()}
        entries = {k: v if isinstance(v, str) else [str(name) for name in v] for k, v in lists.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(
            "cannot read the scopes",
            where=path,
            expected=f"{', '.join(KINDS)} or a JSON file {{name: [image, …] or folder}}",
            got=f"{type(error).__name__}: {error}",
        ) from error
    rows = {image.path: row for row, image in enumerate(images)}
    rows |= {image.id: row for row, image in enumerate(images)}
    for name, members in entries.items():
        if isinstance(members, str):
            below = members.rstrip("/") + "/"
            yield "file", name, [row for row, image in enumerate(images) if image.path.startswith(below)]
            continue
        unknown = [member for member in members if member not in rows]
        if unknown:
            raise DataError(
                "an image of a scope is not among the images", where=f"{path}: {name}", got=unknown[0]
            )
        kind = "cypher" if name in asked else "file"
        yield kind, name, sorted({rows[member] for member in members})


def _kept(
    rows: Sequence[int], judging: NDArray[np.bool_], images: Sequence[ImageRecord], side: str, most: int
) -> tuple[int, ...]:
    own = [row for row in rows if side == "all" or bool(judging[row]) == (side == "judge")]
    # Ids are digests, so the smallest ones are a fair draw that needs no seed.
    chosen = sorted(own, key=lambda row: images[row].id)[: most or None]
    return tuple(sorted(chosen))
