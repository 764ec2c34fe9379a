"""One error family: each error says what, where, expected against got, and the next step."""

from __future__ import annotations


class AtlasError(Exception):
    """Base of every error a user can cause or meet.

    Parameters
    ----------
    what : the fact, one short clause without a full stop.
    where : file, layer, address or address:port it concerns.
    expected, got : the violated expectation, given together.
    next_step : what the reader can do now.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.next_step = next_step
        super().__init__(self.line())

    def line(self) -> str:
        """The error as one line of text."""
        text = self.what if self.where is None else f"{self.what}: {self.where}"
        if self.expected is not None or self.got is not None:
            text += f" (expected {self.expected}, got {self.got})"
        if self.next_step:
            text += f". {self.next_step[0].upper()}{self.next_step[1:]}"
        return " ".join(text.split())


class AddressError(AtlasError):
    """An address that cannot be parsed, is unknown, or names several things."""


class SchemaError(AtlasError):
    """A name, type or version that the declared schema does not know."""


class SpoolError(AtlasError):
    """A spool that is missing, cut short, altered or of another schema."""


class StoreError(AtlasError):
    """The database cannot be reached, refuses us, or is of the wrong kind."""


class QueryError(AtlasError):
    """A query file or a Cypher text that must not run, or arguments it cannot take."""


class ModelError(AtlasError):
    """A model, checkpoint, layer or forward pass that cannot be used."""


class DataError(AtlasError):
    """Images or classes that cannot be used."""


class DiskError(AtlasError):
    """A file system that is full, read-only or not ours."""


class BusyError(AtlasError):
    """Somebody else holds a lock that this job needs."""
