"""Loading models: what is built, what it is called, and one clear line for whatever cannot be used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from atlas.errors import DataError, ModelError
from ingest.checkpoints import check_finite, weights_digest
from ingest.layers import choose_layers
from ingest.models import ModelSpec, load_model
from ingest.segments import OUTPUT

FACTORIES = """
import torch
from torch import nn
from torchvision import transforms

def bare():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(4, 5))

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,
    5))

def ready():
    return bare(), transforms.Compose([transforms.Resize((8, 9)), transforms.ToTensor()])

def fails():
    raise KeyError("no such preset")

def number():
    return 7

def odd_transform():
    return bare(), lambda image: torch.zeros(4)

class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = bare()
        self.model.register_forward_hook(lambda module, given, out: out + 1)
    def forward(self, x):
        return self.model(x)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of factories in the current folder, under a name no other test imports."""
    name = f"factories_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return name


def own(name: str, **kwargs: object) -> ModelSpec:
    return ModelSpec(name, image_size=kwargs.pop("image_size", (8, 9)), **kwargs)  # type: ignore[arg-type]


def line(spec: ModelSpec) -> str:
    """The one line of the error that loading ends in."""
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_torchvision_model_without_weights_is_random_and_repeatable() -> None:
    before = torch.random.get_rng_state()
    first, again = (
        load_model(ModelSpec("resnet18", seed=3)),
        load_model(ModelSpec("resnet18", weights="random:3")),
    )
    other = load_model(ModelSpec("resnet18"))
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator moved"
    assert first.digest == again.digest != other.digest
    assert (first.source, other.source) == ("random:3", "random:0")
    assert (first.name, first.outputs, first.input_shape, first.categories) == (
        "resnet18",
        1000,
        (3, 224, 224),
        None,
    )
    assert not first.module.training
    assert not any(p.requires_grad for p in first.module.parameters())
    assert "crop_size=[224]" in first.transform_text
    assert "\n" not in first.transform_text


def test_the_digest_is_the_literal_one() -> None:
    module = nn.BatchNorm1d(2)
    h = hashlib.sha256()
    for name in sorted(module.state_dict()):
        tensor = module.state_dict()[name]
        h.update(
            name.encode()
            + b"\0"
            + str(tensor.dtype).encode()
            + b"\0"
            + str(tuple(tensor.shape)).encode()
            + b"\0"
        )
        h.update(tensor.numpy().tobytes())
    assert weights_digest(module) == h.hexdigest()
    with torch.no_grad():
        module.running_mean += 1  # type: ignore[operator]
    assert weights_digest(module) != h.hexdigest()


def test_named_weights_bring_transform_and_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download is replaced by the state of a random model; everything else is torchvision's."""
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models.SqueezeNet1_1_Weights, "get_state_dict", lambda *_, **__: state)
    for name in ("IMAGENET1K_V1", "DEFAULT", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        model = load_model(ModelSpec("squeezenet1_1", weights=name))
        assert model.source == "torchvision:SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert model.categories is not None
    assert len(model.categories) == 1000
    assert model.categories[207] == "golden retriever"


def test_a_failed_download_is_one_line_with_a_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("name or service not known")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    text = line(ModelSpec("resnet18", weights="DEFAULT"))
    assert text.startswith(
        "the weights could not be downloaded: https://download.pytorch.org/models/resnet18-"
    )
    assert "name or service not known" in text
    assert text.endswith("Check the network, or download the file elsewhere and pass it as --checkpoint")


def test_own_model_with_and_without_transform(factories: str) -> None:
    ready = load_model(ModelSpec(f"{factories}:ready"))
    assert (ready.name, ready.input_shape, ready.outputs) == ("ready", (3, 8, 9), 5)
    assert ready.source == f"factory:{factories}:ready"
    bare = load_model(own(f"{factories}:bare"))
    assert bare.input_shape == (3, 8, 9)
    assert bare.transform_text == "UnitScale(channels=3, size=8x9)"
    pixels = bare.transform(Image.new("RGB", (9, 8), (255, 0, 51)))
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    with pytest.raises(DataError, match="9x8, got 8x9"):
        bare.transform(Image.new("RGB", (8, 9)))
    assert load_model(own(f"{factories}:grey")).input_shape == (1, 8, 9)
    asked = load_model(ModelSpec(f"{factories}:bare"), size=lambda: (6, 7))
    assert asked.input_shape == (3, 6, 7)


def test_the_example_of_an_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    model = load_model(ModelSpec("examples.own_model:small_resnet"))
    assert [layer.name for layer in choose_layers(model, None)] == ["0", "1", "2"]
    x = torch.rand(2, *model.input_shape)
    torch.testing.assert_close(model.trace.values(x, [OUTPUT])[OUTPUT], model.module(x))


SAVED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
    "compiled": lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("form", [*SAVED, "safetensors"])
def test_a_checkpoint_in_every_form_is_the_same_model(form: str, factories: str, tmp_path: Path) -> None:
    trained = load_model(own(f"{factories}:bare", seed=5))
    state = dict(trained.module.state_dict())
    file = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    if form == "safetensors":
        save_file(state, file)
    else:
        torch.save(SAVED[form](state), file)
    model = load_model(own(f"{factories}:bare", checkpoint=file))
    assert model.digest == trained.digest
    assert model.source == f"checkpoint:{file.name}"


def test_a_torchvision_checkpoint_of_other_classes(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tuned = torchvision.models.mobilenet_v3_small(weights=None, num_classes=7)
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    model = load_model(ModelSpec("mobilenet_v3_small", checkpoint=tmp_path / "tuned.pth"))
    assert model.outputs == 7
    assert model.digest == weights_digest(tuned)


def test_checkpoints_that_cannot_be_used(factories: str, tmp_path: Path) -> None:
    spec, file = f"{factories}:bare", tmp_path / "w.pt"
    state = dict(load_model(own(spec)).module.state_dict())
    assert "no such checkpoint" in line(own(spec, checkpoint=tmp_path / "none.pt"))
    torch.save(state, file)
    file.write_bytes(file.read_bytes()[:-300])
    assert "the checkpoint cannot be read" in line(own(spec, checkpoint=file))
    file.write_bytes(b"not a checkpoint")
    assert "the checkpoint cannot be read" in line(own(spec, checkpoint=file))
    broken = tmp_path / "w.safetensors"
    save_file(state, broken)
    broken.write_bytes(broken.read_bytes()[:40])
    assert "the checkpoint cannot be read" in line(own(spec, checkpoint=broken))
    torch.save(load_model(own(spec)).module, file)
    assert "weights_only=True" in line(own(spec, checkpoint=file))
    torch.save({"epoch": 3}, file)
    assert "holds no state dict" in line(own(spec, checkpoint=file))


def test_a_mismatched_checkpoint_lists_what_differs_in_one_line(factories: str, tmp_path: Path) -> None:
    state = dict(load_model(own(f"{factories}:bare")).module.state_dict())
    del state["0.bias"]
    state["extra"] = torch.zeros(1)
    state["4.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "w.pt")
    text = line(own(f"{factories}:bare", checkpoint=tmp_path / "w.pt"))
    assert "1 missing: 0.bias" in text
    assert "1 unexpected: extra" in text
    assert "1 other shape: 4.weight (5, 4) got (2, 2)" in text


def test_weights_that_are_not_finite_are_refused(factories: str, tmp_path: Path) -> None:
    state = dict(load_model(own(f"{factories}:bare")).module.state_dict())
    state["4.bias"] = torch.tensor([0, 0, float("nan"), 0, 0])
    torch.save(state, tmp_path / "w.pt")
    assert re.search(
        r"NaN or infinite.*4\.bias", line(own(f"{factories}:bare", checkpoint=tmp_path / "w.pt"))
    )
    check_finite(nn.BatchNorm1d(2), "integers are no weights")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec("resnet19"), "no torchvision classifier of this name: resnet19. Closest: resnet18"),
        (
            ModelSpec("resnet18", weights="V9"),
            "no such weights: resnet18 V9 (expected IMAGENET1K_V1, DEFAULT, random:SEED",
        ),
        (ModelSpec("resnet18", weights="random:x"), "not a seed: random:x"),
        (ModelSpec("resnet18", weights="DEFAULT", checkpoint=Path("w.pt")), "both weights and a checkpoint"),
        (ModelSpec("resnet18", device="abacus"), "device cannot be used: abacus"),
        (ModelSpec("no_such_package:f"), "cannot be imported: no_such_package"),
        (ModelSpec("{}:redy"), "no such factory: {}:redy. Closest: ready"),
        (
            ModelSpec("{}:fails"),
            "the model factory fails: {}:fails (expected a module, got KeyError: 'no such preset')",
        ),
        (ModelSpec("{}:number"), "the model factory returns something else"),
        (ModelSpec("{}:odd_transform"), "expected a tensor (C, H, W), got (4,)"),
        (ModelSpec("{}:bare"), "the model has no transform and its input size is unknown"),
        (ModelSpec("{}:bare", weights="DEFAULT"), "weights by name belong to models of a library"),
        (ModelSpec("{}:Noise", image_size=(8, 8)), "the traced model departs from the model"),
        (ModelSpec("{}:bare", image_size=(2, 2)), "the model's forward pass fails"),
    ],
    ids=str,
)
def test_clear_errors(spec: ModelSpec, message: str, factories: str) -> None:
    filled = ModelSpec(**{**vars(spec), "model": spec.model.format(factories)})
    assert message.format(factories) in line(filled)
