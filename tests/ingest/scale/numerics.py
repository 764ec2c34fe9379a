"""Every numeric as a case: a device → a call without arguments, whose tensors and numbers tests compare.

A case makes its inputs, and the modules it runs, from fixed seeds on the CPU and moves them to the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ingest.numerics import (
    alternative_dictionaries,
    cla,
    clustering,
    concept_fidelity,
    dictionaries,
    gig,
    homotopy,
    kmeans_gram,
    lasso,
    partition,
    pooling,
    pure,
    resemblance,
    sae,
    screening,
    sensitivity,
    split_test,
    srd,
    two_means,
)
from ingest.numerics import fields as field_maths

Call = Callable[[], Any]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution(device: str, inputs: int, outputs: int) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Conv2d(inputs, outputs, 3, padding=1).double().requires_grad_(False)
    return module.to(device)


def groups(device: str) -> tuple[Tensor, Tensor]:
    """(M, n, D) points of two clumps each, and who is present."""
    points = draw(6, 40, 8)
    points[:, :18, 0] += 7
    present = torch.ones(6, 40, dtype=torch.bool)
    present[2, 30:] = False
    return points.to(device), present.to(device)


def alternatives(device: str) -> Call:
    x = draw(60, 6).to(device)
    return lambda: [alternative_dictionaries.ALTERNATIVES["sae"](x, 4, 0, device)]


def attributions(device: str) -> Call:
    conv, a = convolution(device, 5, 4), draw(1, 5, 6, 6).to(device)
    moments = cla.Moments()

    def call() -> Any:
        found = cla.attribution(lambda x: conv(x).relu(), a, cla.Ends(1, 1), 4096)
        moments.add(found)
        moments.add(2 * found)
        return [found, moments.mean, moments.std]

    return call


def clusters(device: str) -> Call:
    x = draw(300, 16).to(device)
    return lambda: clustering.bisecting_kmeans(x, 12)


def halves(device: str) -> Call:
    x = normalize(draw(1500, 24) * torch.logspace(0, -2, 24), dim=1).to(device)

    def call() -> Any:
        basis = two_means.principal(x, 0.9)
        return [] if basis is None else [(basis @ basis.T).abs()]

    return call


def fidelity(device: str) -> Call:
    importance, codes = draw(9).to(device), draw(4, 9, seed=1).to(device)
    v, field = draw(9, 5, seed=2).to(device), draw(6, 6, seed=3).abs().to(device)
    own = torch.eye(6, dtype=torch.bool, device=device)

    def call() -> Any:
        plan = concept_fidelity.plan(importance, 4)
        sums = concept_fidelity.partial_sums(codes, v, plan.kept(insertion=True))
        errors = concept_fidelity.relative_errors(sums[-1], sums[1])
        return [plan.order, sums, errors, concept_fidelity.mass_share(field, own, own | (field > 1))]

    return call


def makers(device: str) -> Call:
    x = draw(80, 8).to(device)

    def call() -> Any:
        made = [
            dictionaries.DICTIONARIES[name](x, 6, 0, device)
            for name in ("kmeans", "random_exemplars", "gaussian")
        ]
        return [*made, dictionaries.membership(x, made[0])]

    return call


def receptive(device: str) -> Call:
    conv, x = convolution(device, 3, 4), draw(2, 3, 8, 8).to(device)
    places = torch.tensor([9, 40]).to(device)
    return lambda: [
        field_maths.receptive_fields(lambda y: conv(y).flatten(2), x, places, channel)
        for channel in (None, 2)
    ]


def integrals(device: str) -> Call:
    conv, targets = convolution(device, 6, 5), draw(3, 5, 1, 1, seed=2).to(device)
    shift = draw(2, 5, 1, 1, seed=6).to(device)
    line = gig.Line(draw(2, 6, 4, 4).to(device), torch.zeros(1, 6, 4, 4, dtype=torch.float64).to(device))
    v, values = normalize(draw(7, 6, seed=3), dim=1).to(device), draw(20, seed=4).to(device)
    rows, atoms = (torch.arange(20) % 16).to(device), (torch.arange(20) % 7).to(device)

    def call() -> Any:
        integral = gig.integrated_gradients(lambda x, of: (conv(x) + shift[of]).relu(), line, targets, 8)
        gradients = integral.gradients[:, 0].flatten(2).transpose(1, 2)
        change = (integral.end - integral.start)[:, 0]
        return [integral, gig.contributions(gradients, change, rows, atoms, values, v)]

    return call


def systems(device: str) -> Call:
    root = draw(3, 4, 4)
    root[1, :, 0] = root[1, :, 1]
    gram = (root.transpose(1, 2) @ root).to(device)
    right = torch.einsum("nij,nj->ni", root.transpose(1, 2) @ root, draw(3, 4, seed=5)).to(device)

    # What solves a singular system is not one; what it gives back is.
    return lambda: [torch.einsum("nij,nj->ni", gram, homotopy.solve(gram, right))]


def sets(device: str) -> Call:
    points, present = groups(device)

    def call() -> Any:
        g = kmeans_gram.gram(points, present)
        return [g, *(kmeans_gram.kmeans(g, k, present, restarts=3) for k in (2, 3))]

    return call


def codes(device: str) -> Call:
    x, v = draw(60, 16).to(device), normalize(draw(90, 16, seed=1), dim=1).to(device)

    def call() -> Any:
        penalty = lasso.penalty_for(x, v, 4.0)
        found = lasso.lasso(x, v, penalty)
        return [penalty, found.atoms, found.values, found.times(v), lasso.relative_error(x, found, v)]

    return call


def partitions(device: str) -> Call:
    points, _ = groups(device)
    z = (points[..., 0] > 3).long()

    def call() -> Any:
        d = partition.distances(points)
        other = partition.distances(points.square())
        members = torch.arange(6, device=device).reshape(3, 2)
        return [
            *partition.intra_inter(d, z),
            partition.overall(d),
            partition.alignment(d, other, members),
            partition.adjusted_rand(z, (points[..., 1] > 0).long()),
        ]

    return call


def pooled(device: str) -> Call:
    units = draw(3, 7, 50).float().to(device)
    return lambda: pooling.top_share_mean(units, 0.1, skip=1)._asdict()


def vectors(device: str) -> Call:
    weight, lower = draw(7, 5).to(device), draw(6, 5, 12, seed=1).abs().to(device)
    image, channel = torch.arange(6).repeat(4).to(device), (torch.arange(24) % 7).to(device)

    def call() -> Any:
        look = pure.Look(lower, lambda a, rows: torch.relu(weight @ a), image, channel, chunk=4)
        return [variant(look) for variant in pure.VARIANTS.values()]

    return call


def alike(device: str) -> Call:
    """Twelve senses of six neurons, four feeders each, compared a few at a time."""
    row = torch.arange(12).repeat_interleave(4)
    column = torch.cat(
        [torch.randperm(20, generator=torch.Generator().manual_seed(n))[:4] for n in range(12)]
    )
    parts = (row.to(device), column.to(device), draw(48).abs().to(device))
    owner = (torch.arange(12) // 2).to(device)
    return lambda: resemblance.alike(resemblance.Entries(*parts), owner, 3, 2000)


def autoencoder(device: str) -> Call:
    x = draw(50, 6).to(device)
    return lambda: sae.train_sae(x, 4, 0, sae.SaeTraining(steps=20, batch=16))


def screens(device: str) -> Call:
    conv, a, g = convolution(device, 5, 4), draw(1, 5, 6, 6).to(device), draw(1, 4, 6, 6, seed=1).to(device)
    linear = nn.Linear(5, 3).double().requires_grad_(False)
    linear.weight.copy_(draw(3, 5, seed=2))
    linear = linear.to(device)
    t, s = draw(4, 5, seed=3).to(device), draw(4, 3, seed=4).to(device)
    return lambda: [
        screening.screened(conv, a, g, cla.Ends(1, 1), 4096),
        screening.direct(conv, a, g),
        screening.direct(linear, t, s),
    ]


def sensitivities(device: str) -> Call:
    conv, a = convolution(device, 5, 4), draw(3, 5, 6, 6).to(device)
    cut = sensitivity.Cut(lambda x, _: conv(x).relu(), {}, 1, 1)
    images, channels = np.array([0, 0, 1, 2, 2]), np.array([0, 4, 2, 1, 3])

    def call() -> Any:
        effect = sensitivity.effects(cut, a, images, channels, 2)
        return [effect, sensitivity.normalised(sensitivity.clipped(effect))]

    return call


def splits(device: str) -> Call:
    points, present = groups(device)
    g = kmeans_gram.gram(points, present)
    labels = kmeans_gram.kmeans(g, 2, present, restarts=3).labels
    return lambda: [
        split_test.split_test(g, present, labels, restarts=3),
        split_test.permuted(points, present),
    ]


def drawn(device: str) -> Call:
    conv, a = convolution(device, 5, 4), draw(2, 5, 6, 6).to(device)
    v, weight = draw(2, 4, 36, seed=1).to(device), draw(2, 36, seed=2).to(device)
    uniform = torch.tensor([0.2, 0.9]).to(device)

    def call() -> Any:
        h = srd.cotangent(v, weight)
        g = srd.pulled_back(lambda x: conv(x).flatten(2), a, h)
        return [h, g, *srd.draw_positions(srd.relevance(a.flatten(2), g.flatten(2)), uniform)]

    return call


CASES: dict[str, Callable[[str], Call]] = {
    "alternative_dictionaries": alternatives,
    "cla": attributions,
    "clustering": clusters,
    "concept_fidelity": fidelity,
    "dictionaries": makers,
    "fields": receptive,
    "gig": integrals,
    "homotopy": systems,
    "kmeans_gram": sets,
    "lasso": codes,
    "partition": partitions,
    "pooling": pooled,
    "pure": vectors,
    "resemblance": alike,
    "sae": autoencoder,
    "screening": screens,
    "sensitivity": sensitivities,
    "split_test": splits,
    "srd": drawn,
    "two_means": halves,
}


def flat(value: Any) -> Iterator[Tensor]:
    """All tensors and numbers of a result, on the CPU."""
    if isinstance(value, Tensor):
        yield value.detach().cpu()
    elif isinstance(value, np.ndarray | float | int):
        yield torch.as_tensor(value, device="cpu")
    elif is_dataclass(value):
        yield from flat([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, dict):
        yield from flat(list(value.values()))
    else:
        for part in value:
            yield from flat(part)
