"""On the digit-pair world: do the concepts that two classes share lie on the digit they share?

For each pair of classes with one digit in common: their top shared concepts in the last layer (positive GIG for both,
among the :data:`TOP` strongest of each, by the smaller of their two shares). On judging images of both classes and of
third classes with that digit, where a concept is active: the effective receptive field of its strongest position,
its mass on the shared digit's box over its mass on both digits' boxes. By chance that is one half. Beside it the same
figure for as many random concepts that are active on the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.address import parse_class
from ingest.demo.digits import CLASSES, read_answers, side_file
from ingest.job import Prepared
from ingest.methods.concept_curves import encode
from ingest.methods.concept_figures import space_of
from ingest.methods.gig_stage import GigStage
from ingest.methods.measures import Measure, Resampling
from ingest.methods.stage import Progress
from ingest.numerics.concept_fidelity import mass_share
from ingest.segments import OUTPUT

Array = NDArray[np.float64]
TOP, SHARED, IMAGES = 10, 3, 3
GOAL = 0.8


@dataclass(frozen=True)
class Meeting:
    """Two classes with one digit in common, and the concepts (ordinals) they share, the strongest first."""

    classes: tuple[str, str]
    digit: int
    concepts: tuple[int, ...]


def place_measures(stage: GigStage, prepared: Prepared, progress: Progress) -> list[Measure]:
    """``shared_digit_mass``: per pair of classes, as the mean over pairs, for shared and for random concepts, and on
    third classes alone; ``shared_digit_pairs``: share of pairs whose mean is at least .8. Nothing for other images.
    """
    side = side_file(prepared.images.root)
    known = set(prepared.subject.classes) <= set(CLASSES)
    if not side.is_file() or not stage.scopes or not known:
        return []
    answers = read_answers(side)
    digits = {name: tuple(int(d) for d in name.split("-")) for name in prepared.subject.classes}
    shares = class_shares(stage, progress)
    meetings = list(shared_concepts(digits, shares))
    place = Places(stage, prepared, answers, digits)
    found = []
    for number, meeting in enumerate(meetings):
        progress("shared digits", number, len(meetings))
        found.append(place.masses(meeting, number))
    progress("shared digits", len(meetings), len(meetings))
    resampling = Resampling([meeting.classes for meeting in meetings], prepared.spec.seed)
    layer = stage.dictionaries[-1].space.layer.name
    measures = []
    for kind in ("shared", "random", "third"):
        values = np.array([one[kind] for one in found])
        settings: dict[str, Any] = {"layer": layer, "concepts": kind, "top": SHARED}
        measures.append(resampling.mean("shared_digit_mass", values, settings))
        passed = np.where(np.isnan(values), np.nan, values >= GOAL)
        measures.append(resampling.mean("shared_digit_pairs", passed, {**settings, "goal": GOAL}))
    return measures


def class_shares(stage: GigStage, progress: Progress) -> dict[str, Array]:
    """Class → (K,) share of each concept of the last layer in its output, as ingestion averages it."""
    explainer, last = stage.explainer, len(stage.dictionaries) - 1
    node, shares = stage.dictionaries[last].space.node, {}
    for number, scope in enumerate(stage.scopes):
        progress("classes", number, len(stage.scopes))
        parts = []
        for _, x in stage.batches(scope.rows):
            clean = explainer.clean(x, [(last, None)])
            codes = explainer.decompose(last, clean[node])
            outputs = [int(clean[OUTPUT][0].argmax())] if scope.output is None else [scope.output]
            parts.append(explainer.to_outputs(codes, outputs, clean).scores[:, 0])
        mean = torch.cat(parts).mean(0).cpu().numpy()
        total = np.abs(mean).sum()
        shares[parse_class(scope.id)[1]] = mean / total if total > 0 else mean
    return shares


def shared_concepts(digits: Mapping[str, Sequence[int]], shares: Mapping[str, Array]) -> Iterator[Meeting]:
    """Every two classes with one digit in common that share a concept."""
    for a, b in combinations(sorted(shares), 2):
        common = set(digits[a]) & set(digits[b])
        if len(common) != 1:
            continue
        joint = np.minimum(shares[a], shares[b])
        for own in (shares[a], shares[b]):
            order = np.argsort(-np.abs(own), kind="stable")
            joint[order[TOP:]] = 0
        best = [int(q) for q in np.argsort(-joint, kind="stable")[:SHARED] if joint[q] > 0]
        yield Meeting((a, b), common.pop(), tuple(best))


class Places:
    """Receptive fields of concepts on judging images."""

    def __init__(
        self,
        stage: GigStage,
        prepared: Prepared,
        answers: Mapping[str, Mapping[str, Any]],
        digits: Mapping[str, Sequence[int]],
    ) -> None:
        self._stage = stage
        self._prepared = prepared
        self._answers = answers
        self._digits = digits
        self._last = len(stage.dictionaries) - 1
        self._space = space_of(stage.dictionaries[-1], prepared.spec.model.device)
        self._by_class: dict[str, list[int]] = {}
        for row, label in enumerate(prepared.subject.labels):
            if label is not None and prepared.subject.judging[row]:
                self._by_class.setdefault(prepared.subject.classes[label], []).append(row)

    def masses(self, meeting: Meeting, seed: int) -> dict[str, float]:
        """Mean mass over images and concepts: shared ones, random ones, and shared ones on third classes; NaN where
        none is active.
        """
        third = [
            name
            for name, own in self._digits.items()
            if meeting.digit in own and name not in meeting.classes and name in self._by_class
        ]
        rows = [row for name in meeting.classes for row in self._by_class.get(name, [])[:IMAGES]]
        others = [row for name in third for row in self._by_class[name][:1]][:IMAGES]
        rng = np.random.default_rng([self._prepared.spec.seed, seed])
        found: dict[str, list[float]] = {"shared": [], "random": [], "third": []}
        for row in (*rows, *others):
            shared, chance = self._image(row, meeting, rng)
            found["shared"] += shared
            found["random"] += chance
            found["third"] += shared if row in others else []
        return {kind: float(np.nanmean(values)) if values else float("nan") for kind, values in found.items()}

    def _image(self, row: int, meeting: Meeting, rng: np.random.Generator) -> tuple[list[float], list[float]]:
        """Masses of the shared concepts that are active on an image, and of as many random active ones."""
        ((_, x),) = list(self._stage.batches([row]))
        clean = self._stage.chain.clean(x)
        coded = encode(self._space, clean[self._space.features.node])
        active = coded.atoms.cpu().tolist()
        shared = [active.index(q) for q in meeting.concepts if q in active]
        chance = (
            rng.choice(len(active), min(len(shared), len(active)), replace=False).tolist() if shared else []
        )
        if not shared:
            return [], []
        chosen = [*shared, *chance]
        positions = coded.codes[:, chosen].abs().argmax(0)
        many = {name: value.expand(len(chosen), *value.shape[1:]) for name, value in clean.items()}
        wide = x.expand(len(chosen), *x.shape[1:])
        fields = self._stage.chain.fields(wide, many, self._last, positions)
        own, both = self._boxes(row, meeting.digit, fields.shape[1:])
        masses = [mass_share(field.cpu(), own, both) for field in fields]
        return masses[: len(shared)], masses[len(shared) :]

    def _boxes(self, row: int, digit: int, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        """The shared digit's box and both boxes, (H, W) bool each."""
        answer = self._answers[self._prepared.images.images[row].path]
        boxes = []
        for x0, y0, x1, y1 in answer["boxes"]:
            box = torch.zeros(shape, dtype=torch.bool)
            box[y0:y1, x0:x1] = True
            boxes.append(box)
        return boxes[list(answer["digits"]).index(digit)], boxes[0] | boxes[1]
