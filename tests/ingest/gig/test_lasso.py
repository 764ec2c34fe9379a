"""The lasso at one λ: scikit-learn's LARS, the optimality conditions, and what degenerate inputs give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode
from sklearn.linear_model import lars_path
from torch import Tensor
from torch.nn.functional import normalize

from ingest.numerics.lasso import Codes, _chunks, lasso, penalty_for, relative_error, wished_active


def problem(count: int, width: int, concepts: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    # A common part makes concepts alike, so that coefficients drop on the way.
    v = normalize(draw(concepts, width) + 0.8 * draw(1, width), dim=1)
    own = torch.zeros(count, concepts, dtype=torch.float64)
    own.scatter_(1, torch.randint(0, concepts, (count, 6), generator=generator), draw(count, 6))
    return own @ v + 0.2 * draw(count, width) / width**0.5, v


def objective(x: Tensor, v: Tensor, u: Tensor, penalty: float) -> Tensor:
    return 0.5 * (x - u @ v).square().sum(1) + penalty * u.abs().sum(1)


@pytest.mark.parametrize(("width", "concepts"), [(24, 80), (40, 30), (16, 16)])
@pytest.mark.parametrize("penalty", [0.5, 0.1, 0.02])
def test_equals_scikit_learns_lars(width, concepts, penalty):
    x, v = problem(40, width, concepts)
    ours = lasso(x, v, penalty).dense()
    peer = torch.from_numpy(sparse_encode(x.numpy(), v.numpy(), algorithm="lasso_lars", alpha=penalty))
    best, theirs = objective(x, v, ours, penalty), objective(x, v, peer, penalty)
    assert bool((best <= theirs * (1 + 1e-9)).all())
    same = (best - theirs).abs() <= 1e-10 * theirs
    assert float(same.double().mean()) > 0.9  # scikit-learn stops early on a few
    assert torch.equal(ours[same] != 0, peer[same].abs() > 1e-12)  # scikit-learn keeps some that dropped
    assert torch.allclose(ours[same], peer[same], atol=1e-9)


def test_alpha_is_lambda_over_channels():
    x, v = problem(1, 24, 80)
    penalty = 0.2
    alphas, _, path = lars_path(v.T.numpy(), x[0].numpy(), method="lasso", alpha_min=penalty / 24)
    assert alphas[-1] == pytest.approx(penalty / 24)
    np.testing.assert_allclose(lasso(x, v, penalty).dense()[0].numpy(), path[:, -1], atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_optimality_conditions_hold(dtype):
    x, v = problem(200, 32, 300, 1)
    penalty = 0.05
    codes = lasso(x.to(dtype), v.to(dtype), penalty)
    u = codes.dense()
    c = (x - u @ v) @ v.T
    assert float(c.abs().max()) <= penalty * (1 + 1e-4)
    assert torch.allclose(c[u != 0], penalty * u[u != 0].sign(), rtol=1e-3)
    assert float(codes.gap.max()) < 1e-6


def test_signs_are_not_constrained():
    x, v = problem(50, 24, 80)
    values = lasso(x, v, 0.1).values
    assert bool((values > 0).any())
    assert bool((values < 0).any())


def test_the_first_concept_may_join_late():
    v = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    x = torch.tensor([[0.5, 1.0]], dtype=torch.float64)
    assert lasso(x, v, 0.1).dense().tolist() == [pytest.approx([0.4, 0.9])]


def test_permuting_concepts_permutes_codes():
    x, v = problem(30, 24, 80)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(lasso(x, v[order], 0.1).dense(), lasso(x, v, 0.1).dense()[:, order], atol=1e-9)


def test_chunks_change_nothing():
    x, v = problem(30, 24, 80)
    one, many = lasso(x, v, 0.1), lasso(x, v, 0.1, chunk_bytes=(8 * 80 + 64 * 24) * 8 * 7)
    assert torch.equal(one.offsets, many.offsets)
    assert torch.equal(one.atoms, many.atoms)
    assert torch.allclose(one.values, many.values, atol=1e-12)


def test_codes_are_sparse_and_ordered():
    x, v = problem(30, 24, 80)
    codes = lasso(x, v, 0.1)
    for row in range(30):
        own = codes.take(row, row + 1)
        assert own.atoms.tolist() == sorted(set(own.atoms.tolist()))
    assert torch.allclose(codes.times(v), codes.dense() @ v, atol=1e-12)
    assert codes.l0 == pytest.approx(float((codes.dense() == 0).double().mean()))
    joined = Codes.join([codes.take(0, 11), codes.take(11, 30)])
    assert torch.equal(joined.dense(), codes.dense())


def test_zero_vectors_and_large_penalties_have_no_entries():
    x, v = problem(5, 24, 80)
    x[2] = 0
    codes = lasso(x, v, 0.1)
    assert int(codes.active[2]) == 0
    assert int(lasso(x, v, 1e3).offsets[-1]) == 0
    assert lasso(x[:0], v, 0.1).offsets.tolist() == [0]
    assert bool(torch.isfinite(codes.gap).all())


def test_copies_of_a_concept_share_nothing_and_reach_the_optimum():
    x, v = problem(20, 24, 40)
    twice = torch.cat([v, v])
    codes = lasso(x, twice, 0.1)
    plain = lasso(x, v, 0.1)
    assert torch.allclose(
        objective(x, twice, codes.dense(), 0.1), objective(x, v, plain.dense(), 0.1), rtol=1e-9
    )


def test_one_concept_is_soft_thresholding():
    x, v = problem(20, 24, 1)
    c = (x @ v.T)[:, 0]
    expected = c.sign() * (c.abs() - 0.1).clamp(min=0)
    assert torch.allclose(lasso(x, v, 0.1).dense()[:, 0], expected, atol=1e-12)


def test_penalty_reaches_the_wished_number():
    x, v = problem(200, 32, 200)
    penalty = penalty_for(x, v, 6.0)
    assert float(lasso(x, v, penalty).active.double().mean()) == pytest.approx(6.0, rel=0.02)
    assert penalty_for(torch.zeros(3, 32, dtype=torch.float64), v, 6.0) == 1.0


def test_default_sparsity():
    assert wished_active(2048) == pytest.approx(2048 * 0.0035)
    assert wished_active(150) == 5
    assert wished_active(16) == 2
    assert wished_active(4) == 1
    assert wished_active(200, 0.95) == pytest.approx(10)


def test_relative_error_is_its_definition():
    x, v = problem(10, 24, 80)
    codes = lasso(x, v, 0.1)
    rest = x - codes.dense() @ v
    literal = np.mean([float(rest[i].norm() / x[i].norm()) for i in range(10)])
    assert relative_error(x, codes, v) == pytest.approx(literal)


def test_sixteen_thousand_concepts_stay_within_memory():
    """A vector's share of a chunk covers the arrays over K that the walk holds for it."""
    v = normalize(torch.randn(16384, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    budget = 4 * 2**20
    sizes = {part.stop - part.start for part in _chunks(100, v, budget)}
    assert sizes == {budget // ((8 * 16384 + 64 * 8) * 4)}
    x = 3 * v[::1024] + 0.1
    codes = lasso(x, v, 0.5, budget)
    assert codes.concepts == 16384
    assert float(codes.gap.max()) < 1e-5
    assert int(codes.active.max()) <= 8
