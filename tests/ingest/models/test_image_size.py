"""A model's input in another size than its weights' own: `--image-size`, and who refuses it."""

from __future__ import annotations

import re
from pathlib import Path

import open_clip
import pytest

from atlas.errors import ModelError
from atlas.spool import Spool
from ingest.models import ModelSpec, load_model
from ingest.reopen import reopen_job
from tests.cli_runner import Cli

FACTORIES = """
from torch import nn
from torchvision.transforms import Compose, Resize, ToTensor


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def sized():
    return net(), Compose([Resize((24, 24)), ToTensor()])
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "home"))
    return Cli(monkeypatch, capsys)


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "image_size_factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return "image_size_factories"


def layers(cli: Cli, *arguments: object) -> dict[str, int]:
    """Layer -> positions of what an ingestion would take."""
    rows = cli.good("layers", *arguments, "--json").document["rows"]
    return {row["layer"]: row["positions"] for row in rows}


def test_an_ingestion_sees_images_in_the_size_asked_for(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "classes").write_text("\n".join(map(str, range(1000))))
    cli.good(
        *("ingest", "--model", "resnet18", "--weights", "random:0", "--data", pictures),
        *("--image-size", 64, "--layers", "layer3.*", "--queries", 1, "--judge-share", 0),
        *("--classes", tmp_path / "classes", "--root-share", 0.34, "--mask-share", 0.5, "--workers", 1),
        *("--force", "--no-load", "--quiet"),
    )
    found = [Spool.open(path) for path in (tmp_path / "home" / "spools").iterdir()]
    base = next(spool for spool in found if spool.run.method == "activations")
    table = next(table for table in base.tables() if table.name == "Layer")
    place = [prop.name for prop in table.columns].index("positions")
    assert [row[place] for batch in base.batches(table) for row in batch] == [4 * 4, 4 * 4]
    assert "crop_size=[64, 64]" in str(base.run.parameters["transform"])
    # The job opens again with the size it had.
    again = reopen_job(tmp_path / "home" / "work", base.run.facts, "cpu")
    assert again.model.input_shape == (3, 64, 64)


def test_layers_of_a_model_at_another_size(cli: Cli, factories: str) -> None:
    assert layers(cli, "--model", "resnet18", "--layers", "layer4.1") == {"layer4.1": 7 * 7}
    assert layers(cli, "--model", "resnet18", "--layers", "layer4.1", "--image-size", 96) == {
        "layer4.1": 3 * 3
    }
    tokens = layers(cli, "--model", "vit_b_32", "--layers", "*layer_0.mlp*", "--image-size", 64)
    assert set(tokens.values()) == {1 + 2 * 2}
    # A factory without a transform takes any size; its images must have it.
    assert set(layers(cli, "--model", f"{factories}:net", "--image-size", 12).values()) <= {10 * 10, 8 * 8}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("vit_b_32", "--weights", "DEFAULT", "--image-size", 64), r"cannot take images of this size.*64x64"),
        (
            ("vit_b_32", "--weights", "random:0", "--image-size", 60),
            r"cannot take images of this size.*60x60",
        ),
        (("resnet18", "--weights", "random:0", "--image-size", 0), None),
        (("{}:sized", "--image-size", 32), r"own size.*expected 32x32.*got 24x24"),
    ],
)
def test_a_model_that_takes_no_other_size_says_so(
    arguments: tuple[object, ...], line: str | None, cli: Cli, factories: str, pictures: Path, tmp_path: Path
) -> None:
    model, *rest = arguments
    command = ("ingest", "--model", str(model).format(factories), "--data", pictures, *rest, "--no-load")
    if line is None:
        assert cli(*command).code == 2
    else:
        found = cli.refused(*command)
        assert re.search(line, found), found
    assert not (tmp_path / "home" / "spools").exists()


def test_a_clip_tower_keeps_its_own_size(tmp_path: Path, cli: Cli, pictures: Path) -> None:
    name = f"tiny-{tmp_path.name}"
    vision = '{"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}'
    text = '{"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}'
    (tmp_path / f"{name}.json").write_text(f'{{"embed_dim": 8, "vision_cfg": {vision}, "text_cfg": {text}}}')
    open_clip.add_model_config(tmp_path / f"{name}.json")
    assert load_model(ModelSpec(f"clip:{name}", "random:0", image_size=(32, 32))).input_shape == (3, 32, 32)
    with pytest.raises(ModelError, match=r"own size.*expected 64x64.*got 32x32"):
        load_model(ModelSpec(f"clip:{name}", "random:0", image_size=(64, 64)))
    asked = ("embed", pictures, "--model", name, "--output", tmp_path / "v.safetensors", "--image-size", 64)
    assert cli(*asked, "--clip").code == 2


def test_vectors_of_another_size(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    found = []
    for side in (32, 64):
        output = tmp_path / f"{side}.safetensors"
        asked = ("--model", "squeezenet1_1", "--weights", "random:0", "--image-size", side, "--quiet")
        cli.good("embed", pictures, "--output", output, *asked)
        found.append(load_file(output))
    assert found[0].keys() == found[1].keys()
    assert not all(found[0][name].equal(found[1][name]) for name in found[0])
