"""Layers and images that are not what they should be, tables, ranks, and GIG on a real small network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from atlas.errors import DataError
from ingest.demo.digits import png
from ingest.demo.network import WEIGHTS
from ingest.demo.planted_concepts import ConceptNet, directions, pixels, write_images
from ingest.job import IngestSpec, Sides, prepare
from ingest.layers import LayerSpec, choose_layers
from ingest.methods.concepts import (
    Vectors,
    default_concepts,
    keep_layer,
    make_dictionary,
    nearest_vectors,
    read_layer,
)
from ingest.methods.feature_space import FeatureSpace, feature_space
from ingest.methods.gig import Explainer
from ingest.methods.gig_job import GigParameters
from ingest.methods.gig_scope import run_facts, scope_graph
from ingest.methods.gig_stage import GigStage
from ingest.methods.gig_tables import Averages, contribution_table, strongest
from ingest.models import ModelSpec, load_model
from ingest.plan import Folders, activations
from ingest.segments import Trace
from ingest.shards import Shards


def layer(channels: int, positions: int = 4) -> LayerSpec:
    return LayerSpec("here", "node", 0, "conv", "", channels, positions, (2, positions // 2), 0, 1)


def space(channels: int, centre: float = 0.0) -> FeatureSpace:
    return FeatureSpace(layer(channels), "node", torch.full((channels,), centre))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_default_number_of_concepts():
    assert default_concepts(256, 600) == 150
    assert default_concepts(4, 600) == 32
    assert default_concepts(256, 3) == 1


def test_a_layer_of_zeros_is_named():
    with pytest.raises(DataError, match="layer here: all feature vectors"):
        make_dictionary(space(3, 2.0), torch.full((8, 3), 2.0), torch.zeros(0, 3), GigParameters(), 0)


def test_constant_vectors_make_one_concept():
    found = make_dictionary(space(3), torch.ones(8, 3), torch.ones(2, 3), GigParameters(), 0)
    assert found.v.shape == (1, 3)
    assert found.sizes.tolist() == [8]
    assert found.norms == pytest.approx([3**0.5])
    assert found.rel_l2 < 0.01


def test_fewer_vectors_than_concepts():
    found = make_dictionary(space(6), noise(5, 6), noise(3, 6, seed=1), GigParameters(concepts=64), 0)
    assert len(found.v) == 5
    assert found.made_from == 5


def test_vectors_are_centred_and_zero_ones_left_out():
    x = noise(40, 6) + 3
    x[5] = 3
    found = make_dictionary(space(6, 3.0), x, torch.zeros(0, 6), GigParameters(concepts=4), 0)
    assert found.made_from == 39
    plain = make_dictionary(space(6), x - 3, torch.zeros(0, 6), GigParameters(concepts=4), 0)
    assert torch.allclose(found.v, plain.v, atol=1e-5)


def test_a_dictionary_is_kept_and_read(tmp_path):
    x = noise(40, 6)
    made = make_dictionary(space(6), x, torch.zeros(0, 6), GigParameters(concepts=4), 0)
    vectors = Vectors(np.arange(40), np.zeros(40, np.int64), np.ones(40, bool), x.numpy())
    keep_layer(tmp_path / "a.npz", made, vectors)
    again, same = read_layer(tmp_path / "a.npz", space(6))
    assert torch.equal(made.v, again.v)
    assert (made.penalty, made.rel_l2, made.l0, made.method) == (
        *(again.penalty, again.rel_l2, again.l0, again.method),
    )
    assert np.array_equal(same.vectors, vectors.vectors)


def test_nearest_vectors_by_cosine():
    x = noise(50, 6)
    made = make_dictionary(space(6), x, torch.zeros(0, 6), GigParameters(concepts=4), 0)
    indices, similarity = nearest_vectors(made, x, 3)
    cosine = nn.functional.normalize(x, dim=1) @ made.v.T
    for k in range(4):
        assert indices[k].tolist() == cosine[:, k].topk(3).indices.tolist()
    assert (np.diff(similarity, axis=1) <= 0).all()


def test_contributions_keep_the_strongest_and_rank_all():
    mean = np.array([[3.0, -5.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-4.0, 1.0, 1.0, 2.0]])
    table = contribution_table(
        ["s0", "s1", "s2", "s3"], ["t0", "t1", "t2"], Averages(mean, mean * 0, 7), "scope", 1, 2
    )
    rows = list(zip(table["start"].codes.tolist(), table["end"].codes.tolist(), strict=True))
    assert rows == [(0, 0), (1, 0), (0, 2), (3, 2)]
    assert table["share"].tolist() == pytest.approx([3 / 9, -5 / 9, -4 / 8, 2 / 8])
    assert table["rank_in"].tolist() == [2, 1, 1, 2]
    assert table["rank_out"].tolist() == [2, 1, 1, 1]
    assert set(table["n"].tolist()) == {7}


def test_the_strongest_entry_of_each_concept():
    atoms = np.array([4, 1, 4, 2, 1])
    values = np.array([0.5, -2.0, -0.75, 0.1, 1.0])
    concepts, entries = strongest(atoms, values)
    assert concepts.tolist() == [1, 4, 2]
    assert entries.tolist() == [1, 2, 3]


@pytest.fixture(scope="module")
def digits():
    """The demo's trained network in float64, on noise that looks like canvases, with dictionaries of its vectors."""
    torch.set_num_threads(1)
    model = load_model(ModelSpec("ingest.demo.network:digit_pairs", checkpoint=WEIGHTS))
    trace = model.trace
    module = trace.graph.module.double()
    assert next(module.parameters()).dtype == torch.float64
    layers = choose_layers(model, "layer*.*")[3:6]
    spaces = [feature_space(trace, one) for one in layers]
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = nn.functional.interpolate(coarse, 64, mode="bilinear")
    with torch.no_grad():
        clean = trace.values(x, [one.node for one in spaces])
    parameters = GigParameters(concepts=40, steps=128)
    dictionaries = [
        make_dictionary(
            one, clean[one.node].movedim(1, 3).flatten(0, 2).float(), torch.zeros(0), parameters, 0
        )
        for one in spaces
    ]
    return Explainer(trace, dictionaries, parameters), x


