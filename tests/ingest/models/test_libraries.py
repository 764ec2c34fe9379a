"""Models of timm, open_clip and transformers: built, traced, cut and ingested with random weights; none downloaded."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from atlas.errors import ModelError
from ingest.builds import default_weights, found_from_anywhere
from ingest.job import prepare
from ingest.layers import choose_layers
from ingest.models import ModelSpec, VisionModel, load_model
from ingest.segments import OUTPUT
from tests.ingest.models.conftest import Ingest, cheap, finished

# Name, input size, number of default layers, the first of them, what traced it.
TIMM = [
    ("resnet10t", 64, 4, "layer1.0"),
    ("vit_tiny_patch16_224", 32, 12, "blocks.0.mlp.act"),
    ("convnext_atto", 32, 12, "stages.0.blocks.0"),
    ("mobilevit_xxs", 64, 7, "stages.0.0"),
    ("vgg11", 224, 10, "features.1"),
]
TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def agrees(model: VisionModel) -> None:
    """The trace is the model; each layer's value, taken from one segment to the next, is what it was."""
    x = torch.rand(3, *model.input_shape, generator=torch.Generator().manual_seed(1))
    layers = choose_layers(model, None)
    nodes = [layer.node for layer in layers]
    found = model.trace.values(x, [*nodes, OUTPUT])
    torch.testing.assert_close(found[OUTPUT], model.module(x), rtol=1e-4, atol=1e-5)
    assert all(layer.channels > 1 for layer in layers)
    for a, b in [*list(pairwise(nodes))[:1], (nodes[-1], OUTPUT)]:
        segment = model.trace.segment(a, b)
        held = model.trace.values(x, list(segment.frozen)) if segment.frozen else {}
        torch.testing.assert_close(segment(found[a], held), found[b], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "side", "count", "first"), TIMM[:3])
def test_timm_by_name(name: str, side: int, count: int, first: str) -> None:
    model = load_model(ModelSpec(f"timm:{name}", weights="random:2", image_size=(side, side)))
    assert (model.name, model.source, model.outputs) == (name, "random:2", 1000)
    assert model.input_shape == (3, side, side)
    layers = choose_layers(model, None)
    assert (len(layers), layers[0].name) == (count, first)
    assert "0x" not in model.transform_text, "an address in memory would make every job another one"
    agrees(model)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side", "count", "first"), TIMM[3:])
def test_timm_models_that_only_export_follows(name: str, side: int, count: int, first: str) -> None:
    test_timm_by_name(name, side, count, first)


