"""Cutting circuits from the command line on a real server: what is measured, stored and compared with predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.store.connection import Connection
from tests.cli_runner import Cli

pytestmark = pytest.mark.server
MODEL = "examples.own_model:small_resnet"


def one(cli: Cli, cypher: str) -> dict[str, str]:
    return cli.good("cypher", cypher, "--json").document["rows"][0]  # type: ignore[no-any-return]


def test_circuits_are_cut_measured_and_stored(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(10):
        (tmp_path / "data" / f"class-{k}").mkdir(parents=True)
        for n in range(5):
            pixels = rng.integers(0, 200, (32, 32, 3)) + np.array([5 * k, 50 - 5 * k, 0])
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "data" / f"class-{k}" / f"{n}.png")
    cli.good(
        *("ingest", "--model", MODEL, "--data", tmp_path / "data", "--methods", "gcc,cla", "--queries", 3),
        *("--root-share", 0.1, "--mask-share", 0.4, "--flow-floor", 0.0, "--set", "cla.k=3"),
        *("--set", "cla.images_per_scope=1", "--force", "--quiet"),
    )
    found = one(
        cli,
        "MATCH (c:Circuit {method: 'cla', variant: 'raw'})-[:EXPLAINS]->(k:Class)"
        " WHERE EXISTS { (k)<-[:LABELLED]-(:Image {split: 'judge'}) }"
        " RETURN c.id AS id, k.id AS class ORDER BY id LIMIT 1",
    )
    measured = cli.good("ablate", found["id"], "--draws", 2, "--json").document
    assert measured["params"]["kind"] == "zero"
    logit = {row["control"]: row for row in measured["rows"] if row["metric"] == "logit"}
    assert set(logit) == {"circuit", "top", "random"}
    assert {row["class"] for row in logit.values()} == {found["class"]}
    assert logit["circuit"]["predicted"] < 0
    assert any(row["metric"].startswith("probe ") for row in measured["rows"])

    compared = cli.good(
        "query", "run", "predicted_against_measured", f"circuit={found['id']}", "--json"
    ).document
    (row,) = compared["rows"]
    assert row["predicted"] == pytest.approx(logit["circuit"]["predicted"])
    assert row["measured"] == pytest.approx(logit["circuit"]["change"])
    cli.good("ablate", found["id"], "--kind", "circuit", "--on", "all", "--draws", 1)
    kept = cli.good(
        "query", "run", "interventions", f"circuit={found['id']}", "limit=1000", "--json"
    ).document["rows"]
    assert {row["kind"] for row in kept} == {"zero circuit", "circuit circuit"}

    before = connection.read("MATCH (i:Intervention) RETURN count(i)").rows
    edges = one(cli, "MATCH ()-[d:DRIVES]->() RETURN d.circuit AS id ORDER BY id LIMIT 1")["id"]
    own = cli.good(
        "ablate", edges, "--kind", "edges", "--on", "all", "--draws", 1, "--no-store", "--json"
    ).document
    assert {row["control"] for row in own["rows"]} == {"circuit", "random"}
    asked = (
        "ablate",
        "--cypher",
        "MATCH (n:Neuron) WHERE n.channel < 2 RETURN n",
        "--no-store",
        "--draws",
        1,
    )
    assert cli.good(*asked, "--json").document["params"]["neurons"] == 6
    assert connection.read("MATCH (i:Intervention) RETURN count(i)").rows == before
    assert "refused" in cli.refused("ablate", "--cypher", "MATCH (n) DETACH DELETE n")
    assert "no neurons" in cli.refused("ablate", "--cypher", "RETURN 1")
    assert "name a circuit or a query" in cli.refused("ablate")
    assert "no circuit of a class" in cli.refused(*asked, "--on", "class")

    concepts = tmp_path / "concepts.json"
    concepts.write_text(json.dumps({"low": ["class-0", "class-1"], "high": ["class-8", "class-9"]}))
    effects = cli.good("concept-effects", concepts, "--k", 2, "--scored", 2, "--draws", 1, "--json").document
    assert {(row["concept"], row["cut"]) for row in effects["rows"]} == {
        (concept, cut) for concept in ("low", "high") for cut in ("circuit", "random")
    }
    runs = {row["method"] for row in cli.good("runs", "--json").document["rows"]}
    assert {"concept-effects", f"ablate:{found['id']}:zero", f"ablate:{found['id']}:circuit"} <= runs


def test_a_merged_circuit_is_said_to_be_held_by_another(cli: Cli, golden: Connection) -> None:
    done = cli("ablate", "c0000000005e")
    assert "is merged into c0000000001a" in done.err
