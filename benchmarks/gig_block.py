"""GIG from one block of ResNet-50 to the next: gradients in feature space against autograd with respect to the codes.

Ours makes one forward pass a step and one backward pass per target and step, in feature space, and reads all concepts
from it. The peer, the definition, differentiates each target with respect to the codes, one target at a time. Equal
first: all scores, over the largest of their target. K = 8 C and 27 concepts a position are the paper's; weights and
codes are random, time does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.harness import Case, Result, compare
from ingest.layers import choose_layers
from ingest.models import ModelSpec, load_model
from ingest.numerics.gig import Line, contributions, integrated_gradients

PAIR = ("layer3.1", "layer3.2")
CONCEPTS, ACTIVE, TARGETS, STEPS = 8192, 27, 8, 4


class World:
    """One image's codes U (P, K) in the first block, and target concepts of the second."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        model = load_model(ModelSpec("resnet50", weights="random"))
        source, target = choose_layers(model, ",".join(PAIR))
        _, self.channels, self.height, self.width = (1, *model.trace.shape(source.node))
        positions = self.height * self.width
        x = torch.randn(1, *model.input_shape, generator=generator)
        with torch.inference_mode():
            segment = model.trace.segment(source.node, target.node)
            held = model.trace.values(x, list(segment.frozen))
        bound = segment.bind({name: value.clone() for name, value in held.items()})
        self.v = normalize(torch.randn(CONCEPTS, self.channels, generator=generator), dim=1)
        atoms = torch.stack(
            [torch.randperm(CONCEPTS, generator=generator)[:ACTIVE] for _ in range(positions)]
        )
        self.u = torch.zeros(positions, CONCEPTS)
        self.u.scatter_(1, atoms, torch.rand(positions, ACTIVE, generator=generator))
        self.targets = normalize(torch.randn(TARGETS, target.channels, 1, 1, generator=generator), dim=1)
        self.run = lambda value, who: bound(torch.relu(value))

    def raw(self, units: Tensor) -> Tensor:
        """(1, C, H, W) of (P, C)."""
        return units.T.reshape(1, -1, self.height, self.width)


def ours(world: World) -> Tensor:
    """(T, K) scores."""
    moving = world.raw(world.u @ world.v)
    found = integrated_gradients(world.run, Line(moving, torch.zeros_like(moving)), world.targets, STEPS)
    rows, atoms = world.u.nonzero(as_tuple=True)
    gradients = found.gradients[:, 0].flatten(2).transpose(1, 2)
    change = (found.end - found.start)[:, 0]
    return contributions(gradients, change, rows, atoms, world.u[rows, atoms].double(), world.v).scores


def literal(world: World) -> Tensor:
    """(T, K) scores: u · ∫ ∂T/∂u dα, every target for itself."""
    scores = []
    for target in world.targets:
        total = torch.zeros_like(world.u)
        for step in range(STEPS):
            codes = ((step + 0.5) / STEPS * world.u).requires_grad_(True)
            value = world.run(world.raw(codes @ world.v), torch.zeros(1, dtype=torch.int64))
            total += torch.autograd.grad((value * target).sum(), codes)[0]
        scores.append((world.u * total / STEPS).sum(0))
    return torch.stack(scores).double()


def difference(mine: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest score of its target."""
    return float(((mine - theirs).abs() / theirs.abs().amax(1, keepdim=True)).max())


def run() -> Result:
    """Target 4."""
    world = World()
    case = Case(
        name="gig_block",
        target="ratio ≥ 4",
        what=f"ResNet-50 {PAIR[0]} → {PAIR[1]}, {CONCEPTS} concepts, {TARGETS} targets, {STEPS} steps; "
        "peer: autograd with respect to the codes, one target at a time",
        difference=difference,
        tolerance=1e-4,
        pairs=3,
    )
    return compare(case, lambda: ours(world), lambda: literal(world))
