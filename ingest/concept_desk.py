"""Questions about concepts asked after ingestion: one place of an image, one image, where a concept shows.

A question opens the GIG job of a stored run again (``ingest.reopen``): its dictionaries are read from disk, so an
answer given later is the answer ingestion would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from atlas.errors import DataError
from ingest.layers import LayerSpec, to_units
from ingest.methods.concept_curves import Coded, encode
from ingest.methods.concept_figures import space_of
from ingest.methods.gig_stage import GigStage
from ingest.methods.gig_tables import ConceptNaming
from ingest.reopen import Opened


@dataclass(frozen=True)
class AskedImage:
    """One image asked about: x (1, 3, H, W); ``row`` of the store, None for a new file."""

    id: str
    file: Path
    x: Tensor
    row: int | None


@dataclass(frozen=True)
class Spot:
    """One position of a layer: its flat index, and the centre of its cell in pixels of the transformed input."""

    ordinal: int
    position: int
    x: float
    y: float


@dataclass(frozen=True)
class Sum:
    """One feature vector as a sum of concepts.

    concepts : ids with their coefficients, the largest |u| first.      direction : (C,) of the centred vector.
    error : Rel-l2 of the sum.
    """

    spot: Spot
    concepts: tuple[tuple[str, float], ...]
    direction: Tensor
    error: float


class ConceptDesk:
    """A reopened GIG job. Raises DataError if the job is another method's."""

    def __init__(self, opened: Opened) -> None:
        if not isinstance(opened.stage, GigStage):
            raise DataError("not a job of GIG", expected="a GIG run", got=type(opened.stage).__name__)
        self.prepared = opened.prepared
        self.stage: GigStage = opened.stage

    def ask(self, image: str | None, file: Path | None) -> AskedImage:
        """An image of the data set by id, or any file. Raises DataError if neither is there, or of another size."""
        found = self.prepared.find(image, file)
        return AskedImage(found.id, found.file, self.prepared.input(found.file), found.row)

    def ordinal(self, layer: str) -> int:
        """Place of a layer by its name. Raises DataError if the run has no dictionary for it."""
        names = [dictionary.space.layer.name for dictionary in self.stage.dictionaries]
        if layer not in names:
            raise DataError("no concepts for this layer", where=layer, expected=", ".join(names), got=layer)
        return names.index(layer)

    def spot(self, ordinal: int, x: float, y: float) -> Spot:
        """The position whose cell holds a pixel of the transformed input.

        Raises DataError for a pixel outside, or a layer whose positions lie nowhere.
        """
        layer = self.stage.dictionaries[ordinal].space.layer
        _, height, width = self.prepared.model.input_shape
        if not (0 <= x < width and 0 <= y < height):
            raise DataError(
                "a place outside of the image",
                expected=f"0 ≤ x < {width}, 0 ≤ y < {height}",
                got=f"{x:g},{y:g}",
            )
        rows, columns = _grid(layer)
        row, column = int(y * rows / height), int(x * columns / width)
        position = layer.tokens_before + row * columns + column
        return Spot(ordinal, position, (column + 0.5) * width / columns, (row + 0.5) * height / rows)

    def coded(self, asked: AskedImage, ordinal: int) -> Coded:
        """All positions of an image in the concepts of one layer."""
        space = space_of(self.stage.dictionaries[ordinal], self.prepared.spec.model.device)
        with torch.no_grad():
            value = self.prepared.model.trace.values(asked.x, [space.features.node])
        return encode(space, value[space.features.node])

    def sum(self, asked: AskedImage, spot: Spot) -> Sum:
        """One place of an image in concepts."""
        coded = self.coded(asked, spot.ordinal)
        u = coded.codes[spot.position]
        names = self.names[spot.ordinal]
        order = u.abs().argsort(descending=True, stable=True)
        own = tuple((names[int(coded.atoms[n])], float(u[n])) for n in order if float(u[n]) != 0)
        centred = to_units(coded.raw, coded.space.layer)[0, :, spot.position] - coded.space.centre
        return Sum(spot, own, normalize(centred, dim=0), float(coded.errors[spot.position]))

    def direction(self, asked: AskedImage, ordinal: int, place: Sequence[float]) -> Tensor:
        """(C,) unit direction of an image in a layer: at a pixel (x, y), the mean of a part (x0, y0, x1, y1), or, for
        no place, at the position that is most relevant for the output.
        """
        dictionary = self.stage.dictionaries[ordinal]
        clean = self.stage.chain.clean(asked.x)
        units = to_units(clean[dictionary.space.node], dictionary.space.layer)[0]
        centred = units - dictionary.space.centre.to(units)[:, None]
        if len(place) == 2:
            chosen = [self.spot(ordinal, *place).position]
        elif place:
            chosen = self._inside(ordinal, place)
        else:
            chosen = [int(self.stage.chain.relevances(clean)[ordinal][0].argmax())]
        return normalize(centred[:, chosen].mean(dim=1), dim=0)

    def _inside(self, ordinal: int, place: Sequence[float]) -> list[int]:
        """Positions whose cells' centres lie in a part of the input; the one at its middle if there is none."""
        x0, y0, x1, y1 = place
        if not (x0 < x1 and y0 < y1):
            raise DataError("an empty part of the image", expected="x0 < x1 and y0 < y1", got=place)
        layer = self.stage.dictionaries[ordinal].space.layer
        _, height, width = self.prepared.model.input_shape
        rows, columns = _grid(layer)
        found = [
            layer.tokens_before + row * columns + column
            for row in range(rows)
            for column in range(columns)
            if x0 <= (column + 0.5) * width / columns < x1 and y0 <= (row + 0.5) * height / rows < y1
        ]
        return found or [self.spot(ordinal, (x0 + x1) / 2, (y0 + y1) / 2).position]

    def find(self, concept: str) -> tuple[int, int]:
        """(layer, ordinal) of a concept by its id. Raises DataError if this run does not have it."""
        for ordinal, names in enumerate(self.names):
            if concept in names:
                return ordinal, names.index(concept)
        raise DataError("the run on this machine has no such concept", where=concept)

    @cached_property
    def names(self) -> tuple[list[str], ...]:
        """Per layer the ids of its concepts."""
        return tuple(self.stage.naming.concepts(dictionary) for dictionary in self.stage.dictionaries)

    def naming(self, asked: AskedImage) -> tuple[ConceptNaming, int]:
        """How an answer names its image: the run's naming and the image's row, or one of its own for a new file."""
        if asked.row is not None:
            return self.stage.naming, asked.row
        return ConceptNaming(self.prepared.subject, (asked.id,), self.prepared.model.input_shape), 0


def _grid(layer: LayerSpec) -> tuple[int, int]:
    """(rows, columns) of a layer's positions. Raises DataError where they lie on no grid."""
    if layer.grid is None:
        raise DataError("the positions of this layer lie nowhere in the image", where=layer.name)
    return layer.grid
