"""One user's way through the tool, on a real server: a model of their own, a folder of pictures, questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.store.connection import Connection
from tests.cli_runner import Cli

pytestmark = pytest.mark.server
MODEL = "examples.own_model:small_resnet"


def write_images(root: Path, classes: int = 10, each: int = 6) -> None:
    """Noise tinted by class: enough for lists, nothing to be learnt."""
    rng = np.random.default_rng(0)
    for k in range(classes):
        (root / f"class-{k}").mkdir(parents=True)
        for n in range(each):
            pixels = rng.integers(0, 200, (32, 32, 3)) + np.array([5 * k, 50 - 5 * k, 0])
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"class-{k}" / f"{n}.png")


def ingest_arguments(data: Path, *more: object) -> tuple[object, ...]:
    return (
        *("ingest", "--model", MODEL, "--data", data, "--root-share", 0.1, "--mask-share", 0.4),
        *("--flow-floor", 0.0, "--force", "--quiet", *more),
    )


def test_from_pictures_to_answers_and_back(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    data = tmp_path / "pictures"
    write_images(data)
    (data / "class-0" / "broken.png").write_bytes(b"not a picture")

    plan = cli.good(*ingest_arguments(data, "--plan"))
    assert "FLOWS_TO" in plan.out
    assert cli.good("models", "--json").document["rows"] == []

    done = cli.good(*ingest_arguments(data, "--queries", 6))
    assert "skipped class-0/broken.png: not an image" in done.err
    assert "60 images, 3 layers, 112 neurons" in done.err
    again = cli.good(*ingest_arguments(data, "--queries", 6))
    assert again.err.count("in the graph already") == 3
    assert "traversal against exact circuits: nodes F1" in again.err

    (model,) = cli.good("models", "--json").document["rows"]
    assert model["neurons"] == 112
    assert len(cli.good("classes", "--json").document["rows"]) == 10
    layers = cli.good("layers", "--json").document
    assert layers["columns"]
    assert [row["channels"] for row in layers["rows"]] == [16, 32, 64]
    runs = cli.good("runs", "--json").document["rows"]
    assert {row["method"] for row in runs} == {"activations", "gcc", "agreement-gcc"}

    named = cli.good("cypher", "MATCH (c:Circuit)-[:EXPLAINS]->(i:Image) RETURN i.id AS id LIMIT 1", "--json")
    image = named.document["rows"][0]["id"]
    exact = cli.good("circuit", image, "--json").document
    assert exact["query"] == "circuit_of_image"
    assert {edge["type"] for edge in exact["subgraph"]["edges"]} == {"DRIVES"}
    assert cli.good("circuit", image, "--traversal", "--json").document["query"] == "traversal_circuit"
    pushes = cli.good("circuit", image, "--target", "predicted", "--json").document["rows"]
    circuit = pushes[0]["circuit"]
    assert "its strongest edges" in cli.good("circuit", circuit).out
    assert cli.good("circuit", "class-1").code == 0
    assert cli.good("circuit", image, "--browser").out.startswith("http")

    neuron = cli.good("neuron", "1/3", "--json").document
    assert neuron["rows"][0]["channel"] == 3
    assert neuron["subgraph"]["edges"]
    for command in (("neuron", "1/3"), ("class", "class-1"), ("image", image), ("ablate", circuit)):
        assert cli.good(*command).out

    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(photo)
    new = cli.good("circuit", photo, "--json").document
    assert new["query"] in ("circuit_of_image", "traversal_circuit")
    assert len(cli.good("runs", "--json").document["rows"]) == 4

    evaluation = cli.good("evaluate", "gcc", "--queries", 4, "--json").document
    assert any("f1" in row["metric"].lower() for row in evaluation["rows"])

    base = next(row["run"] for row in runs if row["method"] == "activations")
    assert "other runs build on this one" in cli.refused("runs", "rm", base)
    cli.good("runs", "rm", base, "--with-dependents")
    left = connection.read("MATCH (n) RETURN DISTINCT labels(n)[0] AS label").rows
    assert left == (("Atlas",),)


def test_the_drop_stored_with_a_circuit_is_the_drop_measured_again(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    write_images(tmp_path / "pictures")
    cli.good(*ingest_arguments(tmp_path / "pictures", "--queries", 4))
    row = cli.good(
        *(
            "cypher",
            "MATCH (c:Circuit) WHERE c.drop IS NOT NULL RETURN c.id AS id, c.drop AS drop ORDER BY id LIMIT 1",
        ),
        "--json",
    ).document["rows"][0]
    measured = cli.good("ablate", row["id"], "--json").document["rows"][0]
    assert (measured["control"], measured["last_block"]) == ("circuit", True)
    assert measured["drop"] == pytest.approx(row["drop"], rel=1e-4, abs=1e-6)


def test_two_tags_of_one_model_stand_beside_each_other(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    write_images(tmp_path / "pictures")
    cli.good(*ingest_arguments(tmp_path / "pictures", "--queries", 2))
    cli.good(*ingest_arguments(tmp_path / "pictures", "--queries", 2, "--as", "half"))
    assert len(cli.good("models", "--json").document["rows"]) == 2
    assert "is not named clearly" in cli.refused("neuron", "1/3")
    (tagged,) = (r["model"] for r in cli.good("models", "--json").document["rows"] if "~half" in r["model"])
    assert cli.good("neuron", f"{tagged}/1/3", "--json").document["rows"][0]["channel"] == 3


def test_class_circuits_concepts_and_senses(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    data = tmp_path / "pictures"
    write_images(data, classes=4, each=10)
    settings = ("cla.k=3", "gig.concepts=6", "gig.steps=4", "gig.top_concepts=3")
    chosen = [word for text in settings for word in ("--set", text)]
    cli.good(*ingest_arguments(data, "--methods", "cla,gig,pure", "--classes", _classes(tmp_path), *chosen))
    runs = {row["method"] for row in cli.good("runs", "--json").document["rows"]}
    assert runs == {"activations", "cla", "gig", "pure"}

    raw = cli.good("circuit", "class-1", "--method", "cla", "--raw", "--json").document
    assert raw["query"] == "circuit_of_class"
    assert {edge["type"] for edge in raw["subgraph"]["edges"]} >= {"ATTRIBUTES_TO"}
    assert cli.good("circuit", "class-1", "--method", "cla").out
    circuit = raw["rows"][0]["circuit"]
    ablated = cli.good("ablate", circuit, "--json").document["rows"]
    assert ablated
    assert cli.good("query", "run", "predicted_against_measured", "--json").document["rows"]

    concepts = cli.good("circuit", "class-1", "--method", "gig", "--json").document
    assert {edge["type"] for edge in concepts["subgraph"]["edges"]} == {"CONTRIBUTES_TO"}
    shared = cli.good("shared", "class-0", "class-1", "--json").document
    assert shared["columns"][0] == "concept"
    assert cli.good("shared", "--matrix", "--json").document["rows"]
    concept = next(n["id"] for n in concepts["subgraph"]["nodes"] if "/c" in n["id"])
    assert cli.good("concept", concept).out
    assert cli.good("search", "--like", concept, "--json").document["rows"]
    image = cli.good("query", "run", "class_images", "class=class-1", "--json").document["rows"][0]["image"]
    told = cli.good("decompose", image, "--layer", "2", "--at", "8,8", "--json").document
    assert told["rows"]

    # Noise has no facets: the test for senses says so.
    assert cli.good("splits", "--json").document["rows"] == []
    assert cli.good("splits", "1/3", "--json").document["query"]


def _classes(folder: Path) -> Path:
    """The network has ten outputs; these are the names of all of them."""
    path = folder / "classes.txt"
    path.write_text("".join(f"class-{k}\n" for k in range(10)))
    return path
