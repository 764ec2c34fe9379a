"""GIG between any two layers of a traced model, and to its outputs: decompose, integrate, project.

Notation as in `ingest.numerics.gig`: I images, P positions, K concepts of a source layer, T targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.errors import DataError
from ingest.layers import LayerSpec, from_units, to_units
from ingest.methods.concepts import LayerDictionary, check_dictionary
from ingest.methods.feature_space import SPACES
from ingest.methods.gig_job import GigParameters
from ingest.numerics.gig import Line, completeness_error, contributions, integrated_gradients
from ingest.numerics.lasso import Codes, lasso
from ingest.segments import OUTPUT, Segment, Trace

METHOD = "gig"
VERSION = "2"
TARGETS = ("logit", "probability")

Clean = Mapping[str, Tensor]


@dataclass(frozen=True)
class Decomposed:
    """Codes of all positions of I images at one layer, one image after another."""

    ordinal: int
    codes: Codes
    images: int

    @property
    def positions(self) -> int:
        """P."""
        return (len(self.codes.offsets) - 1) // max(1, self.images)

    def image(self, index: int) -> Codes:
        """Codes (P vectors) of one image."""
        return self.codes.take(index * self.positions, (index + 1) * self.positions)


@dataclass(frozen=True)
class Scores:
    """GIG of K concepts to T targets on I images: (I, T, K) float64; completeness error (I, T)."""

    scores: Tensor
    error: Tensor


def check_parameters(parameters: GigParameters) -> None:
    """Raise DataError for a dictionary, space or target that there is not, or a number out of its range."""
    check_dictionary(parameters.dictionary)
    for name, known in (("space", SPACES), ("target", TARGETS)):
        if getattr(parameters, name) not in known:
            raise DataError(
                f"no such {name}",
                where=f"--set gig.{name}",
                expected=" or ".join(known),
                got=getattr(parameters, name),
            )
    for name in ("steps", "top_concepts", "images_per_class", "keep", "express", "exemplars", "chunk_bytes"):
        if getattr(parameters, name) < 1:
            raise DataError(
                "a number out of its range",
                where=f"--set gig.{name}",
                expected=">= 1",
                got=getattr(parameters, name),
            )
    if not 0 <= parameters.l0 < 1 or parameters.concepts < 0:
        raise DataError(
            "a number out of its range",
            where="--set gig.l0 or gig.concepts",
            expected="0 <= l0 < 1 and concepts >= 0",
            got=f"{parameters.l0} and {parameters.concepts}",
        )


class Explainer:
    """The concepts of a model's layers and the paths between them.

    Parameters
    ----------
    trace : of the model; its device and dtype are those of everything here.
    dictionaries : one a layer, in order.
    parameters : steps, target, residual, memory; see :func:`check_parameters`.
    """

    def __init__(
        self, trace: Trace, dictionaries: Sequence[LayerDictionary], parameters: GigParameters
    ) -> None:
        self.trace = trace
        self.dictionaries = tuple(dictionaries)
        self._parameters = parameters
        self._segments: dict[tuple[int, int | None], Segment] = {}

    def layer(self, ordinal: int) -> LayerSpec:
        """The layer of a dictionary."""
        return self.dictionaries[ordinal].space.layer

    def joined(self, source: int, target: int | None) -> bool:
        """Whether a target layer (None: the output) is computed from a source layer."""
        return target is None or self.trace.depends(
            self.dictionaries[target].space.node, self.dictionaries[source].space.node
        )

    def segment(self, source: int, target: int | None) -> Segment:
        """From one feature space to another, None for the output. Raises ModelError if there is no path."""
        key = (source, target)
        if key not in self._segments:
            end = OUTPUT if target is None else self.dictionaries[target].space.node
            self._segments[key] = self.trace.segment(self.dictionaries[source].space.node, end)
        return self._segments[key]

    def clean(self, x: Tensor, pairs: Iterable[tuple[int, int | None]]) -> dict[str, Tensor]:
        """Values on images (B, 3, H, W) that these pairs of layers need: feature spaces, frozen inputs, logits."""
        pairs = list(pairs)
        nodes = [self.dictionaries[ordinal].space.node for ordinal, _ in pairs]
        nodes += [name for pair in pairs for name in self.segment(*pair).frozen]
        with torch.no_grad():
            return self.trace.values(x, [*dict.fromkeys([*nodes, OUTPUT])])

    def decompose(self, ordinal: int, value: Tensor) -> Decomposed:
        """Codes of a layer's value at its feature space, raw layout (I, …)."""
        dictionary = self.dictionaries[ordinal]
        x = to_units(value, dictionary.space.layer).transpose(1, 2).flatten(0, 1)
        centred = x - dictionary.space.centre.to(x.device, x.dtype)
        codes = lasso(centred, dictionary.v, dictionary.penalty, self._parameters.chunk_bytes)
        return Decomposed(ordinal, codes, len(value))

    def rebuilt(self, decomposed: Decomposed, value: Tensor) -> Line:
        """α U V + β as a line, with the residual in its fixed part if the parameters say so."""
        dictionary = self.dictionaries[decomposed.ordinal]
        layer = dictionary.space.layer
        units = decomposed.codes.times(dictionary.v.to(value.device, value.dtype))
        units = units.view(decomposed.images, decomposed.positions, -1).transpose(1, 2)
        moving = from_units(units, value.shape, layer)
        if self._parameters.residual:
            return Line(moving, value - moving)
        centre = dictionary.space.centre.to(value.device, value.dtype)
        return Line(moving, along_channels(centre[None], layer, value.dim()).expand(1, *value.shape[1:]))

    def to_concepts(self, source: Decomposed, target: int, concepts: Tensor, clean: Clean) -> Scores:
        """GIG to concepts (T,) of another layer: T_t = Σ over positions of ⟨w, v_t⟩."""
        dictionary = self.dictionaries[target]
        value = clean[self.dictionaries[source.ordinal].space.node]
        v = dictionary.v.to(value.device, value.dtype)[concepts.to(value.device)]
        dims = len(self.trace.shape(dictionary.space.node)) + 1
        return self._scores(source, target, along_channels(v, dictionary.space.layer, dims), clean)

    def to_outputs(self, source: Decomposed, outputs: Sequence[int], clean: Clean) -> Scores:
        """GIG to outputs of the model, by their logit or probability."""
        logits = clean[OUTPUT]
        one_hot = torch.nn.functional.one_hot(torch.tensor(outputs, device=logits.device), logits.shape[1])
        return self._scores(source, None, one_hot.to(logits.dtype), clean)

    def _scores(self, source: Decomposed, target: int | None, h: Tensor, clean: Clean) -> Scores:
        dictionary = self.dictionaries[source.ordinal]
        segment, value = self.segment(source.ordinal, target), clean[dictionary.space.node]
        line = self.rebuilt(source, value)
        v = dictionary.v.to(value.device, value.dtype)
        softmax = target is None and self._parameters.target == "probability"
        scores, errors = [], []
        row = value[0].numel() * value.element_size() * len(h)
        step = max(1, self._parameters.chunk_bytes // max(1, row))
        for start in range(0, source.images, step):
            part = slice(start, min(source.images, start + step))

            def run(x: Tensor, who: Tensor, first: int = start) -> Tensor:
                held = {name: clean[name][first + who] for name in segment.frozen}
                y = segment(x, held)
                return y.softmax(1) if softmax else y

            fixed = line.fixed[part] if len(line.fixed) > 1 else line.fixed
            own = Line(line.moving[part], fixed)
            found = integrated_gradients(run, own, h, self._parameters.steps, self._parameters.chunk_bytes)
            for index in range(part.start, part.stop):
                raw = found.gradients[:, index - start]
                gradients = to_units(raw, dictionary.space.layer).transpose(1, 2)
                change = (found.end - found.start)[:, index - start]
                codes = source.image(index)
                one = contributions(gradients, change, codes.rows, codes.atoms, codes.values, v)
                scores.append(one.scores)
                errors.append(completeness_error(one.scores, change))
        return Scores(torch.stack(scores), torch.stack(errors))


def along_channels(v: Tensor, layer: LayerSpec, dims: int) -> Tensor:
    """Vectors (T, C) as (T, …) that broadcast against values in raw layout, which have ``dims`` axes with the batch."""
    shape = [len(v)] + [1] * (dims - 1)
    shape[layer.channel_axis] = v.shape[1]
    return v.reshape(shape)
