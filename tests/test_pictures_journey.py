"""Evidence pictures made with ingestion: all that circuits name, each once; and a data set that moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas.store.connection import Connection
from tests.cli_runner import Cli
from tests.test_journey import ingest_arguments, write_images

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_pictures_are_made_ahead_and_found_again(
    cli: Cli, connection: Connection, server_environment: dict[str, str], tmp_path: Path
) -> None:
    data, media = tmp_path / "data", Path(server_environment["ATLAS_HOME"]) / "media" / "pictures"
    shutil.rmtree(media, ignore_errors=True)
    write_images(data)
    settings = ("gig.concepts=4", "gig.steps=2", "gig.top_concepts=2")
    chosen = [word for text in settings for word in ("--set", text)]
    command = ingest_arguments(data, "--methods", "gcc,gig", "--queries", 2, *chosen, "--pictures")
    made = cli.good(*command).err
    units = {row["unit"]: row["kind"] for row in cli.good(*_units()).document["rows"]}
    assert set(units.values()) == {"Neuron", "Concept"}
    files = {path.name: path.read_bytes() for path in media.rglob("*.webp")}
    assert f"{len(files)} evidence pictures made, 0 there already" in made
    assert len(files) == len(units)

    assert f"0 evidence pictures made, {len(files)} there already" in cli.good(*command).err
    cut = next(iter(media.rglob("*.webp")))
    cut.unlink()
    assert "1 evidence pictures made" in cli.good(*command).err
    assert {path.name: path.read_bytes() for path in media.rglob("*.webp")} == files

    concept = next(unit for unit, kind in units.items() if kind == "Concept")
    assert Path(cli.good("concept", concept, "--picture").out.strip()).name in files
    cli.good("report", tmp_path / "report", "-q")
    pages = list((tmp_path / "report" / "units").glob("*.html"))
    assert sum("media/pictures/" in page.read_text(encoding="utf-8") for page in pages) == len(units)

    neuron = next(unit for unit, kind in units.items() if kind == "Neuron")
    data.rename(tmp_path / "elsewhere")
    assert cli.good("neuron", neuron, "--picture").out
    shutil.rmtree(media)
    assert "none of the images is there" in cli.refused("neuron", neuron, "--picture")
    assert cli.good("neuron", neuron).out
    cli.good("report", tmp_path / "report", "-q")


def _units() -> tuple[str, ...]:
    return ("query", "run", "units_of_circuits", "limit=10000", "--json")
