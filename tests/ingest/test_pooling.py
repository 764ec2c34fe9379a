"""Ranking activations and top lists against their literal definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ingest.numerics.pooling import (
    Pooled,
    _pool_on_device,
    kept_positions,
    largest,
    list_length,
    order_keys,
    ranks_of_keys,
    top_share_mean,
    values_of_keys,
    would_enter,
)

LAYOUTS = {
    "channels first": lambda x: x,
    "channels last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "strided": lambda x: torch.stack([x, -x], dim=-1)[..., 0],
}


def literal_mean(units: torch.Tensor, share: float) -> torch.Tensor:
    """Sort, take the first m, average: section 1.1 of the method, in float64."""
    m = max(1, int(share * units.shape[-1]))
    return units.double().sort(dim=-1, descending=True).values[..., :m].mean(dim=-1)


def literal_top(values: np.ndarray, ids: list[str], k: int) -> list[list[int]]:
    """Sort each row by (larger value, smaller id)."""
    return [sorted(range(len(ids)), key=lambda i, row=row: (-float(row[i]), ids[i]))[:k] for row in values]


@pytest.mark.parametrize("positions", [3136, 784, 197, 196, 49, 9, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_mean_of_the_largest_positions_is_the_literal_one(positions: int, layout: str) -> None:
    generator = torch.Generator().manual_seed(positions)
    units = LAYOUTS[layout](torch.randn(3, 70, positions, generator=generator))
    for inputs in (units, units.relu(), -units.abs()):
        pooled = top_share_mean(inputs, 0.1)
        torch.testing.assert_close(pooled.mean.double(), literal_mean(inputs, 0.1), rtol=1e-6, atol=1e-9)
        assert pooled.finite.all()


def same(first: Pooled, second: Pooled) -> None:
    torch.testing.assert_close(first.mean, second.mean, rtol=1e-6, atol=0)
    assert torch.equal(first.peak, second.peak)
    assert torch.equal(first.finite, second.finite)


@pytest.mark.parametrize("skip", [0, 1])
def test_selection_on_a_device_is_the_same(skip: int) -> None:
    units = torch.randn(3, 70, 197, generator=torch.Generator().manual_seed(0)).relu()
    units[1, 5, 100] = float("inf")
    same(_pool_on_device(units, kept_positions(197, 0.1), skip), top_share_mean(units, 0.1, skip))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_pools_as_the_processor_does() -> None:
    units = torch.randn(3, 70, 784, generator=torch.Generator().manual_seed(0))
    same(top_share_mean(units.cuda(), 0.1), top_share_mean(units, 0.1))


def test_papers_position_counts() -> None:
    assert [kept_positions(p, 0.1) for p in (56**2, 28**2, 14**2, 7**2, 197, 9)] == [313, 78, 19, 4, 19, 1]


def test_a_row_does_not_depend_on_its_batch_or_on_threads() -> None:
    units = torch.randn(9, 300, 196, generator=torch.Generator().manual_seed(1))
    threads = torch.get_num_threads()
    whole = top_share_mean(units, 0.1)
    try:
        torch.set_num_threads(1)
        alone = torch.cat([top_share_mean(unit[None], 0.1).mean for unit in units])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(whole.mean, alone)


def test_inputs_are_left_as_they_were() -> None:
    units = torch.randn(2, 5, 49)
    before = units.clone()
    top_share_mean(units, 0.1)
    assert torch.equal(units, before)


def test_peak_is_the_first_of_the_largest_and_skips_tokens_without_a_place() -> None:
    units = torch.zeros(1, 2, 6)
    units[0, 0, [2, 4]] = 1.0
    units[0, 1, 0] = 9.0
    units[0, 1, 5] = 1.0
    assert top_share_mean(units, 0.1).peak.tolist() == [[2, 0]]
    skipped = top_share_mean(units, 0.1, skip=1)
    assert skipped.peak.tolist() == [[1, 4]]
    assert skipped.mean.tolist() == [[1.0, 9.0]], "the token counts for the mean"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_every_non_finite_position_is_seen(bad: float) -> None:
    units = torch.randn(2, 40, 784, generator=torch.Generator().manual_seed(0))
    units[1, 7, 300] = bad
    finite = top_share_mean(units, 0.1).finite
    assert (~finite).nonzero().tolist() == [[1, 7]]


@given(
    values=hnp.arrays(
        np.float32, (3, 11), elements=st.sampled_from([0.0, -0.0, 1.5, -1.5, 1e-40, -3.0, 3e38, -3e38])
    ),
    k=st.integers(1, 14),
    seed=st.integers(0, 1000),
)
def test_lists_are_ordered_by_value_then_id_whatever_the_order_of_images(
    values: np.ndarray, k: int, seed: int
) -> None:
    names = [f"img:{i:016x}" for i in range(11)]
    shuffled = np.random.default_rng(seed).permutation(11)
    ids = [names[i] for i in shuffled]
    ranks = np.argsort(np.argsort(np.array(ids)))
    keys = largest(order_keys(values, ranks), k)
    assert np.argsort(ranks)[ranks_of_keys(keys)].tolist() == literal_top(values, ids, k)
    np.testing.assert_array_equal(
        values_of_keys(keys), np.take_along_axis(values, np.argsort(ranks)[ranks_of_keys(keys)], axis=1)
    )


def test_lists_of_two_shards_merge_to_the_list_of_all() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(-4, 4, (20, 100)).astype(np.float32)
    keys = order_keys(values, rng.permutation(100))
    merged = np.concatenate([largest(keys[:, :37], 10), largest(keys[:, 37:], 10)], axis=1)
    np.testing.assert_array_equal(largest(merged, 10), largest(keys, 10))


def test_always_negative_units_have_lists_too() -> None:
    values = np.array([[-5.0, -1.0, -3.0]], np.float32)
    keys = largest(order_keys(values, np.arange(3)), 2)
    assert values_of_keys(keys).tolist() == [[-1.0, -3.0]]
    assert ranks_of_keys(keys).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("images", "share", "length"),
    [(50_000, 0.01, 500), (50_000, 0.1, 5000), (100, 0.07, 7), (101, 0.01, 2), (5, 0.01, 1), (0, 0.1, 0)],
)
def test_list_length_is_the_share_rounded_up(images: int, share: float, length: int) -> None:
    assert list_length(images, share) == length


def test_who_would_enter_a_list() -> None:
    floor = np.array([1.0, 1.0, 0.0], np.float32)
    values = np.array([2.0, 1.0, -1.0], np.float32)
    assert would_enter(values, floor).tolist() == [True, False, False]
    assert would_enter(values, floor, wins_tie=True).tolist() == [True, True, False]
