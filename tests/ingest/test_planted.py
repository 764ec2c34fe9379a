"""The planted networks do what they are said to do: each stated answer is derived again by the literal method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.cluster import KMeans
from torch import Tensor, nn

from ingest.demo import planted
from ingest.demo.planted_answers import DECOYS, QUERY_A, QUERY_B, PlantedAnswer, PlantedSettings
from ingest.layers import choose_layers
from ingest.models import ModelSpec, load_model

ANSWERS = pytest.mark.parametrize("answer", [QUERY_A, QUERY_B], ids=["a", "b"])


def activations(net: nn.Module, x: Tensor, cut: tuple[int, int] | None = None) -> list[Tensor]:
    """All layers of a full forward pass in float64, one channel set to zero on its way."""
    got: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        if cut is not None and len(got) == cut[0]:
            out = out.clone()
            out[:, cut[1]] = 0
        got.append(out)
        return out

    blocks = [module for name, module in net.named_children() if name in planted.GRANULAR_LAYERS]
    hooks = [block.register_forward_hook(keep) for block in blocks]
    logits = net(x)
    for hook in hooks:
        hook.remove()
    return [*got, logits]


class Literal:
    """Section 1.1 of the method, written down once more: lists, sensitivities, thresholds, depth-first walk."""

    def __init__(self, settings: PlantedSettings) -> None:
        self.net = planted.GranularNet().double().eval().requires_grad_(False)
        self.x = planted.inputs().double()
        self.settings = settings
        self.pooled = [
            a.flatten(2).topk(max(1, a[0, 0].numel() // 10), dim=2).values.mean(dim=2).numpy()
            for a in activations(self.net, self.x)[:4]
        ]
        self.order = [np.argsort(-p, axis=0, kind="stable") for p in self.pooled]
        self.root_size = math.ceil(settings.root_share * planted.IMAGES)
        self.mask_size = math.ceil(settings.mask_share * planted.IMAGES)

    def best(self, layer: int, channel: int, size: int) -> set[int]:
        return set(self.order[layer][:size, channel].tolist())

    def overlap(self, layer: int, source: int, target: int) -> Fraction:
        both = self.best(layer, source, self.root_size) & self.best(layer + 1, target, self.root_size)
        return Fraction(len(both), self.root_size)

    def row(self, query: int, layer: int, source: int) -> tuple[dict[int, float], dict[int, float]]:
        """S_NS over all targets, and over the candidates."""
        image = self.x[query : query + 1]
        clean = activations(self.net, image)[layer + 1]
        without = activations(self.net, image, (layer, source))[layer + 1]
        raw = (clean - without).mean(dim=(0, 2, 3)).clamp(min=0).tolist()
        share = {t: value / sum(raw) for t, value in enumerate(raw)} if sum(raw) else {}
        candidates = {
            t: s for t, s in share.items() if s > 0 and query in self.best(layer + 1, t, self.mask_size)
        }
        return share, candidates

    def passing(self, candidates: dict[int, float], shape: float | None = None) -> list[int]:
        """Targets above τ_NS; ``shape`` replaces the fitted one."""
        s = np.array(list(candidates.values()))
        u = np.percentile(s, self.settings.pot_percentile) if len(s) else 0.0
        e = s[s > u] - u
        if not len(e):
            return []
        xi, sigma = (shape, np.inf) if shape is not None else stats.genpareto.fit(e, floc=0)[::2]
        xi, sigma = max(xi, 1e-9), min(sigma, e.std())
        r = u + sigma / xi * ((len(s) / len(e) * (1 - 0.95)) ** -xi - 1)
        return [t for t, value in candidates.items() if value > r]

    def edges(self, query: int, layer: int, source: int) -> Iterator[tuple[int, float, Fraction, bool]]:
        """Target, S_NS, S_SF and whether it passes τ_SF, of those that pass τ_NS."""
        _, candidates = self.row(query, layer, source)
        overlaps = {t: self.overlap(layer, source, t) for t in candidates}
        for t in self.passing(candidates):
            tau = max(sum(overlaps.values()) / len(overlaps), Fraction(self.settings.flow_floor))
            yield t, candidates[t], overlaps[t], overlaps[t] > tau

    def roots(self, query: int) -> list[tuple[int, int]]:
        return [
            (layer, c)
            for layer in range(3)
            for c in range(self.pooled[layer].shape[1])
            if query in self.best(layer, c, self.root_size)
        ]


@pytest.fixture(scope="module")
def literal() -> Literal:
    return Literal(PlantedSettings())


def walk(
    literal: Literal, answer: PlantedAnswer
) -> dict[tuple[int, int], list[tuple[int, float, Fraction, bool]]]:
    found: dict[tuple[int, int], list[tuple[int, float, Fraction, bool]]] = {}

    def visit(layer: int, channel: int) -> None:
        if (layer, channel) in found or layer == 3:
            return
        found[layer, channel] = list(literal.edges(answer.query, layer, channel))
        for target, _, _, kept in found[layer, channel]:
            if kept:
                visit(layer + 1, target)

    for root in literal.roots(answer.query):
        visit(*root)
    return found


@ANSWERS
def test_roots_and_edges_are_the_stated_ones(literal: Literal, answer: PlantedAnswer) -> None:
    assert literal.roots(answer.query) == list(answer.roots)
    found = walk(literal, answer)
    kept = {(layer, c, t): (s, o) for (layer, c), row in found.items() for t, s, o, ok in row if ok}
    assert set(kept) == {(e.layer, e.source, e.target) for e in answer.edges}
    for edge in answer.edges:
        sensitivity, overlap = kept[edge.layer, edge.source, edge.target]
        assert sensitivity == pytest.approx(float(edge.sensitivity), abs=1e-12)
        assert overlap == edge.overlap
        assert edge.identity == (edge.layer == 1 and edge.source == edge.target)
    refused = {(layer, c, t) for (layer, c), row in found.items() for t, _, _, ok in row if not ok}
    assert refused == answer.refused


@ANSWERS
def test_circuits_and_merged_roots_follow_from_the_edges(answer: PlantedAnswer) -> None:
    def reached(node: tuple[int, int]) -> set[tuple[int, int]]:
        after = [(e.layer + 1, e.target) for e in answer.edges if (e.layer, e.source) == node]
        return {node}.union(*map(reached, after))

    own: dict[tuple[int, int], set[tuple[int, int]]] = {}
    merged: dict[tuple[int, int], tuple[int, int]] = {}
    for root in answer.roots:
        earlier = [other for other, nodes in own.items() if root in nodes]
        if len(reached(root)) > 1 and earlier:
            merged[root] = earlier[0]
        elif len(reached(root)) > 1:
            own[root] = reached(root)
    assert own == dict(answer.circuits)
    assert merged == dict(answer.merged)


@ANSWERS
def test_the_answer_does_not_hang_on_the_tail_fit(literal: Literal, answer: PlantedAnswer) -> None:
    for layer, channel in walk(literal, answer):
        _, candidates = literal.row(answer.query, layer, channel)
        fitted = literal.passing(candidates)
        for shape in (1e-9, 0.1):
            assert literal.passing(candidates, shape) == fitted


def test_lists_do_not_hang_on_ties_or_single_precision(literal: Literal) -> None:
    for pooled in literal.pooled:
        ranked = -np.sort(-pooled, axis=0)
        for size in (literal.root_size, literal.mask_size):
            gap = ranked[size - 1] - ranked[size]
            assert ((gap > 1e-4) | (ranked[size - 1] == 0)).all()
    for query in (QUERY_A.query, QUERY_B.query):
        for layer in (1, 2, 3):
            silent = literal.pooled[layer][query] == 0
            assert not silent[[c for n, c in DECOYS if n == layer]].any() or query == QUERY_B.query


def test_decoys_fire_and_move_nothing(literal: Literal) -> None:
    image = literal.x[:1]
    clean = activations(literal.net, image)
    for layer, channel in DECOYS:
        assert (layer, channel) in QUERY_A.roots
        assert literal.pooled[layer][0, channel] >= 0.9 * literal.pooled[layer][:, channel].max()
        cut = activations(literal.net, image, (layer, channel))
        assert torch.equal(cut[-1], clean[-1])
        for depth in range(layer + 1, 4):
            others = [c for c in range(clean[depth].shape[1]) if (depth, c) not in DECOYS]
            assert torch.equal(cut[depth][:, others], clean[depth][:, others])
    held_down = activations(literal.net, image, (0, planted.A1))[1][:, 3] - clean[1][:, 3]
    assert held_down.max() > 0


def test_effect_without_overlap_is_refused(literal: Literal) -> None:
    share, _ = literal.row(0, 0, planted.A1)
    assert sorted(share, key=share.__getitem__)[-2] == 2
    assert literal.overlap(0, planted.A1, 2) == 0


def test_two_classes_share_the_path_of_s() -> None:
    a, b = (set().union(*answer.circuits.values()) for answer in (QUERY_A, QUERY_B))
    assert a & b == QUERY_A.circuits[0, 2] == QUERY_B.circuits[0, 2]


def test_block2_needs_the_stem_held_clean() -> None:
    model = load_model(ModelSpec(model="ingest.demo.planted:granular"))
    layers = choose_layers(model, ",".join(planted.GRANULAR_LAYERS))
    assert [layer.name for layer in layers] == list(planted.GRANULAR_LAYERS)
    assert [layer.channels for layer in layers] == [10, 8, 8, 5]
    nodes = [layer.node for layer in layers]
    assert len(model.trace.segment(nodes[0], nodes[1]).frozen) == 1
    assert not model.trace.segment(nodes[1], nodes[2]).frozen


def test_images_on_disk_are_the_inputs(tmp_path: Path) -> None:
    planted.write_images(tmp_path / "images")
    _, transform = planted.granular()
    found = {p.relative_to(tmp_path / "images").as_posix() for p in (tmp_path / "images").rglob("*.png")}
    assert found == {planted.image_name(image) for image in range(planted.IMAGES)}
    for image, expected in enumerate(planted.inputs()):
        with Image.open(tmp_path / "images" / planted.image_name(image)) as picture:
            assert torch.equal(transform(picture), expected)


def test_symbols_are_bright_in_their_class_only() -> None:
    value = planted.symbols()
    owners = {"a1": "a", "a2": "a", "d": "a", "s": "ab", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}
    for j, name in enumerate(planted.SYMBOLS):
        bright = {planted.CLASSES[i // 16] for i in np.flatnonzero(value[:, j] > 48)}
        assert bright == set(owners.get(name, ""))
        assert len(set(value[:, j])) == planted.IMAGES
    assert value.min() >= 1
    assert value.max() == 255


def test_networks_name_the_class() -> None:
    label = torch.arange(planted.IMAGES) // 16
    for factory in (planted.granular, planted.senses):
        net, _ = factory()
        assert torch.equal(net.eval()(planted.inputs()).argmax(dim=1), label)


def relevance(net: nn.Module, x: Tensor, channel: int) -> Tensor:
    """PURE's vectors: v_j = R / Σ|R|, R_i = Σ_xy a_i ∂(½ Σ relu(b_k)²)/∂a_i; (images, 10)."""
    lower = net.block1(net.stem(x)).detach().requires_grad_(True)
    upper = net.block2(lower)[:, channel].clamp(min=0)
    (gradient,) = torch.autograd.grad(0.5 * (upper**2).sum(), lower)
    found = (lower * gradient).sum(dim=(2, 3)).detach()
    return found / found.abs().sum(dim=1, keepdim=True)


