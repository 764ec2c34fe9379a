"""The demo's trained network: the same circuits as by the literal method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ingest.demo.digits import draw_scenes, render, split_sources
from ingest.demo.network import WEIGHTS, DigitPairNet
from ingest.methods.gcc import OverlapRows, query_circuits
from ingest.methods.gcc_job import GccParameters

IMAGES = 240


@pytest.fixture(scope="module")
def demo(make_world):
    """float64 copies of the committed weights, 240 canvases, the shares of the demo."""
    return world_of(make_world, torch.float64)


def world_of(make_world, dtype):
    net = DigitPairNet()
    net.load_state_dict(load_file(WEIGHTS))
    net = net.to(dtype).eval().requires_grad_(False)
    scenes = draw_scenes(split_sources()["lists"], IMAGES, np.random.default_rng(5))
    images = torch.from_numpy(render(scenes).transpose(0, 3, 1, 2)).to(dtype) / 255
    return make_world(net, images, None, (0.05, 0.3), "demo")


@pytest.mark.parametrize("index", [0, 7])
def test_demo_circuits_equal_the_literal_method(demo, literal, index):
    truth = literal(demo, index).circuits()
    found = query_circuits(
        demo.trace, demo.pairs(), OverlapRows(demo.lists), demo.query(index), GccParameters()
    )
    ours = {circuit.root: circuit for circuit in found.circuits}
    assert ours.keys() == truth.keys()
    assert sum(len(edges) for edges, _ in truth.values()) > 100
    for root, (edges, merged) in truth.items():
        e = ours[root].edges
        keys = list(zip(e.layer.tolist(), e.source.tolist(), e.target.tolist(), strict=True))
        assert set(keys) == edges.keys()
        np.testing.assert_allclose(e.sensitivity, [edges[key][0] for key in keys], atol=1e-6)
        np.testing.assert_allclose(e.overlap, [edges[key][1] for key in keys], atol=1e-12)
        assert (ours[root].merged_into is not None) == merged


def test_single_precision_moves_hardly_an_edge(demo, make_world):
    """Ingestion computes in float32; a sensitivity within rounding of its threshold may fall on the other side."""
    single = world_of(make_world, torch.float32)
    overlaps = OverlapRows(demo.lists)
    edges = differing = 0
    for index in range(6):
        query = demo.query(index)
        double = query_circuits(demo.trace, demo.pairs(), overlaps, query, GccParameters()).edges
        query = replace(query, x=query.x.float())
        ours = query_circuits(single.trace, single.pairs(), overlaps, query, GccParameters()).edges
        edges, differing = edges + len(double), differing + len(ours.pairs() ^ double.pairs())
        scores = dict(
            zip(zip(ours.layer, ours.source, ours.target, strict=True), ours.sensitivity, strict=True)
        )
        keys = list(zip(double.layer, double.source, double.target, strict=True))
        shared = [key in scores for key in keys]
        np.testing.assert_allclose(
            [scores[key] for key in keys if key in scores], double.sensitivity[shared], atol=1e-4
        )
    assert edges > 1000
    assert differing <= edges / 500
