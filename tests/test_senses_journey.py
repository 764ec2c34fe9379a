"""From pictures to senses on a real server: a planted network, split, asked about and ablated."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.store.connection import Connection
from ingest.demo.planted import SENSES_LAYERS, image_name, write_images
from tests.cli_runner import Cli

pytestmark = pytest.mark.server


def test_from_pictures_to_one_sense_less(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    data = tmp_path / "pictures"
    write_images(data)
    job = (
        *(
            "ingest",
            "--model",
            "ingest.demo.planted:senses",
            "--data",
            data,
            "--layers",
            ",".join(SENSES_LAYERS),
        ),
        *(
            "--methods",
            "pure",
            "--queries",
            "all",
            "--mask-share",
            0.7,
            "--force",
            "--quiet",
            "--judge-share",
            0.3,
        ),
        *("--set", "pure.references=24", "--set", "pure.least=6", "--set", "pure.restarts=3"),
    )
    cli.good(*job)
    (split,) = cli.good("splits", "--json").document["rows"]
    assert split["neuron"].endswith("/block2/0")
    senses = cli.good("splits", "block2/0", "--json").document["rows"]
    assert len(senses) == 2
    image = data / image_name(0)
    (assigned,) = cli.good("splits", "block2/0", "--image", image, "--json").document["rows"]
    assert assigned["sense"] in {row["sense"] for row in senses}
    effects = cli.good("splits", "block2/0", "--ablate", "--json").document["rows"]
    assert all(row["own"] > 3 * row["others"] and row["own"] > row["random"] for row in effects)
    assert "no senses" in cli.refused("splits", "block2/1", "--ablate")
    named = cli.good("query", "run", "image_senses", f"image={image_name(0)}", "--json").document["rows"]
    assert [row["sense"] for row in named] == [assigned["sense"]]