def test_polysemantic_neuron_has_its_two_senses() -> None:
    net = planted.SensesNet().double().eval()
    x = planted.inputs().double()
    layer, channel = planted.POLYSEMANTIC
    fires = activations(net, x)[layer][:, channel].amax(dim=(1, 2))
    best = fires.argsort(descending=True)[:32]
    assert {planted.CLASSES[i // 16] for i in best.tolist()} == set(planted.SENSES.values())
    v = relevance(net, x[best], channel)
    part = KMeans(n_clusters=2, n_init=10, random_state=0).fit_predict(v.numpy())
    for symbol, name in planted.SENSES.items():
        own = torch.tensor([planted.CLASSES[i // 16] == name for i in best.tolist()])
        assert len(set(part[own.numpy()])) == 1
        assert (v[own][:, symbol] > 0.75).all()
        assert (v[~own][:, symbol] < 0.25).all()
    assert len(set(part)) == 2


def test_monosemantic_neuron_is_fed_alike_by_its_images() -> None:
    net = planted.SensesNet().double().eval()
    layer, channel = planted.MONOSEMANTIC
    x = planted.inputs().double()
    fires = activations(net, x)[layer][:, channel].amax(dim=(1, 2))
    assert set((fires.argsort(descending=True)[:16] // 16).tolist()) == {1}
    v = relevance(net, x[16:32], channel)
    assert ((v[:, [planted.B1, planted.B2]] - 0.5).abs() < 0.1).all()


def test_shared_concept_moves_the_classes_that_share_it() -> None:
    net = planted.SensesNet().double().eval()
    x = planted.inputs().double()
    layer, channel = planted.SHARED_CONCEPT
    clean, cut = activations(net, x), activations(net, x, planted.SHARED_CONCEPT)
    mean = clean[layer][:, channel].mean(dim=(1, 2))
    effect = (clean[-1] - cut[-1]) / mean[:, None]
    expected = torch.tensor([planted.SHARED_EFFECT[c] for c in planted.CLASSES], dtype=torch.float64)
    torch.testing.assert_close(effect, expected.expand_as(effect))
    assert mean[:32].min() > 2 * mean[32:].max()
