"""Data-set flow against one image at a time, the cap, and what the tables hold."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from ingest.methods.gcc import OverlapRows, sensitivities
from ingest.methods.gcc_flow import ROW_BYTES, flows, groups, images_of
from ingest.methods.gcc_job import GccParameters
from ingest.methods.pairs import clean_values
from ingest.numerics.sensitivity import normalised

WHOLE = GccParameters(flow_images=4, keep_sensitivity=10_000, keep_overlap=-1.0, keep_most=10_000)
KEPT = GccParameters(flow_images=4, keep_sensitivity=3, keep_overlap=0.05, keep_most=6)


def loader_of(world, batch):
    def load(rows):
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            yield part, world.images[list(part)]

    return load


def run(world, parameters, batch=7):
    load = loader_of(world, batch)
    return [
        flow
        for group in groups(world.pairs())
        for flow in flows(world.trace, group, world.lists, load, parameters)
    ]


@pytest.fixture(scope="module")
def dense(residual):
    """(C, D) mean and deviation of S_NS of the second pair, one image and one source at a time."""
    pair = residual.pairs()[1]
    lists = residual.lists.roots[1].indices[:, :4]
    mean = np.zeros((pair.source.channels, pair.target.channels))
    std = np.zeros_like(mean)
    for channel, rows in enumerate(lists.tolist()):
        scores = []
        for row in rows:
            x = residual.images[row : row + 1]
            clean = clean_values(residual.trace, residual.layers, residual.pairs(), x)
            raw = sensitivities(pair, clean, np.zeros(1, np.int64), np.array([channel]), 10**7)
            scores.append(normalised(raw)[0])
        mean[channel], std[channel] = np.mean(scores, axis=0), np.std(scores, axis=0)
    return mean, std


def test_flow_is_the_mean_over_the_sources_own_images(residual, dense):
    mean, std = dense
    flow = run(residual, WHOLE)[1]
    assert len(flow) == mean.size
    np.testing.assert_allclose(flow.sensitivity, mean[flow.source, flow.target], atol=1e-12)
    np.testing.assert_allclose(flow.std, std[flow.source, flow.target], atol=1e-7)
    assert (flow.n == 4).all()


def test_ranks_and_shares_come_from_all_pairs_not_from_the_kept_ones(residual, dense):
    mean, _ = dense
    flow = run(residual, GccParameters(flow_images=4, keep_sensitivity=3, keep_overlap=1.0, keep_most=3))[1]
    assert (np.bincount(flow.source, minlength=len(mean)) <= 3).all()
    for i in range(len(flow)):
        s, t = flow.source[i], flow.target[i]
        assert flow.rank_out[i] == 1 + (mean[s] > mean[s, t]).sum()
        assert flow.rank_in[i] == 1 + (mean[:, t] > mean[s, t]).sum()
        assert flow.share[i] == pytest.approx(mean[s, t] / mean[:, t].sum())


def test_overlaps_and_common_images(residual):
    flow = run(residual, WHOLE)[0]
    lists = [set(row) for row in residual.lists.roots[0].indices.tolist()]
    after = [set(row) for row in residual.lists.roots[1].indices.tolist()]
    common = [len(lists[s] & after[t]) for s, t in zip(flow.source, flow.target, strict=True)]
    np.testing.assert_array_equal(flow.images, common)
    np.testing.assert_allclose(flow.overlap, np.array(common) / len(after[0]))


def test_the_cap_keeps_the_best_by_sensitivity_then_the_largest_overlaps(residual, dense):
    mean, _ = dense
    parameters = GccParameters(flow_images=4, keep_sensitivity=3, keep_overlap=0.05, keep_most=6)
    flow = run(residual, parameters)[1]
    loose = run(residual, replace(parameters, keep_most=10_000))[1]
    assert flow.capped.any()
    assert not loose.capped.any()
    overlap = OverlapRows(residual.lists).rows(1, np.arange(len(mean)))
    for source in range(len(mean)):
        order = sorted(range(mean.shape[1]), key=lambda t: (-mean[source, t], t))
        best = [t for t in order[:3] if mean[source, t] > 0]
        others = [t for t in order if overlap[source, t] > 0.05 and t not in best]
        others.sort(key=lambda t: -overlap[source, t])
        kept = set(flow.target[flow.source == source].tolist())
        assert kept == set(best + others[: 6 - len(best)])
        assert flow.capped[source] == (len(best) + len(others) > 6)
        assert set(loose.target[loose.source == source].tolist()) == set(best + others)


def test_batches_do_not_change_the_flow(residual):
    one, many = run(residual, WHOLE, batch=1), run(residual, WHOLE, batch=60)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.pairs(), b.pairs())
        np.testing.assert_allclose(a.sensitivity, b.sensitivity, atol=1e-12)


def equal(one, other):
    """Two flows of one pair: the same edges and places, the same numbers to rounding in float64."""
    for item in fields(one):
        np.testing.assert_allclose(
            getattr(one, item.name), getattr(other, item.name), rtol=0, atol=1e-12, err_msg=item.name
        )


@pytest.mark.parametrize("parameters", [WHOLE, KEPT])
def test_groups_do_not_change_the_flow(residual, monkeypatch, parameters):
    """All pairs in one group, two at a time, and one at a time."""
    together = run(residual, parameters)
    assert [flow.layer for flow in together] == [0, 1, 2]
    for most in (2, 1):
        monkeypatch.setattr("ingest.methods.gcc_flow.GROUP_PAIRS", most)
        assert max(len(group) for group in groups(residual.pairs())) == most
        for one, other in zip(run(residual, parameters), together, strict=True):
            equal(one, other)


def test_the_rows_of_an_image_need_not_fit_in_memory_together(residual, monkeypatch):
    widest = max(pair.target.channels for pair in residual.pairs())
    seen = []

    def watched(pair, clean, images, channels, chunk_bytes):
        seen.append(len(channels))
        return sensitivities(pair, clean, images, channels, chunk_bytes)

    together = run(residual, WHOLE)
    monkeypatch.setattr("ingest.methods.gcc_flow.sensitivities", watched)
    small = replace(WHOLE, chunk_bytes=3 * ROW_BYTES * widest)
    for one, other in zip(run(residual, small), together, strict=True):
        equal(one, other)
    assert max(seen) == 3 * widest // min(pair.target.channels for pair in residual.pairs())


def test_groups_are_consecutive_and_bounded(residual, monkeypatch):
    first, second, third = residual.pairs()
    long = (first, None, second, third, *residual.pairs(), None, first)
    found = groups(long)
    assert [[layer for layer, _ in group] for group in found] == [[0, 2, 3, 4], [5, 6, 8]]
    assert all(long[layer] is pair for group in found for layer, pair in group)
    # 16 bytes a pair of channels: 24 x 24, 24 x 40, 40 x 40.
    for most, layers in ((16 * 1700, [[0, 1], [2]]), (1, [[0], [1], [2]])):
        monkeypatch.setattr("ingest.methods.gcc_flow.SUM_BYTES", most)
        assert [[layer for layer, _ in group] for group in groups(residual.pairs())] == layers
    assert groups([None, None]) == ()


def test_progress_ends_at_the_images_of_a_group(residual):
    group = groups(residual.pairs())[0][:2]
    wanted = {
        row for layer, _ in group for row in residual.lists.roots[layer].indices[:, :4].ravel().tolist()
    }
    seen = []
    list(flows(residual.trace, group, residual.lists, loader_of(residual, 7), WHOLE, seen.append))
    assert seen == sorted(set(seen))
    assert seen[-1] == images_of(group, residual.lists, 4) == len(wanted)


def test_identity_is_flagged(residual):
    first, second, third = run(residual, WHOLE)
    for flow in (first, third):
        np.testing.assert_array_equal(flow.identity, flow.source == flow.target)
    assert not second.identity.any()