def test_a_timm_checkpoint_of_other_classes(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tuned = timm.create_model("resnet10t", num_classes=7)
    save_file(tuned.state_dict(), tmp_path / "tuned.safetensors")
    model = load_model(ModelSpec("timm:resnet10t", checkpoint=tmp_path / "tuned.safetensors"))
    assert (model.outputs, model.source) == (7, "checkpoint:tuned.safetensors")


@pytest.fixture
def tiny_clip(tmp_path: Path) -> str:
    name = f"tiny-{tmp_path.name}"
    (tmp_path / f"{name}.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    return name


def test_a_clip_tower_alone_gives_its_embedding(tiny_clip: str) -> None:
    model = load_model(ModelSpec(f"clip:{tiny_clip}", weights="random:0"))
    assert (model.outputs, model.categories, model.name) == (8, None, tiny_clip)
    assert [x.name for x in choose_layers(model, None)] == [
        f"transformer.resblocks.{i}.mlp.gelu" for i in (0, 1)
    ]
    agrees(model)


def test_a_clip_tower_with_class_names_is_a_zero_shot_classifier(tiny_clip: str) -> None:
    """Against the two towers themselves: normalised, averaged over prompts, normalised again, scaled."""
    model = load_model(ModelSpec(f"clip:{tiny_clip}", weights="random:0", texts=("cat", "dog", "fire truck")))
    assert (model.outputs, model.categories) == (3, ("cat", "dog", "fire truck"))
    agrees(model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = open_clip.create_model(tiny_clip).eval()
    tokenizer, x = open_clip.get_tokenizer(tiny_clip), torch.rand(2, *model.input_shape)
    with torch.no_grad():
        prompts = [template("fire truck") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES]
        texts = torch.nn.functional.normalize(whole.encode_text(tokenizer(prompts)), dim=-1)
        text = torch.nn.functional.normalize(texts.mean(0), dim=-1)
        image = torch.nn.functional.normalize(whole.encode_image(x), dim=-1)
        expected = whole.logit_scale.exp() * image @ text
        torch.testing.assert_close(model.module(x)[:, 2], expected, rtol=1e-4, atol=1e-4)


def test_a_job_names_the_classes_of_a_clip_tower(tiny_clip: str, pictures: Path, tmp_path: Path) -> None:
    spec = replace(
        cheap(ModelSpec(f"clip:{tiny_clip}", weights="random:0"), pictures, ("gcc",)), classes=None
    )
    prepared = prepare(spec)
    assert prepared.subject.classes == ("0", "1")
    assert prepared.spec.model.texts == ("0", "1")
    found = finished(prepared, tmp_path)
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0


def vit_folder(folder: Path, *, weights: bool = True, processor: bool = True) -> Path:
    names = dict(enumerate(["0", "1", "fish"]))
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32,
        patch_size=8, id2label=names, label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    if weights:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            transformers.ViTForImageClassification(config).save_pretrained(folder)
    else:
        config.architectures = ["ViTForImageClassification"]
        config.save_pretrained(folder)
    if processor:
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_hugging_face_folder(tmp_path: Path, pictures: Path) -> None:
    folder = vit_folder(tmp_path / "tiny-vit")
    model = load_model(ModelSpec(f"hf:{folder}", weights="DEFAULT"))
    assert (model.name, model.source, model.outputs) == ("tiny-vit", "hf:tiny-vit", 3)
    assert model.categories == ("0", "1", "fish")
    names = [layer.name for layer in choose_layers(model, None)]
    assert names == ["vit.layers.0.mlp.activation_fn", "vit.layers.1.mlp.activation_fn"]
    first, second = choose_layers(model, None)
    assert first.tokens_before == 1
    frozen = model.trace.segment(first.node, second.node).frozen
    assert "pixels" not in frozen, "a batch size is read from the tensor at hand, not from the images"
    agrees(model)
    twin = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
    with torch.no_grad():
        expected = twin(**processor(image, return_tensors="pt")).logits
        torch.testing.assert_close(model.module(model.transform(image).unsqueeze(0)), expected)
    spec = replace(cheap(ModelSpec(f"hf:{folder}", weights="DEFAULT"), pictures, ("gcc",)), classes=None)
    assert finished(prepare(spec), tmp_path / "home")["gcc"].rows("Circuit") > 0


@pytest.mark.slow
def test_all_four_methods_see_a_hugging_face_model(tmp_path: Path, ingest: Ingest) -> None:
    """A graph from torch.export serves every method; 1,000 outputs fit the class file."""
    config = transformers.ConvNextConfig(
        hidden_sizes=[8, 8, 12, 16], depths=[1, 1, 2, 1], image_size=32, num_labels=1000
    )
    config.architectures = ["ConvNextForImageClassification"]
    config.save_pretrained(tmp_path / "cn")
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=1.0)
    processor.save_pretrained(tmp_path / "cn")
    found = ingest(ModelSpec(f"hf:{tmp_path / 'cn'}", weights="random:0"), ("gcc", "cla", "gig", "pure"))
    assert found["cla"].rows("Neuron-ATTRIBUTES_TO-Neuron") > 0
    assert found["gig"].rows("Concept-CONTRIBUTES_TO-Concept") > 0


def line(spec: ModelSpec) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "module", "extra"),
    [("timm:resnet18", "timm", "timm"), ("clip:RN50", "open_clip", "clip"), ("hf:vit", "transformers", "hf")],
)
def test_a_missing_extra_is_the_line_that_brings_it(
    model: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert f"`pip install 'circuit-atlas[{extra}]'`" in line(ModelSpec(model, weights="random:0")).lower()


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    assert "no timm model of this name: resnet19. Closest: resnet1" in line(ModelSpec("timm:resnet19"))
    assert "open_clip cannot load this model: ViT-Z" in line(ModelSpec("clip:ViT-Z", weights="random:0"))
    assert "open_clip has no weights" in line(ModelSpec("clip:ViT-Z", weights="DEFAULT"))
    assert "no Hugging Face model in this folder" in line(ModelSpec(f"hf:{tmp_path}"))
    bare = vit_folder(tmp_path / "bare", weights=False)
    assert "not an image classifier of transformers" in line(ModelSpec(f"hf:{bare}", weights="DEFAULT"))
    transformers.ViTModel(transformers.AutoConfig.from_pretrained(bare)).save_pretrained(tmp_path / "encoder")
    text = line(ModelSpec(f"hf:{tmp_path / 'encoder'}", weights="DEFAULT"))
    assert "weights are not all of this classifier's" in text
    assert "classifier.weight" in text
    plain = vit_folder(tmp_path / "plain", weights=False, processor=False)
    assert "the model has no transform" in line(ModelSpec(f"hf:{plain}"))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "bert"}')
    assert "not an image classifier" in line(ModelSpec(f"hf:{tmp_path / 'odd'}"))


def test_a_folder_is_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found_from_anywhere("hf:vit") == f"hf:{tmp_path / 'vit'}"
    assert found_from_anywhere("package.module:factory") == "package.module:factory"


def test_commands_take_default_weights_of_libraries_and_a_factorys_own() -> None:
    names = ["resnet18", "timm:x", "clip:x", "hf:x", "package.module:factory"]
    assert [default_weights(name) for name in names] == ["DEFAULT"] * 4 + [None]
