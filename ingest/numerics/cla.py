"""Cross-layer attribution of all pairs of two layers: activation × gradient of the target map's norm.

Notation
--------
a : (1, …) clean activation of the source layer on one image, raw layout, C channels on one axis.
F : the segment from the source to the target layer;  b = F(a) (1, …), raw layout, D channels on one axis.
A : (C, D) A(m, n) = Σ_xy |a_m(xy)| · |∂‖b_n‖₂ / ∂a_m(xy)|, in units of the target's activation, ≥ 0.
R : rows of one batch, each the same image asked about another target channel.

∂‖b_n‖₂ = b_n / ‖b_n‖₂ is the cotangent of a vector-Jacobian product through F; the R rows run forward once and are
pulled back for R targets at a time. ‖·‖₂ is √(Σ b² + ε), and a map of zeros has a row of zeros. For one number, such
as a logit, the norm is its absolute value, so A is |a| · |gradient of the logit|.

Source: Automatic Discovery of Visual Circuits (arXiv 2404.14349), score of section 3. The absolute value of the
gradient, the sum over positions and the mean over images are not printed there; methods, open choice 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Run = Callable[[Tensor], Tensor]
"""F with its frozen inputs bound: (R, …) → (R, …)."""

EPS = 1e-12
CHUNK_BYTES = 256 * 2**20
# On a CPU more rows than the caches hold are slower (ResNet-50 blocks: 16 rows of 100 k values are best).
_CACHED_VALUES = 2**21
_GRADIENTS = 4  # tensors of the widest kind alive at once while gradients are pulled back


@dataclass(frozen=True)
class Ends:
    """The axis of the channels in the raw tensors of source and target."""

    source: int
    target: int


@dataclass(frozen=True)
class Ending:
    """F taken apart: a → several inner values, from which b is computed channel by channel.

    inner : a (R, …) → the inner values, (R, …) each.
    seeds : (cotangent (1, …) of b, targets (R,)) → its cotangents at the inner values, row r of target r alone.
    """

    inner: Callable[[Tensor], Sequence[Tensor]]
    seeds: Callable[[Tensor, Tensor], Sequence[Tensor]]


def attribution(
    run: Run, a: Tensor, ends: Ends, budget: int = CHUNK_BYTES, ending: Ending | None = None
) -> Tensor:
    """A (C, D) of one image.

    Parameters
    ----------
    run : F; its frozen inputs and a must not be inference tensors.
    budget : bytes for activations and gradients of one batch of rows; one row always fits.
    ending : the same F taken apart, which spares the products with the last linear layer.
    """
    b = _clean(run, a)
    squares = b.square().movedim(ends.target, 1).flatten(2).sum((0, 2)) if b.dim() > 2 else b[0].square()
    shape = [1] * b.dim()
    shape[ends.target] = -1
    cotangent = b / (squares + EPS).sqrt().reshape(shape)
    found = a.new_zeros(a.shape[ends.source], b.shape[ends.target])
    for targets, rows in pulled(run, a, cotangent, squares.nonzero()[:, 0], ends, budget, ending):
        sizes = rows.mul_(a).movedim(ends.source, 1).flatten(2) if a.dim() > 2 else rows.mul_(a).unsqueeze(2)
        found[:, targets] = torch.linalg.vector_norm(sizes, 1, dim=2).T
    return found


def pulled(
    run: Run,
    a: Tensor,
    cotangent: Tensor,
    targets: Tensor,
    ends: Ends,
    budget: int = CHUNK_BYTES,
    ending: Ending | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Vector-Jacobian products of one image, each with the cotangent of one target channel alone.

    Parameters
    ----------
    cotangent : (1, …) of b's shape.
    targets : (T,) target channels.

    Yields
    ------
    Targets (R,) and their gradients at a, (R, …), which may be overwritten.
    """
    if not len(targets):
        return
    own = ending or Ending(lambda x: (run(x),), lambda given, part: (one_channel(given, part, ends.target),))
    count = min(len(targets), rows_within(own.inner, a, budget))
    with torch.enable_grad():
        x = a.detach().expand(count, *a.shape[1:]).clone().requires_grad_()
        inner = own.inner(x)
    for start in range(0, len(targets), count):
        part = targets[start : start + count]
        seeds = [_filled(seed, count) for seed in own.seeds(cotangent, part)]
        (back,) = torch.autograd.grad(inner, x, seeds, retain_graph=start + count < len(targets))
        yield part, back[: len(part)]


def one_channel(values: Tensor, targets: Tensor, axis: int) -> Tensor:
    """(R, …): values (1, …) with all but channel targets[r] at zero in row r."""
    found = values.new_zeros(len(targets), *values.shape[1:])
    rows = torch.arange(len(targets), device=values.device)
    found.movedim(axis, 1)[rows, targets] = values.movedim(axis, 1)[0, targets]
    return found


def _filled(rows: Tensor, count: int) -> Tensor:
    """Rows made as many as the batch has, by rows of zeros."""
    missing = count - len(rows)
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def rows_within(inner: Callable[[Tensor], Sequence[Tensor]], a: Tensor, budget: int) -> int:
    """Rows that one batch may have, at least one: what two rows keep for the way back is measured."""
    kept: list[int] = [a.numel()]

    def keep(tensor: Tensor) -> Tensor:
        if tensor.dim() and tensor.shape[0] == 2:
            kept.append(tensor.numel() // 2)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ends = [y.numel() // 2 for y in inner(a.detach().expand(2, *a.shape[1:]).clone().requires_grad_())]
    widest = max(*kept, *ends)
    row = sum(kept) + 3 * sum(ends) + _GRADIENTS * widest
    fitting = max(1, budget // (row * a.element_size()))
    return fitting if a.is_cuda else min(fitting, max(1, _CACHED_VALUES // widest))


@torch.no_grad()
def _clean(run: Run, a: Tensor) -> Tensor:
    return run(a.detach())


@dataclass
class Moments:
    """Mean and population standard deviation of matrices that come one by one (Welford 1962), in float64.

    n : how many came.  mean, squares : (…) mean, and sum of squared deviations from it.
    """

    n: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def add(self, value: Tensor) -> None:
        """Take one more matrix, of the shape of those before."""
        value = value.double()
        self.n += 1
        apart = value - self.mean
        self.mean = self.mean + apart / self.n
        self.squares = self.squares + apart * (value - self.mean)

    @property
    def std(self) -> Tensor:
        """Population standard deviation; zero of fewer than two."""
        return (self.squares / max(1, self.n)).clamp(min=0).sqrt()
