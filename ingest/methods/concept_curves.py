"""What a model makes of an image's layer when its concepts are put in, or taken out, one after another.

Notation as in :mod:`ingest.numerics.concept_fidelity` and :mod:`ingest.numerics.gig`. A space is one layer with a
dictionary; the same layer with another dictionary is another space, judged with the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.layers import LayerSpec, from_units, to_units
from ingest.methods.feature_space import FeatureSpace
from ingest.numerics.concept_fidelity import (
    Plan,
    area_over_active,
    area_over_all,
    partial_sums,
    plan,
    relative_errors,
)
from ingest.numerics.gig import Line, integrated_gradients
from ingest.numerics.lasso import lasso

Array = NDArray[np.float64]
Forward = Callable[[Tensor], Tensor]
"""Raw values of a layer (R, …) -> what comes of them (R, …), the rest of the image clean."""
ORDERS = ("gig", "u", "random")
SHARES = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Space:
    """One layer's feature vectors with a dictionary: concepts V (K, C), unit rows, and the penalty λ of codes."""

    features: FeatureSpace
    concepts: Tensor
    penalty: float

    @property
    def layer(self) -> LayerSpec:
        """Whose vectors these are."""
        return self.features.layer

    @property
    def centre(self) -> Tensor:
        """β (C,), on the device of the concepts."""
        return self.features.centre.to(self.concepts)


@dataclass(frozen=True)
class Coded:
    """One image in a space: only the n concepts with a code that is not zero.

    raw : (1, …) the layer's value.      atoms : (n,) concepts, ascending.      codes : U (P, n).
    concepts : (n, C).      errors : (P,) Rel-l2 of each position.
    """

    space: Space
    raw: Tensor
    atoms: Tensor
    codes: Tensor
    concepts: Tensor
    errors: Tensor

    @property
    def line(self) -> Line:
        """α · U V + β in the layer's raw layout."""
        fixed = self.space.centre.expand(self.codes.shape[0], -1)
        return Line(self.shaped(self.codes @ self.concepts), self.shaped(fixed))

    def shaped(self, vectors: Tensor) -> Tensor:
        """(P, C) or (m, P, C) in the layer's raw layout, batch first."""
        units = (vectors if vectors.dim() == 3 else vectors[None]).transpose(1, 2)
        return from_units(units, self.raw.shape, self.space.layer)

    def partly(self, kept: Tensor) -> Tensor:
        """X̃ (m, …) with the concepts of each row of kept (m, n)."""
        return self.shaped(partial_sums(self.codes, self.concepts, kept) + self.space.centre)


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of one order, over all K and over active concepts.

    insertion, deletion : the curves at even shares of active concepts, :data:`SHARES`.
    """

    insertion_all: float
    deletion_all: float
    insertion_active: float
    deletion_active: float
    insertion: Array
    deletion: Array

    def over(self, whole: float) -> Areas:
        """The same in units of the value with all concepts in."""
        return Areas(
            self.insertion_all / whole,
            self.deletion_all / whole,
            self.insertion_active / whole,
            self.deletion_active / whole,
            self.insertion / whole,
            self.deletion / whole,
        )


@dataclass(frozen=True)
class Effort:
    """How closely a curve is looked at: its ``points``, the ``steps`` of GIG, rows of one forward pass, memory."""

    points: int = 20
    steps: int = 16
    rows: int = 64
    chunk_bytes: int = 256 * 2**20


def encode(space: Space, raw: Tensor) -> Coded:
    """One image's value (1, …) as codes of a space."""
    x = to_units(raw, space.layer)[0].T - space.centre
    codes = lasso(x, space.concepts, space.penalty)
    atoms, place = torch.unique(codes.atoms, return_inverse=True)
    u = torch.zeros(len(x), len(atoms), dtype=x.dtype, device=x.device)
    u[codes.rows, place] = codes.values.to(x.dtype)
    concepts = space.concepts[atoms].to(x)
    errors = relative_errors(x, u @ concepts)
    return Coded(space, raw, atoms, u, concepts, errors)


