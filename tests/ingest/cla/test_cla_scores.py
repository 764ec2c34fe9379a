"""A(m, n) is the literal definition: one autograd call per target channel through the whole model."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from ingest.methods.endings import ending_of
from ingest.numerics.cla import Ends, Moments, attribution, pulled, rows_within
from ingest.segments import OUTPUT, Trace

FAMILIES = ("residual", "vgg", "googlenet", "convnext", "mobilenet", "vit", "vit_hidden", "swin")
TIGHT = 3000
"""Bytes that force batches of one row."""


def literal(net, image: Tensor, a, b) -> Tensor:
    """A (C, D): for each target channel a whole forward of the module itself, and autograd to a's value."""
    modules, rows = dict(net.module.named_modules()), []
    targets = 5 if b is None else b.channels
    for n in range(targets):
        seen = {}

        def leaf(_module, _inputs, out, seen=seen):
            seen["a"] = out.detach().clone().requires_grad_()
            return seen["a"].clone()

        def read(_module, _inputs, out, seen=seen):
            seen["b"] = out.clone()

        handles = [modules[a.name].register_forward_hook(leaf)]
        handles += [modules[b.name].register_forward_hook(read)] if b else []
        logits = net.module(image)
        for handle in handles:
            handle.remove()
        target = logits if b is None else seen["b"]
        norm = target.select(1 if b is None else b.channel_axis, n).norm()
        if norm == 0:
            rows.append(torch.zeros(a.channels, dtype=torch.float64))
            continue
        norm.backward()
        product = seen["a"].detach().abs() * seen["a"].grad.abs()
        rows.append(product.movedim(a.channel_axis, 0).flatten(1).sum(1))
    return torch.stack(rows, 1)


def ours(net, image: Tensor, a, b, budget: int, *, apart: bool = True) -> Tensor:
    """``apart``: the last linear layer taken apart where there is one."""
    segment = net.trace.segment(a.node, b.node if b else OUTPUT)
    ending = ending_of(net.trace, a, b) if b and apart else None
    with torch.no_grad():
        clean = net.trace.values(image, [a.node, *segment.frozen, *(ending.nodes if ending else ())])
    ends = Ends(a.channel_axis, b.channel_axis if b else 1)
    bound = ending.bind(clean) if ending else None
    return attribution(segment.bind(clean), clean[a.node], ends, budget, bound)


@pytest.mark.parametrize(("budget", "apart"), [(2**28, True), (TIGHT, True), (2**28, False)])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_one_autograd_call_per_target(nets, family: str, budget: int, apart: bool) -> None:
    """Adjacent layers, layers two apart, and the last layer to the logits."""
    net = nets(family)
    first, last = net.layers[0], net.layers[-1]
    ends = [(first, net.layers[1]), (last, None)]
    ends += [(first, net.layers[2]), (net.layers[-2], last)] if len(net.layers) > 2 else []
    for a, b in ends:
        got = ours(net, net.images[:1], a, b, budget, apart=apart)
        want = literal(net, net.images[:1], a, b)
        assert want.max() > 0
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9 * float(want.max()))


def test_a_map_of_zeros_has_a_row_of_zeros_and_a_source_of_zeros_a_column() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]).double()
    run = lambda a: torch.relu(torch.einsum("nm,bmhw->bnhw", weight, a))  # noqa: E731
    a = torch.ones(1, 3, 2, 2).double()
    a[:, 1] = 0
    found = attribution(run, a, Ends(1, 1))
    torch.testing.assert_close(found, torch.tensor([[2.0, 0], [0, 0], [6, 0]]).double())
    assert attribution(run, torch.zeros_like(a), Ends(1, 1)).eq(0).all()


def test_the_norm_of_a_logit_is_its_absolute_value() -> None:
    weight = torch.tensor([[1.0, -2.0], [-3.0, 0.5]]).double()
    a = torch.tensor([[4.0, -1.0]]).double()
    found = attribution(lambda x: x @ weight.T, a, Ends(1, 1))
    torch.testing.assert_close(found, (a[0].abs()[:, None] * weight.T.abs()))


def test_permuting_channels_permutes_scores(nets) -> None:
    net = nets("residual")
    a, b = net.layers[:2]
    segment = net.trace.segment(a.node, b.node)
    with torch.no_grad():
        clean = net.trace.values(net.images[:1], [a.node, *segment.frozen])
    order = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    run = segment.bind(clean)
    moved = attribution(lambda x: run(x[:, order.argsort()])[:, order], clean[a.node][:, order], Ends(1, 1))
    torch.testing.assert_close(moved, attribution(run, clean[a.node], Ends(1, 1))[order][:, order])


def test_scaling_the_target_scales_scores_and_scaling_the_source_does_not() -> None:
    """A is homogeneous of degree one in b, and of degree none in a's unit: a → ca, W → W / c."""
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    a = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    of = lambda w, x: attribution(lambda v: torch.einsum("nm,bmhw->bnhw", w, v), x, Ends(1, 1))  # noqa: E731
    torch.testing.assert_close(of(3 * weight, a), 3 * of(weight, a))
    torch.testing.assert_close(of(weight / 5, 5 * a), of(weight, a))


def test_the_budget_bounds_the_rows(nets) -> None:
    net = nets("residual")
    run, a = (
        net.trace.segment(net.layers[0].node, net.layers[1].node).bind({}),
        torch.rand(1, 8, 3, 3).double(),
    )
    rows = [rows_within(lambda x: (run(x),), a, budget) for budget in (1, 2**16, 2**20)]
    assert rows[0] == 1 < rows[1] < rows[2]


def test_pulled_gradients_are_those_of_each_target_alone() -> None:
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    run = lambda a: torch.tanh(a @ weight.T)  # noqa: E731
    a = torch.tensor([[0.3, -0.2, 0.9]]).double()
    slope = 1 - torch.tanh(a @ weight.T) ** 2
    given = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double()
    found = {
        int(t): row
        for ts, rows in pulled(run, a, given, torch.tensor([3, 1]), Ends(1, 1))
        for t, row in zip(ts, rows, strict=True)
    }
    assert set(found) == {1, 3}
    for n, row in found.items():
        torch.testing.assert_close(row, given[0, n] * slope[0, n] * weight[n])


def test_moments_are_mean_and_population_deviation() -> None:
    values = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    moments = Moments()
    for value in values:
        moments.add(value)
    assert moments.n == 7
    torch.testing.assert_close(moments.mean, values.mean(0))
    torch.testing.assert_close(moments.std, values.std(0, correction=0))
    assert Moments().std.item() == 0


@pytest.mark.parametrize(
    ("family", "cuts"),
    [("residual", 2), ("vgg", 1), ("googlenet", None), ("convnext", 2), ("vit", 3), ("vit_hidden", 1)],
)
def test_which_ends_are_taken_apart(nets, family: str, cuts: int | None) -> None:
    """A residual sum has its branch's last layer and the shortcut; a concatenation of branches has no one layer."""
    net = nets(family)
    ending = ending_of(net.trace, net.layers[-2], net.layers[-1])
    assert (ending and len(ending.cuts)) == cuts


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", ["residual", "vit"])
def test_scores_on_a_gpu_equal_those_on_the_processor(nets, family: str) -> None:
    net = nets(family)
    want = ours(net, net.images[:1], *net.layers[:2], 2**28)
    module = copy.deepcopy(net.module).cuda()
    there = dataclasses.replace(net, module=module, trace=Trace(module, tuple(net.images.shape[1:])))
    got = ours(there, net.images[:1].cuda(), *net.layers[:2], 2**28)
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), want, rtol=1e-9, atol=1e-9)
