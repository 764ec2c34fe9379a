"""Senses taken away and judged by truth: what is compared with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ingest.experiments import sense_cuts
from ingest.experiments.looking import Watched
from ingest.experiments.sense_cuts import Cuts, Told
from ingest.methods.sense_ablation import SenseEffect


def effect(own: float, others: float, random: float, inputs: tuple[int, ...] = (1,)) -> SenseEffect:
    return SenseEffect(0, inputs, own, others, 9, 9, random, 0.0)


def test_clusters_are_named_by_the_truth_that_chose_them() -> None:
    truth = np.array([0, 0, 1, 1, -1])
    clusters = np.array([1, 1, 1, 0, 0])
    assert sense_cuts._as_truth(clusters, truth).tolist() == [0, 0, 0, 1, 1]
    assert sense_cuts._as_truth(1 - clusters, truth).tolist() == [0, 0, 0, 1, 1]


def test_figures_of_cuts_are_ratios_of_means() -> None:
    effects = (
        effect(0.8, 0.1, 0.2),
        effect(0.6, 0.3, 0.1),
        effect(0.9, 0.0, 0.95),
        effect(0.0, 0.0, 0.0, inputs=()),
    )
    groups = (("a",), ("a",), ("b",), ("c",))
    found = {m.metric: m for m in sense_cuts.cut_measures([Cuts(effects, groups)], {"layer": "l"}, 0)}
    assert found["pure_cut_fed"].value == 3 / 4
    assert found["pure_cut_own"].value == pytest.approx(2.3 / 3)
    assert found["pure_cut_own_over_other"].value == pytest.approx(2.3 / 0.4)
    assert found["pure_cut_own_over_random"].value == pytest.approx(2.3 / 1.25)
    # The second changes the other sense too much, the third no more than random inputs do.
    assert found["pure_cut_holds"].value == pytest.approx(1 / 3)
    assert not list(sense_cuts.cut_measures([Cuts((), ())], {}, 0))


def test_digits_become_labels() -> None:
    digits, truth = np.array([4, 9, 9, 2]), np.array([0, 1, 1, -1])
    assert sense_cuts._named(digits, truth) == [4, 9]
    assert sense_cuts._relabelled(np.array([9, 4, 2, -1]), [4, 9]).tolist() == [1, 0, -1, -1]


def test_nothing_is_cut_where_one_sense_has_too_few_judged_images() -> None:
    told = Told(
        Watched(np.zeros((1, 4), np.int64), np.array([0])),
        np.array([[0, 0, 1, 1]]),
        np.zeros((1, 8), np.int64),
        np.array([[0, 0, 0, 0, 0, 0, 0, 1]]),
        (("0",),),
    )
    none = sense_cuts._effects(None, None, told, 0, np.array([0, 0, 1, 1]), torch.ones(4, 3))  # type: ignore[arg-type]
    assert none == []