def importance(coded: Coded, forward: Forward, targets: Tensor, effort: Effort) -> Tensor:
    """(T, n) GIG of the image's active concepts to targets (T, …), float64."""
    if not len(coded.atoms):
        return torch.zeros(len(targets), 0, dtype=torch.float64, device=coded.codes.device)
    found = integrated_gradients(
        lambda x, which: forward(x), coded.line, targets, effort.steps, effort.chunk_bytes
    )
    gradients = to_units(found.gradients.flatten(0, 1), coded.space.layer).transpose(1, 2)
    inner = gradients.double() @ coded.concepts.double().T
    scores: Tensor = (coded.codes.double() * inner).sum(1)
    return scores


def areas(coded: Coded, own: Plan, value: Callable[[Tensor], Array], effort: Effort) -> Areas:
    """Areas of insertion and deletion along a plan; ``value`` makes a number of each X̃ (R, …)."""
    curves = []
    for insertion in (True, False):
        kept = own.kept(insertion=insertion)
        starts = range(0, len(kept), effort.rows)
        curves.append(np.concatenate([value(coded.partly(kept[n : n + effort.rows])) for n in starts]))
    put_in, left = curves
    total = len(coded.space.concepts)
    shares = np.array(own.counts) / max(1, len(own.order))
    return Areas(
        area_over_all(own, put_in, total),
        area_over_all(own, left, total),
        area_over_active(own, put_in),
        area_over_active(own, left),
        np.interp(SHARES, shares, put_in),
        np.interp(SHARES, shares, left),
    )


def class_areas(
    coded: Coded, forward: Forward, output: int, outputs: int, effort: Effort
) -> tuple[Areas, Tensor]:
    """C-Insertion and C-Deletion of one image: whether the model still says ``output``; and the concepts' GIG (n,).

    forward : the layer's value to logits (R, outputs).
    """
    one_hot = torch.zeros(1, outputs, dtype=coded.raw.dtype, device=coded.raw.device)
    one_hot[0, output] = 1
    scores = importance(coded, forward, one_hot, effort)[0]

    def right(x: Tensor) -> Array:
        with torch.no_grad():
            return (forward(x).argmax(1) == output).double().cpu().numpy()

    return areas(coded, plan(scores, effort.points), right, effort), scores


def concept_areas(
    coded: Coded, forward: Forward, target: tuple[LayerSpec, Tensor], effort: Effort, seed: Sequence[int]
) -> Mapping[str, list[Areas | None]]:
    """Insertion and deletion of a layer's concepts, seen by concepts of a later one.

    The value is max_i ⟨w_i, v_t⟩ over positions i of the later layer, over its value with all concepts in.

    Parameters
    ----------
    forward : the layer's value to the later layer's.      target : the later layer, and v_t (T, C).

    Returns
    -------
    Order -> per target its areas, None where the value with all concepts in is not positive. Orders: by GIG to the
    target, by Σ_p |u_p|, at random.
    """
    layer, concepts = target
    with torch.no_grad():
        later = forward(coded.raw)
    spread = to_units(later, layer).shape[2]
    heads = from_units(concepts[:, :, None].expand(-1, -1, spread), later.shape, layer)
    scores = importance(coded, forward, heads, effort)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
    sizes = coded.codes.abs().sum(0).double()
    chance = 1 + torch.randperm(len(coded.atoms), generator=generator).double().to(sizes.device)
    found: dict[str, list[Areas | None]] = {name: [] for name in ORDERS}
    for t, v in enumerate(concepts):

        def best(x: Tensor, v: Tensor = v) -> Array:
            with torch.no_grad():
                seen = torch.einsum("rcp,c->rp", to_units(forward(x), layer), v)
            return seen.amax(1).double().cpu().numpy()

        everything = torch.ones(1, len(coded.atoms), dtype=torch.bool, device=sizes.device)
        whole = float(best(coded.partly(everything))[0])
        for name, order in (("gig", scores[t]), ("u", sizes), ("random", chance)):
            own = None
            if whole > 0:
                own = areas(coded, plan(order, effort.points), best, effort).over(whole)
            found[name].append(own)
    return found
