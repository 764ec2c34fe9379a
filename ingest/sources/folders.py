"""Folders of image files: which there are, and the class each one is in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ingest.pixels import EXTENSIONS
from ingest.sources.imagenet import is_validation, validation_labels
from ingest.sources.records import SPLITS, Listing, Record


def list_folder(root: Path) -> Listing:
    """The image files below a folder, by path.

    A class per folder (of ``root`` or, where all folders of ``root`` are splits such as ``train`` and ``val``, of each
    of these), or images directly in it. ImageNet's flat validation images take their class from the files beside them.
    Hidden files and folders are left out, and so are other files than images by their extension.
    """
    splits, classes = _folders(root)
    found = []
    truths: dict[Path, Mapping[str, str] | None] = {}
    for path in sorted(_files(root)):
        parts = path.split("/")
        name = parts.pop()
        split = parts.pop(0) if splits and parts else ""
        label = parts[0] if parts else None
        if label is None and is_validation(name):
            folder = root / split
            if folder not in truths:
                truths[folder] = validation_labels(folder)
            label = (truths[folder] or {}).get(name.partition(".")[0])
        found.append(Record(path, label, split))
    every = set(classes).union(*(set(truth.values()) for truth in truths.values() if truth))
    return Listing(found, [], tuple(sorted(every)))


def _folders(root: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the root's folders are splits, and the names of the class folders."""

    def below(folder: Path) -> set[str]:
        return {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}

    top = below(root)
    if not top or not top <= SPLITS:
        return False, tuple(sorted(top))
    return True, tuple(sorted(set().union(*(below(root / split) for split in top))))


def _files(root: Path) -> Iterator[str]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real in seen:
            continue
        seen.add(real)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder, name).relative_to(root).as_posix()
