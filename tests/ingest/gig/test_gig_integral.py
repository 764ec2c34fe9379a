"""Generalised integrated gradients: the fast form against gradients with respect to the codes, and completeness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ingest.numerics.gig import Line, completeness_error, contributions, integrated_gradients


class Bottleneck(nn.Module):
    """From the value before one block's last ReLU to the value before the next one's."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, inner, 1)
        self.second = nn.Conv2d(inner, inner, 3, padding=1)
        self.third = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(x)
        return self.third(torch.relu(self.second(torch.relu(self.first(a))))) + a


def block(width: int, inner: int, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    module = Bottleneck(width, inner).double().requires_grad_(False)
    for p in module.parameters():
        p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / max(1, p[0].numel()) ** 0.5)
    return module


WIDTH, CONCEPTS, SIDE, IMAGES = 12, 30, 5, 3
POSITIONS = SIDE * SIDE


@pytest.fixture
def world():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    u = draw(IMAGES, POSITIONS, CONCEPTS) * (
        torch.rand(IMAGES, POSITIONS, CONCEPTS, generator=generator) < 0.1
    )
    v, beta = normalize(draw(CONCEPTS, WIDTH), dim=1), 0.3 * draw(WIDTH)
    targets = normalize(draw(4, WIDTH), dim=1)[..., None, None]
    return u, v, beta, targets


def raw(units: Tensor) -> Tensor:
    """(…, P, C) → (…, C, H, W)."""
    return units.transpose(-1, -2).unflatten(-1, (SIDE, SIDE))


def line(u: Tensor, v: Tensor, beta: Tensor) -> Line:
    return Line(raw(u @ v), raw(beta.expand(1, POSITIONS, WIDTH)))


def literal(module, u: Tensor, v: Tensor, beta: Tensor, target: Tensor, steps: int) -> Tensor:
    """(K,) Σ_p u_pq · mean over midpoints of ∂T/∂u_pq, by autograd with respect to all codes of one image."""
    total = torch.zeros_like(u)
    for s in range(steps):
        scaled = ((s + 0.5) / steps * u).requires_grad_(True)
        value = (module(raw(scaled @ v + beta)[None]) * target).sum()
        total += torch.autograd.grad(value, scaled)[0]
    return (u * total / steps).sum(0)


def of_image(integral, image: int, u: Tensor, v: Tensor):
    gradients = integral.gradients[:, image].flatten(2).transpose(1, 2)
    rows, atoms = u[image].nonzero(as_tuple=True)
    change = integral.end[:, image] - integral.start[:, image]
    return contributions(gradients, change, rows, atoms, u[image][rows, atoms], v)


@pytest.mark.parametrize("chunk_bytes", [1, 10**5])
def test_equals_autograd_with_respect_to_the_codes(world, chunk_bytes):
    u, v, beta, targets = world
    module = block(WIDTH, 6, 1)
    found = integrated_gradients(lambda x, _: module(x), line(u, v, beta), targets, 4, chunk_bytes)
    for image in range(IMAGES):
        scores = of_image(found, image, u, v).scores
        for t, target in enumerate(targets):
            expected = literal(module, u[image], v, beta, target, 4)
            assert torch.allclose(scores[t], expected, atol=1e-10, rtol=0)


def test_ends_are_the_target_at_both_ends(world):
    u, v, beta, targets = world
    module = block(WIDTH, 6, 1)
    found = integrated_gradients(lambda x, _: module(x), line(u, v, beta), targets, 1)
    for alpha, end in ((0, found.start), (1, found.end)):
        value = module(raw(alpha * u @ v + beta))
        expected = torch.einsum("nchw,tc->tn", value, targets[:, :, 0, 0])
        assert torch.allclose(end, expected, atol=1e-12)


def test_completeness_of_one_block_and_of_several(world):
    u, v, beta, targets = world
    one, two = block(WIDTH, 6, 1), block(WIDTH, 6, 2)
    for run, least in ((one, 1e-3), (lambda x: two(one(x)), 3e-3)):
        found = integrated_gradients(lambda x, _, run=run: run(x), line(u, v, beta), targets, 128)
        errors = torch.stack([of_image(found, image, u, v).error for image in range(IMAGES)])
        assert float(errors.mean()) < least


def test_a_linear_segment_is_complete_with_one_step(world):
    u, v, beta, _ = world
    conv = block(WIDTH, 6, 1).first
    head = torch.ones(2, 6, 1, 1, dtype=torch.float64)
    found = integrated_gradients(lambda x, _: conv(x), line(u, v, beta), head, 1)
    assert float(of_image(found, 0, u, v).error.max()) < 1e-12


def test_a_class_is_one_logit(world):
    u, v, beta, _ = world
    module = block(WIDTH, 6, 1)
    head = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    logits = lambda x, _: torch.relu(module(x)).mean((2, 3)) @ head.T  # noqa: E731
    found = integrated_gradients(logits, line(u, v, beta), torch.eye(3, dtype=torch.float64)[1:2], 8)
    scaled = u[0].clone()
    total = torch.zeros_like(scaled)
    for s in range(8):
        codes = ((s + 0.5) / 8 * scaled).requires_grad_(True)
        total += torch.autograd.grad(logits(raw(codes @ v + beta)[None], None)[0, 1], codes)[0]
    assert torch.allclose(of_image(found, 0, u, v).scores[0], (scaled * total / 8).sum(0), atol=1e-10)


def test_rows_know_their_image(world):
    u, v, beta, targets = world
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    run = lambda x, images: x * scale[images].view(-1, 1, 1, 1)  # noqa: E731
    for chunk in (1, 10**6):
        found = integrated_gradients(run, line(u, v, beta), targets, 2, chunk)
        expected = targets[:, None] * scale.view(1, 3, 1, 1, 1)
        assert torch.allclose(found.gradients, expected.expand_as(found.gradients))


def test_scaling_a_target_scales_its_scores(world):
    u, v, beta, targets = world
    module = block(WIDTH, 6, 1)
    pair = torch.stack([targets[0], -2 * targets[0]])
    scores = of_image(integrated_gradients(lambda x, _: module(x), line(u, v, beta), pair, 4), 0, u, v).scores
    assert torch.allclose(scores[1], -2 * scores[0])


def test_error_of_nothing_is_zero_and_of_something_from_nothing_is_large():
    scores = torch.zeros(2, 4, dtype=torch.float64)
    error = completeness_error(scores, torch.tensor([0.0, 1.0]))
    assert error[0] == 0
    assert error[1] > 1