def test_completeness_of_adjacent_layers_and_of_any_pair(digits):
    explainer, x = digits
    clean = explainer.clean(x[:1], [(0, 1), (0, 2), (0, None)])
    codes = explainer.decompose(0, clean[explainer.dictionaries[0].space.node])
    targets = torch.arange(2)
    adjacent = explainer.to_concepts(codes, 1, targets, clean).error
    apart = explainer.to_concepts(codes, 2, targets, clean).error
    logits = explainer.to_outputs(codes, [0, 7], clean).error
    assert float(adjacent.max()) < 1e-3
    assert float(apart.max()) < 3e-3
    assert float(logits.max()) < 3e-3


def test_gradients_in_feature_space_equal_gradients_of_the_codes(digits):
    """The definition, by whole dense codes of one image."""
    explainer, x = digits
    four = Explainer(explainer.trace, explainer.dictionaries, GigParameters(steps=4))
    clean = four.clean(x[:1], [(0, 1)])
    own, other = (explainer.dictionaries[n] for n in (0, 1))
    value = clean[own.space.node]
    codes = four.decompose(0, value)
    found = four.to_concepts(codes, 1, torch.tensor([5]), clean).scores[0, 0]
    u, v = codes.codes.dense(), own.v.double()
    segment, total = four.segment(0, 1), torch.zeros_like(u)
    for step in range(4):
        scaled = ((step + 0.5) / 4 * u).requires_grad_(True)
        raw = (scaled @ v + own.space.centre.double()).T.reshape(value.shape)
        out = segment(raw, {name: clean[name] for name in segment.frozen})
        reached = torch.einsum("nchw,c->", out, other.v[5].double())
        total += torch.autograd.grad(reached, scaled)[0]
    assert torch.allclose(found, (u * total / 4).sum(0), atol=1e-10)


