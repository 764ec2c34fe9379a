"""Semantic flow, selection and the walk, on cases one can do by hand."""

from __future__ import annotations

import numpy as np

from ingest.numerics.flow import flow_thresholds, semantic_flow, shared_images
from ingest.numerics.gcc import Thresholds, select
from ingest.numerics.traversal import Edges, circuits, diversity, union, walk


def edges_of(triples):
    layer, source, target = (np.array(column, dtype=np.int64) for column in zip(*triples, strict=True))
    ones = np.ones(len(layer))
    return Edges(layer, source, target, ones, ones, ones, ones, np.zeros(len(layer), bool), layer + 1)


def walked(roots, triples):
    graph = edges_of(triples)
    asked = []

    def outgoing(layer, sources):
        asked.append((layer, sources.tolist()))
        return graph.take((graph.layer == layer) & np.isin(graph.source, sources))

    return walk([np.array(r, dtype=np.int64) for r in roots], outgoing), asked


def test_flow_is_the_shared_part_of_the_lists():
    rng = np.random.default_rng(0)
    source, target = (np.stack([rng.permutation(40)[:7] for _ in range(c)]) for c in (5, 6))
    expected = [[len(set(a) & set(b)) / 7 for b in target.tolist()] for a in source.tolist()]
    np.testing.assert_array_equal(semantic_flow(source, target, 40), expected)
    np.testing.assert_array_equal(shared_images(source, target, 40), np.array(expected) * 7)


def test_flow_threshold_is_the_mean_over_candidates_or_the_floor():
    common = np.array([[1, 5, 9], [1, 1, 9], [1, 1, 1]])
    candidates = np.array([[True, True, False], [True, True, False], [False, False, False]])
    np.testing.assert_array_equal(flow_thresholds(common, candidates, 10, 0.2)[:2], [0.3, 0.2])
    assert np.isnan(flow_thresholds(common, candidates, 10, 0.2)[2])


def test_an_overlap_equal_to_the_mean_does_not_pass_by_rounding():
    """np.mean of these equal overlaps is a hair below them."""
    overlap = np.full(116, 2 / 10)
    assert overlap[0] > np.mean(overlap)
    s = np.linspace(0.001, 0.01, 116)[None]
    common = np.full((1, 116), 2)
    assert len(select(s, common, 10, np.ones(116, bool), Thresholds()).target) == 0


def test_selection_keeps_candidates_above_both_cuts():
    """Of 20 candidates two exceed the 90th percentile; equal, so the cut is the percentile itself."""
    s = np.zeros((1, 24))
    s[0, :20] = [*np.full(18, 0.01), 0.4, 0.4]
    s[0, 22] = np.nan
    common = np.full((1, 24), 1)
    common[0, 18] = 9
    masked = np.ones(24, bool)
    chosen = select(s, common, 10, masked, Thresholds())
    assert chosen.target.tolist() == [18]
    assert chosen.cuts.candidates.tolist() == [20]
    np.testing.assert_allclose(chosen.cuts.overlap, [(19 * 0.1 + 0.9) / 20])


def test_mask_decides_who_is_a_candidate():
    s = np.array([[0.1, 0.2, 0.3, 0.4]])
    common = np.full((1, 4), 5)
    masked = np.array([True, True, True, False])
    common[0, 2:] = 8
    assert select(s, common, 10, masked, Thresholds()).target.tolist() == [2]
    assert select(s, common, 10, masked, Thresholds(candidate_mask=False)).target.tolist() == [3]


def test_walk_asks_each_source_once_and_stops_before_the_last_layer():
    found, asked = walked([[0, 1], [], [], [5]], [(0, 0, 2), (0, 1, 2), (1, 2, 3), (2, 3, 5), (2, 9, 9)])
    assert asked == [(0, [0, 1]), (1, [2]), (2, [3])]
    assert found.pairs() == {(0, 0, 2), (0, 1, 2), (1, 2, 3), (2, 3, 5)}


def test_circuits_one_a_root_and_later_roots_merge():
    roots = [np.array([0, 1]), np.array([2, 7]), np.array([3]), np.array([5])]
    found, _ = walked(roots, [(0, 0, 2), (0, 1, 4), (1, 2, 3), (1, 4, 3), (2, 3, 5)])
    result = circuits("q", roots, found)
    assert [c.root for c in result] == [(0, 0), (0, 1), (1, 2), (2, 3)]
    assert [c.merged_into for c in result] == [None, None, (0, 0), (0, 0)]
    assert result[0].edges.pairs() == {(0, 0, 2), (1, 2, 3), (2, 3, 5)}
    assert result[1].edges.pairs() == {(0, 1, 4), (1, 4, 3), (2, 3, 5)}
    assert result[2].members() == {(1, 2), (2, 3), (3, 5)}
    assert result[0].nodes.tolist() == [[0, 0], [1, 2], [2, 3], [3, 5]]


def test_root_without_an_edge_has_no_circuit():
    roots = [np.array([0, 1]), np.array([], dtype=np.int64)]
    found, _ = walked(roots, [(0, 1, 0)])
    assert [c.root for c in circuits("q", roots, found)] == [(0, 1)]
    assert circuits("q", roots, Edges.empty()) == []


def test_diversity_is_one_less_mean_jaccard():
    roots = [np.array([0, 1]), np.array([], dtype=np.int64), np.array([], dtype=np.int64)]
    found, _ = walked(roots, [(0, 0, 0), (0, 1, 1), (1, 0, 3), (1, 1, 3)])
    result = circuits("q", roots, found)
    np.testing.assert_allclose(diversity(result), [0.8, 0.8])
    assert np.isnan(diversity(result[:1])).all()
    assert union(result) == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 3)}
