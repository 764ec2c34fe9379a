"""The import law: data flows one way, and heavy libraries are loaded by those that need them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = ("atlas.errors", "atlas.address", "atlas.schema", "atlas.spool")
# Which files or folders alone may import a library.
ONLY = {
    "neo4j": ("atlas/store/connection.py",),
    "pyarrow": ("atlas/spool/", "ingest/sources/arrow.py"),
}
# Rooms of ingest/, left to right: a room imports rooms on its left and itself.
ATLAS_ORDER = (
    "errors",
    "address",
    "schema",
    "spool",
    "store",
    "catalogue",
    "lookup",
    "circuits",
    "views",
    "cli",
)


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Module names that a file imports, with the line and whether the import runs at load time."""
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
    }
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) not in inner
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno, id(node) not in inner


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def test_the_graph_side_never_imports_torch_or_ingest() -> None:
    for path in files("atlas"):
        for name, line, _ in imports(path):
            top = name.split(".")[0]
            assert top not in {"torch", "torchvision"}, f"{path}:{line}"
            if "cli" not in path.relative_to(ROOT).parts:
                assert top != "ingest", f"{path}:{line}"


def test_the_cli_imports_ingest_only_inside_a_command() -> None:
    for path in files("atlas/cli"):
        for name, line, at_load in imports(path):
            assert not (at_load and name.split(".")[0] == "ingest"), f"{path}:{line}"


def test_ingest_sees_only_the_contracts_of_atlas() -> None:
    for path in files("ingest"):
        for name, line, _ in imports(path):
            if name.split(".")[0] == "atlas":
                assert name.startswith(CONTRACTS), f"{path}:{line} imports {name}"
            assert name.split(".")[0] not in {"neo4j", "typer"}, f"{path}:{line}"


@pytest.mark.parametrize("library", ONLY)
def test_a_library_has_one_border(library: str) -> None:
    for path in [*files("atlas"), *files("ingest")]:
        for name, line, _ in imports(path):
            if name.split(".")[0] == library:
                assert str(path.relative_to(ROOT)).startswith(ONLY[library]), f"{path}:{line} imports {name}"


def test_numerics_import_no_files_models_or_stores() -> None:
    for path in files("ingest/numerics"):
        for name, line, _ in imports(path):
            allowed = not name.startswith(("ingest", "atlas")) or name.startswith(
                ("ingest.numerics", "atlas.errors")
            )
            assert allowed, f"{path}:{line} imports {name}"


def test_atlas_rooms_import_leftwards() -> None:
    for path in files("atlas"):
        room = path.relative_to(ROOT / "atlas").parts[0].removesuffix(".py")
        if room not in ATLAS_ORDER:
            continue
        for name, line, _ in imports(path):
            parts = name.split(".")
            if parts[0] == "atlas" and len(parts) > 1 and parts[1] in ATLAS_ORDER:
                assert ATLAS_ORDER.index(parts[1]) <= ATLAS_ORDER.index(room), f"{path}:{line} imports {name}"


@pytest.mark.parametrize("module", ["atlas", "atlas.cli"])
def test_what_a_start_loads(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    heavy = {
        "torch",
        "torchvision",
        "pandas",
        "numpy",
        "neo4j",
        "pyarrow",
        "sklearn",
        "scipy",
        "networkx",
        "PIL",
    }
    assert not heavy & set(loaded)