def test_tokens_with_a_class_token():
    torch.manual_seed(0)
    vit = VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=3
    )
    nn.init.normal_(vit.heads.head.weight)
    trace = Trace(vit.double().eval().requires_grad_(False), (3, 16, 16))
    layers = choose_layers(SimpleNamespace(trace=trace, name="vit"), "*mlp.1")
    spaces = [feature_space(trace, one) for one in layers]
    x = noise(4, 3, 16, 16).double()
    with torch.no_grad():
        clean = trace.values(x, [one.node for one in spaces])
    assert all(
        torch.equal(nn.functional.gelu(clean[s.node]), trace.values(x, [s.layer.node])[s.layer.node])
        for s in spaces
    )
    vectors = [clean[one.node].flatten(0, 1).float() for one in spaces]
    parameters = GigParameters(concepts=4, steps=64)
    made = [
        make_dictionary(one, own, torch.zeros(0), parameters, 0)
        for one, own in zip(spaces, vectors, strict=True)
    ]
    explainer = Explainer(trace, made, parameters)
    values = explainer.clean(x, [(0, 1), (0, None)])
    codes = explainer.decompose(0, values[spaces[0].node])
    assert codes.positions == 5
    for scores in (
        explainer.to_concepts(codes, 1, torch.tensor([0, 3]), values),
        explainer.to_outputs(codes, [1], values),
    ):
        assert float(scores.error.max()) < 1e-2
        assert float(scores.scores.abs().max()) > 0


def test_the_residual_makes_the_end_the_models_own_value(digits):
    explainer, x = digits
    whole = Explainer(explainer.trace, explainer.dictionaries, GigParameters(steps=2, residual=True))
    clean = whole.clean(x[:1], [(1, None)])
    value = clean[explainer.dictionaries[1].space.node]
    line = whole.rebuilt(whole.decompose(1, value), value)
    assert torch.allclose(line.moving + line.fixed, value)
    paper = explainer.rebuilt(explainer.decompose(1, value), value)
    assert not torch.allclose(paper.moving + paper.fixed, value, rtol=0.05)


def test_probabilities_as_targets(digits):
    explainer, x = digits
    soft = Explainer(explainer.trace, explainer.dictionaries, GigParameters(steps=64, target="probability"))
    clean = soft.clean(x[:1], [(2, None)])
    codes = soft.decompose(2, clean[explainer.dictionaries[2].space.node])
    scores = soft.to_outputs(codes, [3], clean)
    line = soft.rebuilt(codes, clean[explainer.dictionaries[2].space.node])
    ends = [
        soft.segment(2, None)(value, {}).softmax(1)[0, 3] for value in (line.fixed, line.moving + line.fixed)
    ]
    assert float(scores.scores.sum()) == pytest.approx(float(ends[1] - ends[0]), abs=1e-3)


def test_batches_and_memory_change_nothing(digits):
    explainer, x = digits
    small = Explainer(explainer.trace, explainer.dictionaries, GigParameters(steps=2, chunk_bytes=2**20))
    large = Explainer(explainer.trace, explainer.dictionaries, GigParameters(steps=2))
    one = scope_graph(large, [x[:3]], None, 2, [(0, 2)])
    two = scope_graph(small, [x[:2], x[2:3]], None, 2, [(0, 2)])
    assert one.tops == two.tops
    for n, averages in one.to_output.items():
        assert averages.mean == pytest.approx(two.to_output[n].mean, abs=1e-9)
    assert one.to_next[0, 2].mean == pytest.approx(two.to_next[0, 2].mean, abs=1e-9)
    assert one.to_next[0, 2].n == 3


def stage_of(home, methods: GigParameters, share: float = 0.5, queries: str = "4") -> GigStage:
    if not (home / "images").exists():
        write_images(home / "images")
    spec = IngestSpec(
        model=ModelSpec("ingest.demo.planted_concepts:concepts"),
        data=home / "images",
        layers="block1,block2",
        queries=queries,
        sides=Sides(judge_share=share),
        gig=methods,
    )
    prepared = prepare(spec)
    folders = Folders(home / "work", home / "spools", home / "media")
    return GigStage(prepared, activations(prepared, folders, lambda *_: None))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (GigParameters(dictionary="none"), "no such dictionary"),
        (GigParameters(dictionary="file:none.safetensors"), "cannot be read"),
        (GigParameters(space="middle"), "no such space"),
        (GigParameters(target="loss"), "no such target"),
        (GigParameters(steps=0), "out of its range"),
        (GigParameters(l0=1.0), "out of its range"),
    ],
)
def test_wrong_parameters_are_told_before_anything_runs(tmp_path, parameters, message):
    with pytest.raises(DataError, match=message):
        _ = stage_of(tmp_path, parameters).dictionaries


