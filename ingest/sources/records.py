"""What a data set's listing says of each image before any is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SPLITS = frozenset(["train", "val", "valid", "validation", "test"])


@dataclass(frozen=True)
class Record:
    """One image: its address below the root, its class as the data names it, its split."""

    path: str
    label: str | int | None
    split: str = ""


@dataclass(frozen=True)
class Listing:
    """Records of a data set; ``classes`` where the data declares them in an order of its own."""

    records: Sequence[Record]
    skipped: Sequence[tuple[str, str]] = ()
    """(path, reason) of shards and records without a picture."""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labels:
    """Class names and each record's index in them; ``numbered``: the names are numbers that the data uses as labels."""

    names: tuple[str, ...]
    of_record: Sequence[int | None] = field(default_factory=list)
    numbered: bool = False

    @classmethod
    def of(cls, listing: Listing) -> Labels:
        """Declared classes in their order; numbers 0 … the largest; else all names, sorted."""
        labels = [record.label for record in listing.records]
        given = [label for label in labels if label is not None]
        if given and all(isinstance(label, int) for label in given):
            numbers = [None if label is None or int(label) < 0 else int(label) for label in labels]
            most = max((n for n in numbers if n is not None), default=-1)
            if listing.classes and most < len(listing.classes):
                return cls(listing.classes, numbers)
            return cls(tuple(map(str, range(most + 1))), numbers, numbered=True)
        names = listing.classes or tuple(sorted({str(label) for label in given}))
        place = {name: i for i, name in enumerate(names)}
        return cls(names, [None if label is None else place.get(str(label)) for label in labels])


def split_of(path: str) -> str:
    """The split that a shard's first folder, or its own name, is in; empty for none."""
    parts = PurePosixPath(path).parts
    heads = [parts[0], parts[-1].partition("-")[0].partition(".")[0].partition("_")[0]]
    return next((head for head in heads if head in SPLITS), "")
