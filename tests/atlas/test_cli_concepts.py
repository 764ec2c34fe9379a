"""`atlas shared`, `concept`, `search` and `circuit --method gig` on the golden graph."""

from __future__ import annotations

import pytest

from tests.cli_runner import Cli

ROOT = "tiny@0123abcd"
FUR = f"{ROOT}/block2/c1"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.mark.server
@pytest.mark.usefixtures("server_environment", "golden")
class TestConcepts:
    """Answers from the graph alone."""

    def test_what_classes_share(self, cli: Cli) -> None:
        found = cli.good("shared", "cat", "dog", "--json").document
        assert found["query"] == "shared_concepts"
        assert found["columns"][0] == "concept"
        assert {row["concept"] for row in found["rows"]} >= {FUR, f"{ROOT}/block1/c0"}
        assert {node["type"] for node in found["subgraph"]["nodes"]} == {"Concept", "Class"}
        assert all("vector" not in node for node in found["subgraph"]["nodes"])
        text = cli.good("shared", "cat", "dog").out
        assert "block2/c1" in text
        assert "built from" in text
        assert "0.25 0.75" in text

    def test_all_pairs_and_what_tells_two_apart(self, cli: Cli) -> None:
        rows = cli.good("shared", "--matrix", "--json").document["rows"]
        assert {(row["class_a"], row["class_b"]): row["concepts"] for row in rows} == {
            ("toy/cat", "toy/dog"): 4,
            ("toy/car", "toy/cat"): 1,
            ("toy/car", "toy/dog"): 1,
        }
        rows = cli.good("shared", "car", "dog", "--apart", "--layer", "block2", "--json").document["rows"]
        assert rows[0]["concept"] == FUR

    def test_one_concept(self, cli: Cli) -> None:
        text = cli.good("concept", "block2/c1").out
        for heading in (
            "classes it contributes to",
            "what it is built from",
            "concepts of the same direction",
        ):
            assert heading in text
        found = cli.good("concept", "block1/c1", "--json").document
        assert found["query"] == "concept_by_address"
        assert {edge["type"] for edge in found["subgraph"]["edges"]} == {"CONTRIBUTES_TO"}
        assert "browser" in cli.good("concept", "block1/c1", "--browser").out
        assert "another kind" in cli.refused("concept", "block1/1")

    def test_search(self, cli: Cli) -> None:
        rows = cli.good("search", "--like", "block2/c1", "--layer", "block2", "--json").document["rows"]
        assert [row["concept"] for row in rows] == [
            f"{ROOT}/block2/sae.c0",
            f"{ROOT}/block2/c0",
            f"{ROOT}/block2/c2",
        ]
        assert cli.good("search", "fur", "--json").document["rows"][0]["thing"] == FUR
        for text in ('"', "a/b:c", "cat/1.png", "(", "~*"):
            cli.good("search", text)

    def test_a_class_an_image_and_a_concept_in_concepts(self, cli: Cli) -> None:
        found = cli.good("circuit", "cat", "--method", "gig", "--json").document
        assert found["query"] == "concepts_of_class"
        assert len(found["rows"]) == 5
        assert len(found["subgraph"]["edges"]) == 9
        assert "what they give each other" in cli.good("circuit", "cat", "--method", "gig").out
        image = cli.good("circuit", "cat/1.png", "--method", "gig", "--json").document
        assert image["query"] == "concept_edges_of_image"
        assert len(image["rows"]) == 4
        assert cli.good("circuit", FUR, "--method", "gig", "--json").document["query"] == "concept_lineage_up"
        assert "got a neuron" in cli.refused("circuit", "block1/1", "--method", "gig")
        assert "browser" in cli.good("circuit", "cat", "--method", "gig", "--browser").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("shared",),
        ("shared", "cat"),
        ("shared", "cat", "dog", "--matrix"),
        ("shared", "a", "b", "c", "--apart"),
        ("search",),
        ("search", "text", "--like", "block1/c0"),
        ("search", "--like", "block1/c0", "--at", "1,2"),
        ("search", "--image", "x.png", "--at", "1,2", "--crop", "1,2,3,4"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments).code == 2
