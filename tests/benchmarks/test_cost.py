"""What a job costs: exponents come back from known growth, extrapolation is the product, page and plot are whole."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.cost import AXES, BASE, exponents, points, scaled
from benchmarks.cost_job import Job
from benchmarks.cost_page import THERE, here, page, predicted
from benchmarks.cost_plot import plot


def run(**axes: int) -> dict[str, Any]:
    job = {**vars(Job()), **BASE, **axes}
    seconds = {
        "activations": 0.01 * job["images"],
        "gcc:flow": 1e-5 * job["channels"] ** 2 * job["layers"],
        "gcc:tables": 1.0,
        "gig:class": 0.1 * job["classes"],
    }
    return {"job": job, "seconds": seconds, "neurons": 10, "forward_seconds": 0.01, "peak_bytes": 1e9}


SWEEP = [run(**{axis: value}) for axis, value, _ in points()]


def test_exponents_of_known_growth() -> None:
    found = exponents(SWEEP)
    assert found["activations"]["images"] == pytest.approx(1)
    assert found["activations"]["channels"] == pytest.approx(0, abs=1e-9)
    assert found["gcc:flow"]["channels"] == pytest.approx(2)
    assert found["gcc:flow"]["layers"] == pytest.approx(1)
    assert "gcc:tables" not in found


def test_the_base_job_is_measured_once() -> None:
    jobs = [tuple(sorted(job.items())) for _, _, job in points()]
    assert len(jobs) == len(set(jobs)) > len(AXES) * 2


def test_extrapolation_is_the_product_over_axes() -> None:
    assert scaled(2.0, {"images": (10, 1000), "concepts": (4, 16)}, {"images": 1, "concepts": 0.5}) == 400
    own = run(images=64, classes=4, per_class=1, targets=2, steps=4)
    found = predicted(own, {"gig:class": {"concepts": 0.5}})
    assert found["activations"] == pytest.approx(0.64 * THERE["images"] / 64)
    assert found["gig:class"] == pytest.approx(0.4 * 250 * 10 * 10 * 8 * (8192 / 16) ** 0.5)
    assert "gcc:tables" not in found
    assert here(vars(Job(images=64, queries=3, classes=4, per_class=5)))["decomposed"] == 23


def test_page_and_plot() -> None:
    figures = {"device": "cpu", "sweep": SWEEP}
    assert "| activations | 1.00 |" in page(figures)
    assert "extrapolated" not in page(figures)
    both = page({**figures, "large": {"resnet50": run(images=64)}})
    assert "| activations | images | 0.1 | 50,000 |" in both
    picture = ElementTree.fromstring(plot(SWEEP))
    lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 3 * len(AXES)
