"""One user's way through circuits of classes, on a real server: planted circuits, a shortcut, the method's figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ingest.demo import planted
from ingest.demo.planted_circuit import COMMON, LAYERS, MEMBERS
from tests.cli_runner import Cli

pytestmark = pytest.mark.server


@pytest.mark.usefixtures("connection")
def test_from_pictures_to_the_circuits_of_classes(cli: Cli, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = tmp_path / "planted"
    planted.write_images(data)
    (tmp_path / "sets.json").write_text(
        json.dumps({"everything": [planted.image_name(n) for n in (0, 20, 40)]})
    )
    cli.good(
        *("ingest", "--model", "ingest.demo.planted_circuit:crowded", "--data", data, "--quiet"),
        *("--layers", ",".join(LAYERS), "--methods", "cla", "--set", "cla.k=2", "--set", "cla.screen=true"),
        *("--set", "cla.images_per_scope=0", "--set", f"cla.scopes=classes,{tmp_path / 'sets.json'}"),
    )
    for label, members in MEMBERS.items():
        rows = cli.good("circuit", label, "--method", "cla", "--json").document["rows"]
        ends = {row[end].split("/")[2] for row in rows for end in ("source", "target")}
        assert {int(channel) for channel in ends} == set(members)
        raw = cli.good("circuit", label, "--method", "cla", "--raw", "--json").document["rows"]
        assert str(COMMON) in {row["source"].split("/")[2] for row in raw}
    busy = cli.good("query", "run", "neurons_in_most_circuits", "variant=raw", "--json").document["rows"]
    assert {int(row["neuron"].split("/")[2]) for row in busy[:3]} == {COMMON}
    apart = cli.good("query", "run", "classes_told_apart", "class_a=a", "class_b=b", "--json").document[
        "rows"
    ]
    assert len(apart) == 12
    assert cli.good("query", "run", "classes_by_circuit_overlap", "class=a", "--json").document["rows"] == []
    audit = cli.good(
        "query", "run", "shortcut_audit", "scope=planted:everything", "least=1", "--json"
    ).document
    assert audit["rows"]
    cli.good("evaluate", "cla", "--queries", "6", "--json")

    asked = 'MATCH (i:Image {split: "list"})-[:LABELLED]->(:Class {name: "a"}) RETURN i'
    again = ("ingest", "--model", "ingest.demo.planted_circuit:crowded", "--data", data, "--quiet")
    again += ("--layers", ",".join(LAYERS), "--methods", "cla", "--set", "cla.k=2", "--screen")
    cli.good(*again, "--scope", f"of a={asked}")
    (held,) = cli.good(
        "cypher", 'MATCH (s:ImageSet {kind: "cypher"}) RETURN s.id AS id, s.size AS size', "--json"
    ).document["rows"]
    assert (held["id"], held["size"] > 0) == ("planted:of a", True)
    by_name, by_id = (
        cli.good("circuit", name, "--method", "cla", "--json").document for name in ("of a", held["id"])
    )
    assert by_name["rows"] == by_id["rows"]
    assert by_name["rows"][0]["score"] > 0
    assert "not in the atlas" in cli.refused("circuit", "of b", "--method", "cla")
    assert "returns no images" in cli.refused(*again, "--scope", "x=MATCH (c:Class) RETURN c")
