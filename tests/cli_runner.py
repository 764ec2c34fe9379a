"""Running the command line as a user does, in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from atlas.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as its one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Cli:
    """``cli("models", "--json")`` runs ``atlas models --json``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["atlas", *map(str, arguments)])
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = self._capsys.readouterr()
        return Done(code, out, err)

    def good(self, *arguments: object) -> Done:
        """A command that must succeed."""
        done = self(*arguments)
        assert done.code == 0, done.err
        return done

    def refused(self, *arguments: object) -> str:
        """A command that must fail with one clear line; gives the line."""
        done = self(*arguments)
        assert done.code == 1, (done.code, done.out, done.err)
        assert done.out == ""
        lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, done.err
        assert "Traceback" not in done.err
        assert "defect" not in lines[0], lines[0]
        return lines[0]
