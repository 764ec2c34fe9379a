"""Screened edges are derivatives: against finite differences of the edge itself, and the fast form against the slow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from ingest.layers import choose_layers
from ingest.methods.cla_job import make_links
from ingest.methods.measures import Resampling
from ingest.methods.screening import Screen, joint_of
from ingest.methods.screening_agreement import agreement, agreement_measures
from ingest.numerics.cla import Ends
from ingest.numerics.screening import direct, screened
from ingest.segments import OUTPUT

STEP = 1e-5


def scaled(net, x, link, m: int, n: int, by: float) -> float:
    """The first logit when target n is computed with source m scaled; whole forward from there."""
    nodes = [link.source.node, *link.segment.frozen]
    clean = net.trace.values(x, nodes)
    a = clean[link.source.node].clone()
    a.select(link.source.channel_axis, m).mul_(by)
    axis = link.target.channel_axis
    other = link.segment.bind(clean)(a).select(axis, n)

    def edit(value):
        changed = value.clone()
        changed.select(axis, n).copy_(other)
        return changed

    return float(net.trace.values(x, [OUTPUT], {link.target.node: edit})[OUTPUT][0, 0])


@pytest.mark.parametrize("family", ["residual", "vgg", "convnext", "vit", "swin", "mobilenet"])
def test_edges_equal_finite_differences(nets, family: str) -> None:
    net = nets(family)
    screen = Screen(net.trace, make_links(net.trace, net.layers))
    x = net.images[:1]
    clean, slopes = screen.clean(x, 0)
    for number in (0, len(screen.links) - 1):
        link = screen.links[number]
        edges = screen.edges(number, clean, slopes)
        for m, n in ((0, 1), (2, 2), (3, 0)):
            up, down = (scaled(net, x, link, m, n, 1 + e) for e in (STEP, -STEP))
            assert float(edges[m, n]) == pytest.approx((up - down) / (2 * STEP), rel=1e-5, abs=1e-8)
        assert edges.abs().max() > 0


def convolutions(net, globs: str):
    layers = choose_layers(SimpleNamespace(trace=net.trace, name="m"), globs)
    return make_links(net.trace, layers, 2)


@pytest.mark.parametrize(
    ("family", "globs"),
    [
        ("residual", "blocks.*.conv*"),
        ("vgg", "features.0,features.3,features.6"),
        ("mobilenet", "features.*.block.*.0"),
        ("vit", "encoder.layers.*.mlp.0,encoder.layers.*.mlp.3"),
    ],
)
def test_one_backward_gives_what_a_product_a_target_gives(nets, family: str, globs: str) -> None:
    """Convolutions and linear layers, batch norms between them, producers meeting at residual sums, groups."""
    net = nets(family)
    links = convolutions(net, globs)
    screen = Screen(net.trace, links)
    clean, slopes = screen.clean(net.images[1:2], 2)
    fast = [n for n, joint in enumerate(screen.joints) if joint is not None]
    assert fast
    for number in fast:
        link = screen.links[number]
        a, g = clean[link.source.node], slopes[link.target.node]
        slow = screened(
            link.segment.bind(clean), a, g, Ends(link.source.channel_axis, link.target.channel_axis)
        )
        torch.testing.assert_close(screen.edges(number, clean, slopes), slow, rtol=1e-9, atol=1e-12)


def test_edges_into_a_layer_sum_to_what_it_gives_the_logit_less_its_bias(nets) -> None:
    """Σ_m E(m, n) + g_n · bias_n = g_n · z_n where a convolution reads rectified sources: nothing is lost."""
    net = nets("vgg")
    layers = choose_layers(SimpleNamespace(trace=net.trace, name="m"), "features.2,features.3")
    screen = Screen(net.trace, make_links(net.trace, layers))
    assert screen.joints[0].before is None
    assert screen.joints[0].behind is None
    clean, slopes = screen.clean(net.images[:1], 1)
    z, g = (side[layers[1].node] for side in (clean, slopes))
    bias = net.module.features[3].bias[:, None, None]
    torch.testing.assert_close(screen.edges(0, clean, slopes).sum(0), ((z - bias) * g).sum((0, 2, 3)))


def test_a_batch_is_the_mean_of_its_images_and_heads_are_gradient_times_activation(nets) -> None:
    net = nets("residual")
    screen = Screen(net.trace, make_links(net.trace, net.layers))
    edges, heads = screen.scores([net.images[:2], net.images[2:]], 3)
    singles = [screen.scores([net.images[i : i + 1]], 3) for i in range(3)]
    assert edges[0].n == 3
    torch.testing.assert_close(edges[0].mean, torch.stack([s[0][0].mean for s in singles]).mean(0))
    torch.testing.assert_close(
        heads[1].std, torch.stack([s[1][1].mean for s in singles]).std(0, correction=0)
    )
    last = net.layers[-1]
    value = net.trace.values(net.images[:1], [last.node])[last.node]
    weight = net.module.head.weight[3][:, None, None] / value[0, 0].numel()
    torch.testing.assert_close(singles[0][1][-1].mean, (value[0] * weight).sum((1, 2)))


def test_joints_are_found_only_where_one_linear_layer_joins(nets) -> None:
    net = nets("residual")
    blocks = net.layers
    assert joint_of(net.trace, blocks[1], blocks[2]) is None
    links = convolutions(net, "blocks.1.conv*,blocks.2.conv1")
    found = {
        (li.source.name, li.target.name): joint_of(net.trace, li.source, li.target)
        for li in links
        if li.target
    }
    inner = found["blocks.1.conv1", "blocks.1.conv2"]
    assert inner.before is not None
    assert inner.behind is None
    assert found["blocks.1.conv1", "blocks.1.conv3"] is None
    assert found["blocks.1.conv3", "blocks.2.conv1"] is not None


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_padding_modes_and_groups(mode: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Conv2d(4, 6, 3, padding="same", padding_mode=mode, groups=2).double().requires_grad_(False)
        t, s = torch.randn(1, 4, 5, 5).double(), torch.randn(1, 6, 5, 5).double()
    slow = screened(conv, t, s, Ends(1, 1))
    torch.testing.assert_close(direct(conv, t, s), slow)


def test_screening_foretells_removal_and_samples_are_told_apart(nets) -> None:
    net = nets("residual")
    screen = Screen(net.trace, make_links(net.trace, net.layers))
    found = agreement(net.trace, screen, net.images[:1], 1, np.random.default_rng(0), 40)
    assert [(found.sample == s).sum() for s in ("uniform", "top")] == [40, 40]
    clean, slopes = screen.clean(net.images[:1], 1)
    every = np.concatenate([screen.edges(n, clean, slopes).abs().flatten().numpy() for n in (0, 1)])
    top = np.abs(found.screened[found.sample == "top"])
    np.testing.assert_allclose(np.sort(top), np.sort(every)[-40:])
    for sample in ("uniform", "top", "pooled"):
        own = slice(None) if sample == "pooled" else found.sample == sample
        want = spearmanr(found.screened[own], found.removed[own]).statistic
        assert found.spearman(sample) == pytest.approx(want, abs=1e-6)
    assert found.spearman("pooled") > 0.5
    measures = agreement_measures([found], Resampling([("a",)], 0, 10), {"k": 1})
    assert [m.settings["edges"] for m in measures] == ["uniform", "top", "pooled"]
