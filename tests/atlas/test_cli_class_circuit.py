"""`atlas circuit --method cla` on the golden graph."""

from __future__ import annotations

import pytest

from tests.cli_runner import Cli

HIGH = "other@ffffffff/high"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.mark.server
@pytest.mark.usefixtures("server_environment", "golden")
def test_the_circuit_of_a_class_and_of_an_id(cli: Cli) -> None:
    found = cli.good("circuit", "cat", "--method", "cla", "--json").document
    assert (found["query"], found["params"]["variant"]) == ("circuit_of_class", "contrastive")
    assert [row["target"] for row in found["rows"]] == [f"{HIGH}/{c}" for c in (0, 0, 1, 1)]
    assert len(found["subgraph"]["edges"]) == 4
    raw = cli.good("circuit", "cat", "--method", "cla", "--raw", "--json", "--limit", "1").document
    assert raw["rows"][0]["score"] == 8.0
    text = cli.good("circuit", "cat", "--method", "cla").out
    assert "its contrastive circuit: the largest scores" in text
    assert "toy/dog" in text.split("most like it")[1]
    one = cli.good("circuit", "c0000000032b", "--method", "cla", "--json").document
    assert (one["query"], len(one["rows"])) == ("circuit_attributions", 2)
    assert "holds together least" in cli.good("circuit", "c0000000032b", "--method", "cla").out
    assert "browser" in cli.good("circuit", "cat", "--method", "cla", "--browser").out
    assert "expected a class" in cli.refused("circuit", "block1/1", "--method", "cla")
