"""One line per error: what, where, expected against got, next step."""

from __future__ import annotations

from atlas.errors import AtlasError, DataError


def test_the_line_holds_all_five_parts() -> None:
    error = DataError("wrong class count", where="data", expected=10, got=12, next_step="pass --classes FILE")
    assert str(error) == "wrong class count: data (expected 10, got 12). Pass --classes FILE"


def test_the_line_is_one_line() -> None:
    assert "\n" not in AtlasError("cannot read", where="a\nb").line()


def test_zero_is_a_value() -> None:
    assert "got 0" in AtlasError("empty", expected=1, got=0).line()
