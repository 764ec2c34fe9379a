"""Overlap of circuits and relation of classes; path norms of weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ingest.methods.cla_job import make_links
from ingest.methods.weight_paths import weight_paths
from ingest.numerics.cla_circuit import jaccard, random_circuit
from ingest.numerics.overlap import jaccard_matrix, pair_auroc, permuted

CLASSES = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
RELATED = np.array([[bool(set(a) & set(b)) for b in CLASSES] for a in CLASSES])


def test_the_matrix_holds_the_jaccard_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    circuits = [random_circuit((6, 5, 4), (3, 2, 2), rng) for _ in range(5)] + [((), (), ())]
    matrix = jaccard_matrix(circuits)
    last = jaccard_matrix(circuits, [2])
    for i, one in enumerate(circuits):
        for j, two in enumerate(circuits):
            whole, layers = jaccard(one, two)
            assert (matrix[i, j], last[i, j]) == (pytest.approx(whole), pytest.approx(layers[2]))


def test_auroc_counts_pairs_and_half_of_ties() -> None:
    overlaps = np.round(np.random.default_rng(1).random((6, 6)) * 4)
    overlaps += overlaps.T
    upper = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    yes = [overlaps[p] for p in upper if RELATED[p]]
    no = [overlaps[p] for p in upper if not RELATED[p]]
    literal = sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / len(yes) / len(no)
    assert pair_auroc(overlaps, RELATED) == pytest.approx(literal)
    assert np.isnan(pair_auroc(overlaps, np.ones((6, 6), bool)))
    assert np.isnan(permuted(overlaps, np.ones((6, 6), bool), 10, 0)[0])


def test_permuting_classes_tells_a_real_relation_from_chance() -> None:
    p, null = permuted(RELATED + 0.0, RELATED, 200, 0)
    assert p < 0.15  # of six classes in two cliques a tenth of all relabellings leave the relation as it is
    assert 0.5 < null <= 1.0
    noise = np.random.default_rng(3).random((6, 6))
    assert permuted(noise + noise.T, RELATED, 200, 0)[0] > 0.05


def test_path_norms_are_sums_over_paths_of_absolute_weights(nets) -> None:
    """Through a plain block: |W| between the layers, batch norm's gain in it, positions averaged at the borders."""
    net = nets("vgg")
    link = next(li for li in make_links(net.trace, net.layers) if li.target is net.layers[1])
    conv, norm = net.module.features[3], net.module.features[4]
    gain = (norm.weight.abs() / torch.sqrt(norm.running_var + norm.eps))[:, None, None, None]
    kernel = (conv.weight.abs() * gain).permute(1, 0, 2, 3)
    ones = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for m in range(link.source.channels):
        want = torch.nn.functional.conv2d(ones, kernel[m][:, None], padding=1).mean((0, 2, 3))
        np.testing.assert_allclose(weight_paths(net.trace, link)[m], want.numpy(), rtol=1e-9)


@pytest.mark.parametrize("family", ["residual", "vit_hidden", "mobilenet"])
def test_path_norms_leave_the_model_alone_and_are_not_negative(nets, family) -> None:
    net = nets(family)
    before = net.module(net.images)
    for link in make_links(net.trace, net.layers):
        paths = weight_paths(net.trace, link)
        assert paths.shape == (link.source.channels, link.width or 5)
        assert (paths >= 0).all()
    torch.testing.assert_close(net.module(net.images), before, rtol=0, atol=0)
