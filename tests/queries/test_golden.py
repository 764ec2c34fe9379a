"""Every query: exact rows on the golden graph, a plan without warnings, and a ceiling on its database hits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atlas import catalogue, lookup
from atlas.store.connection import Connection
from atlas.views import browser

HERE = Path(__file__).parent
NAMES = tuple(catalogue.load())
REFUSED_OPERATORS = ("CartesianProduct", "AllNodesScan")

pytestmark = pytest.mark.server


def cases(name: str) -> list[dict[str, Any]]:
    """The golden answers to one query: params, rows, and perhaps a ceiling on database hits."""
    path = HERE / f"{name}.json"
    assert path.is_file(), f"{name} has no golden test: write {path.name}"
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def complete(golden: Connection, name: str, case: dict[str, Any]) -> dict[str, Any]:
    return lookup.complete(golden, catalogue.get(name), case["params"])


@pytest.mark.parametrize("name", NAMES)
def test_rows(golden: Connection, name: str) -> None:
    assert any(case["rows"] for case in cases(name)), "at least one case must have an answer"
    for case in cases(name):
        table = lookup.run(golden, name, case["params"])
        assert json.loads(json.dumps(table.rows)) == case["rows"], case["params"]


@pytest.mark.parametrize("name", NAMES)
def test_plan(golden: Connection, name: str) -> None:
    query = catalogue.get(name)
    values = complete(golden, name, cases(name)[0])
    for text, given in ((query.sent, values), (browser.statement(query, values), {})):
        plan = golden.explain(text, given)
        assert plan.kind == "r"
        assert plan.notices == ()
        assert not set(plan.operators) & set(REFUSED_OPERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_hits(golden: Connection, name: str) -> None:
    case = cases(name)[0]
    values = complete(golden, name, case)
    golden.read(catalogue.get(name).sent, values)
    assert golden.profile(catalogue.get(name).sent, values).hits <= case["hits"]


@pytest.mark.parametrize("name", NAMES)
def test_browser_gets_the_same_rows(golden: Connection, name: str) -> None:
    query = catalogue.get(name)
    for case in cases(name):
        values = complete(golden, name, case)
        filled = golden.read(browser.statement(query, values))
        asked = golden.read(query.sent, values)
        assert filled.columns == asked.columns == query.columns
        assert filled.rows == asked.rows


def test_no_answer_is_stale() -> None:
    files = {path.stem for path in HERE.glob("*.json")} - {"graph"}
    assert files == set(NAMES)
