"""`atlas splits` and `atlas circuit --senses` on the golden graph."""

from __future__ import annotations

import pytest

from atlas.store.connection import Connection
from tests.cli_runner import Cli

pytestmark = pytest.mark.server


@pytest.fixture
def cli(
    golden: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    server_environment: dict[str, str],
) -> Cli:
    return Cli(monkeypatch, capsys)


def test_all_neurons_with_filters(cli: Cli) -> None:
    rows = cli.good("splits", "--of", "tiny", "--json").document["rows"]
    assert [row["neuron"] for row in rows] == ["tiny@0123abcd/block2/0", "tiny@0123abcd/block2/1"]
    few = cli.good(
        "splits", "--of", "tiny", "--least", 2, "--layer", "tiny@0123abcd/block2", "--json"
    ).document
    assert [row["neuron"] for row in few["rows"]] == ["tiny@0123abcd/block2/0"]
    assert len(cli.good("splits", "--of", "tiny", "--class", "car", "--json").document["rows"]) == 1


def test_one_neuron_and_one_sense(cli: Cli) -> None:
    neuron = cli.good("splits", "block2/0")
    assert neuron.out.count("its most typical images") == 2
    sense = cli.good("splits", "block2/0:0", "--json").document
    assert sense["query"] == "sense_edges"
    assert {edge["type"] for edge in sense["subgraph"]["edges"]} == {"HAS_SENSE", "FEEDS_SENSE", "FLOWS_TO"}
    assert "FEEDS_SENSE" in cli.good("splits", "block2/0:0").out
    assert cli.good("splits", "block2/0:0", "--browser").out.startswith("http")


def test_what_else_can_be_found(cli: Cli) -> None:
    for find, query in (
        ("unrelated", "senses_serving_unrelated_classes"),
        ("joined", "classes_joined_by_one_neuron"),
    ):
        found = cli.good("splits", "--find", find, "--of", "tiny", "--json").document
        assert found["query"] == query
        assert found["rows"]
    alike = cli.good("splits", "--find", "alike", "--layer", "block2", "--json").document
    assert alike["query"] == "senses_alike"
    assert "name the layer" in cli.refused("splits", "--find", "alike")
    assert "do not go together" in cli.refused("splits", "--find", "joined", "--layer", "block2")


def test_circuits_with_senses(cli: Cli) -> None:
    by_circuit = cli.good("circuit", "c0000000001a", "--senses", "--json").document
    assert by_circuit["rows"][0]["source_sense"] == "tiny@0123abcd/block2/0:0"
    by_image = cli.good("circuit", "cat/1.png", "--senses", "--of", "tiny", "--json").document
    assert by_image["query"] == "circuit_senses"
    by_sense = cli.good("circuit", "block2/0:0", "--senses", "--json").document
    assert by_sense["query"] == "sense_edges"
    assert "an image or a sense" in cli.refused("circuit", "cat", "--senses")


def test_what_needs_a_neuron_or_a_run_says_so(cli: Cli) -> None:
    assert "name the neuron" in cli.refused("splits", "--ablate")
    assert "no complete run of pure" in cli.refused("splits", "block2/0", "--ablate")
    assert "the sense is not in the atlas" in cli.refused("splits", "block2/0:7")
