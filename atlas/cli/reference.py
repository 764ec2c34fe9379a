"""The references under docs/, generated from the code: ``python -m atlas.cli.reference [--check]`` (`make docs`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.testing import CliRunner

from atlas.cli import console
from atlas.cli.app import app

WIDTH = 100


def commands() -> Iterator[tuple[str, ...]]:
    """Every command as the words one types after ``atlas``, in the order of the help."""
    yield from _below(app, ())


def _below(node: typer.Typer, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for command in node.registered_commands:
        name = command.name or (command.callback.__name__.rstrip("_") if command.callback else "")
        yield (*words, name)
    for group in node.registered_groups:
        path = (*words, group.name or "")
        yield path
        if group.typer_instance is not None:
            yield from _below(group.typer_instance, path)


def cli_page() -> str:
    """docs/cli.md: the help of every command."""
    runner = CliRunner()
    parts = ["# Commands\n\nGenerated from the code by `make docs`.\n"]
    for words in ((), *sorted(commands())):
        result = runner.invoke(app, [*words, "--help"], terminal_width=WIDTH, prog_name="atlas")
        title = " ".join(("atlas", *words))
        lines = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## `{title}`\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """All generated pages by file name under docs/."""
    from atlas import reference as queries
    from atlas.schema import reference as schema

    return {"cli.md": cli_page(), "queries.md": queries.page(), "schema.md": schema.page()}


def main() -> None:
    """Write the pages, or with ``--check`` say which differ and exit 1."""
    docs = Path(__file__).parents[2] / "docs"
    stale = [name for name, text in pages().items() if not _same(docs / name, text)]
    if "--check" in sys.argv[1:]:
        for name in stale:
            console.fail(f"docs/{name} differs from the code. Run `make docs`")
        sys.exit(bool(stale))
    for name, text in pages().items():
        (docs / name).write_text(text, encoding="utf-8")


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main()