def test_without_judging_images_the_list_images_set_the_penalty(tmp_path):
    stage = stage_of(tmp_path, GigParameters(concepts=8), share=0.0)
    assert stage.dictionaries[0].made_from == 96


def test_constant_images_and_a_class_without_list_images(tmp_path):
    """A black image has no feature vector with a direction; a class that only judges has no scope."""
    write_images(tmp_path / "images")
    for n, path in enumerate(sorted((tmp_path / "images" / "c").iterdir())):
        if n:
            path.unlink()
        else:
            path.write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    stage = stage_of(tmp_path, GigParameters(steps=2))
    shards = Shards(tmp_path / "shards")
    tables = {}
    for phase in stage.phases:
        for name in phase:
            compute = lambda name=name: stage.compute("r000000000x", name, lambda *_: None, shards.read)  # noqa: E731
            for table, columns in shards.tables(name, compute):
                tables.setdefault(table, []).append(columns)
    black = ~stage.vectors(0).vectors.any(axis=1)
    assert int(black.sum()) == int(not stage._prepared.subject.judging[-1])
    assert {part["id"][0].split("/")[1] for part in tables["ImageSet"]} <= {"a", "b", "c"}


def test_a_resumed_job_reads_its_own_dictionaries(tmp_path):
    first = stage_of(tmp_path, GigParameters())
    made = [dictionary.v for dictionary in first.dictionaries]
    again = stage_of(tmp_path, GigParameters(steps=7, top_concepts=3))
    assert again.folder == first.folder
    assert all(torch.equal(a, b.v) for a, b in zip(made, again.dictionaries, strict=True))
    assert stage_of(tmp_path, GigParameters(concepts=3)).folder != first.folder


def test_tokens_before_the_grid_lie_nowhere(tmp_path):
    naming = stage_of(tmp_path, GigParameters()).naming
    tokens = LayerSpec("t", "t", 0, "tokens", "", 3, 5, (2, 2), 1, 2)
    x, y = naming.places(tokens, np.array([0, 1, 4]))
    assert np.ma.getmaskarray(x).tolist() == [True, False, False]
    assert x[1:].tolist() == [2.0, 6.0]
    assert y[1:].tolist() == [2.0, 6.0]


def test_planted_module_is_what_its_docstring_says():
    net = ConceptNet()
    image = torch.from_numpy(pixels()[:1]).movedim(3, 1) / 255
    value = net.mix(net.stem(image)).detach()[0].flatten(1).T.double()
    seen = value[value.norm(dim=1) > 0]
    cosine = nn.functional.normalize(seen, dim=1) @ torch.from_numpy(directions()).T
    assert len(seen) == 3
    assert float(cosine.amax(1).min()) > 0.99


def test_incomplete_runs_say_so():
    assert run_facts({"targets": 100, "completeness_error": 1.0, "incomplete": 5}, 32)["remarks"] == []
    (remark,) = run_facts({"targets": 100, "completeness_error": 6.0, "incomplete": 3}, 32)["remarks"]
    assert "6.0%" in remark
    assert "gig.steps=64" in remark
    assert run_facts({"targets": 100, "completeness_error": 1.0, "incomplete": 6}, 32)["remarks"]
    assert run_facts({}, 32)["remarks"] == []


def test_a_file_is_part_of_what_a_run_is(tmp_path):
    path = tmp_path / "own.safetensors"
    parameters = GigParameters(dictionary=f"file:{path}", steps=2, images_per_class=2)
    with pytest.raises(DataError, match="cannot be read"):
        stage_of(tmp_path, parameters)
    runs = []
    for seed in (0, 1):
        own = {"block1": noise(7, 12, seed=seed), "block2": noise(5, 6, seed=seed)}
        save_file(own, path)
        stage = stage_of(tmp_path, parameters)
        runs.append((stage.parameters(), stage.folder))
        assert torch.allclose(stage.dictionaries[0].v, nn.functional.normalize(own["block1"], dim=1))
        assert stage.dictionaries[1].prefix == "file"
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] != runs[1][1]
