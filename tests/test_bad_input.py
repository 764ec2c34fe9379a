"""Bad input: one clear line on standard error, exit 1, nothing half-written."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from atlas.spool import RunRecord, SpoolWriter
from atlas.store.connection import Connection
from examples.own_model import small_resnet
from tests.cli_runner import Cli

MODEL = "examples.own_model:small_resnet"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten classes of three images."""
    rng = np.random.default_rng(0)
    for k in range(10):
        (tmp_path / "data" / f"{k}").mkdir(parents=True)
        for n in range(3):
            pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / f"{k}" / f"{n}.png")
    return tmp_path / "data"


def ingest(data: Path, *more: object) -> tuple[object, ...]:
    return ("ingest", "--model", MODEL, "--data", data, "--quiet", "--no-load", *more)


def test_a_folder_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    assert "no such folder of images" in cli.refused(*ingest(tmp_path / "nowhere"))


def test_an_empty_data_set(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no readable images" in cli.refused(*ingest(tmp_path / "empty"))


def test_only_corrupt_images(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "a" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    line = cli.refused(*ingest(tmp_path / "bad"))
    assert "1 of them unreadable" in line
    assert "x.png" in line


def test_too_few_images_for_lists(cli: Cli, data: Path) -> None:
    line = cli.refused(*ingest(data, "--force"))
    assert "too few images for root lists" in line
    assert "--root-share" in line


def test_wrong_class_count(cli: Cli, data: Path) -> None:
    (data / "extra").mkdir()
    line = cli.refused(*ingest(data))
    assert "10 class folders" in line
    assert "got 11 folders" in line


def test_a_class_file_that_does_not_fit(cli: Cli, data: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert "got 2 names" in cli.refused(*ingest(data, "--classes", tmp_path / "names.txt"))


def test_an_accuracy_near_chance_stops_before_anything_is_stored(cli: Cli, data: Path) -> None:
    save_dir = Path(os.environ["ATLAS_HOME"]) / "spools"
    before = set(save_dir.glob("*")) if save_dir.exists() else set()
    torch.manual_seed(0)
    line = cli.refused(*ingest(data, "--root-share", 0.2))
    assert "hardly better than chance" in line
    assert "--force" in line
    assert (set(save_dir.glob("*")) if save_dir.exists() else set()) == before


def test_an_unknown_layer_names_close_ones(cli: Cli, data: Path) -> None:
    line = cli.refused(*ingest(data, "--layers", "laier9"))
    assert "laier9" in line


def test_a_corrupt_checkpoint(cli: Cli, data: Path, tmp_path: Path) -> None:
    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        assert name in cli.refused(*ingest(data, "--checkpoint", tmp_path / name))


def test_a_missing_checkpoint(cli: Cli, data: Path, tmp_path: Path) -> None:
    assert "none.pt" in cli.refused(*ingest(data, "--checkpoint", tmp_path / "none.pt"))


def test_a_checkpoint_of_another_model(cli: Cli, data: Path, tmp_path: Path) -> None:
    save_file({"head.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    line = cli.refused(*ingest(data, "--checkpoint", tmp_path / "other.safetensors"))
    assert "head.weight" in line


def test_weights_that_are_not_numbers(cli: Cli, data: Path, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in small_resnet()[0].state_dict().items()}
    state["5.weight"][0, 0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    assert "5.weight" in cli.refused(*ingest(data, "--checkpoint", tmp_path / "nan.safetensors"))


def test_activations_that_are_not_numbers(cli: Cli, data: Path, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in small_resnet()[0].state_dict().items()}
    state["0.shortcut.weight"].fill_(3e38)
    save_file(state, tmp_path / "huge.safetensors")
    line = cli.refused(*ingest(data, "--checkpoint", tmp_path / "huge.safetensors"))
    assert "not a finite number" in line
    assert "img:" in line


def test_an_unknown_method(cli: Cli, data: Path) -> None:
    assert "no such method" in cli.refused(*ingest(data, "--methods", "gcc,magic"))


def test_an_unknown_model(cli: Cli, data: Path) -> None:
    assert "resnet50" in cli.refused("ingest", "--model", "resnet5O", "--data", data)


def test_a_query_that_is_not_among_the_images(cli: Cli, data: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("0/0.png\n0/nine.png\n")
    line = cli.refused(*ingest(data, "--root-share", 0.2, "--force", "--queries", tmp_path / "queries.txt"))
    assert "0/nine.png" in line


def test_a_groups_file_of_another_form(cli: Cli, data: Path, tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text("[]")
    assert "not a groups file" in cli.refused(*ingest(data, "--groups", tmp_path / "groups.json"))


def test_a_full_disk(cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # /dev/full is a file that answers every write as a full disk does; a home below it cannot even be made.
    monkeypatch.setenv("ATLAS_HOME", "/dev/full")
    line = cli.refused(*ingest(data, "--root-share", 0.2, "--force"))
    assert "cannot write" in line


def test_no_spool(cli: Cli, tmp_path: Path) -> None:
    assert "no spool" in cli.refused("load", tmp_path)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    run = RunRecord("m@00000000", "set", "d" * 64, "0" * 64, "activations", "1", {}, 0)
    with SpoolWriter(tmp_path / "spool", run) as writer:
        writer.write("Dataset", {"id": ["set"], "name": ["set"], "digest": ["d" * 64]})
        return writer.finish()


def test_a_spool_of_a_newer_schema(cli: Cli, spool: Path) -> None:
    manifest = json.loads((spool / "manifest.json").read_text())
    manifest["schema"] += 1
    (spool / "manifest.json").write_text(json.dumps(manifest))
    line = cli.refused("load", spool)
    assert "newer schema" in line
    assert "upgrade circuit-atlas" in line.lower()


def test_an_altered_spool(cli: Cli, spool: Path) -> None:
    table = spool / "Dataset.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    assert "altered or cut short" in cli.refused("load", spool)


def test_an_unreachable_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("NEO4J_URI", f"bolt://127.0.0.1:{port}")
    assert "no database answers" in cli.refused("models")


def test_a_wrong_server_address(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "postgres://127.0.0.1")
    assert "NEO4J_URI" in cli.refused("models")


def test_a_bad_query_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "mine.cypher").write_text("// name: mine\n// colour: red\nMATCH (n) RETURN n\n")
    monkeypatch.setenv("ATLAS_QUERIES", str(tmp_path / "queries"))
    line = cli.refused("query", "list")
    assert "mine.cypher:2" in line


def test_an_unknown_query_and_a_bad_argument(cli: Cli) -> None:
    assert "no such query" in cli.refused("query", "show", "modells")
    assert "name=value" in cli.refused("query", "run", "models", "limit")


@pytest.mark.server
@pytest.mark.usefixtures("server_environment", "golden")
class TestQuestions:
    """Bad questions to an atlas that is there."""

    def test_unknown_things(self, cli: Cli) -> None:
        assert "not in the atlas" in cli.refused("class", "no-such-class")
        assert "error: " in cli.refused("neuron", "nolayer/3")
        assert "error: " in cli.refused("circuit", "no-such-thing")
        assert "error: " in cli.refused("image", "img:0000000000000000")

    def test_a_limit_of_another_type(self, cli: Cli) -> None:
        assert "bad argument" in cli.refused("query", "run", "models", "limit=many")

    @pytest.mark.parametrize(
        "text", ["CREATE (n)", "LOAD CSV FROM 'file:///x' AS r RETURN r", "SHOW SETTINGS", "RETURN"]
    )
    def test_cypher_that_may_not_run(self, cli: Cli, text: str) -> None:
        assert "refuse" in cli.refused("cypher", text)

    def test_a_missing_image_file(self, cli: Cli, tmp_path: Path) -> None:
        assert "error: " in cli.refused("circuit", tmp_path / "gone.png")


def test_usage_errors_exit_with_two(cli: Cli) -> None:
    assert cli("ingest").code == 2
    assert cli("neuron").code == 2


@pytest.mark.server
@pytest.mark.usefixtures("server_environment")
def test_an_empty_atlas_is_said_to_be_empty(cli: Cli, connection: Connection) -> None:
    assert "holds no model" in cli.refused("neuron", "layer1/3")
    assert "no rows" in cli.good("models").out
