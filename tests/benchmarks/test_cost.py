"""What a job costs: exponents come back from known growth, extrapolation is the product, page and plot are whole."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.cost import AXES, BASE, exponents, figures, points
from benchmarks.cost_job import Job, shapes
from benchmarks.cost_page import PAGE, PLOT, THERE, at_size, page, predicted
from benchmarks.cost_plot import COLOURS, plot


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


def all_figures() -> dict[str, Any]:
    """Of a large job whose GIG takes 1 + targets / 2 + steps / 4 units; all widths take as long at full size."""
    base = run(images=64, queries=2, classes=4, per_class=1, targets=2, steps=4)
    base["seconds"]["gig:class"] = 3.0
    more = [run(**{**base["job"], "targets": 8}), run(**{**base["job"], "steps": 12})]
    for one, spent in zip(more, (6.0, 5.0), strict=True):
        one["seconds"]["gig:class"] = spent
    concepts = {"16": {"dictionary": 2.0, "code": 0.001}, "64": {"dictionary": 2.0, "code": 0.001}}
    own = {"large": {"resnet50": base}, "raised": more, "concepts": concepts}
    return {"device": "cpu", "sweep": SWEEP, **own}


def test_extrapolation_grows_with_the_units() -> None:
    known = all_figures()
    own = known["large"]["resnet50"]
    found, layers = predicted(own, known), shapes(Job())
    coded = 0.001 * sum(positions for _, positions in layers)
    assert found["activations"] == pytest.approx(0.64 * THERE["images"] / 64)
    lines = (1 + 0.5 * 18 / 3) * (1 + 0.25 * 28 / 3)
    assert found["gig:class"] == pytest.approx(3 * 250 * 10 * lines + 10_000 * coded)
    assert found["gig:images"] == pytest.approx(20_000 * coded)
    assert found["gig:dictionary"] == pytest.approx(2 * len(layers))
    flow = own["seconds"]["gcc:flow"] * 10 / 7
    assert found["gcc:flow"] == pytest.approx(flow + 25_000 * own["forward_seconds"])
    assert "gcc:tables" not in found


def test_between_measured_widths_a_power_law_holds() -> None:
    concepts = {"10": {"code": 1.0}, "1000": {"code": 100.0}}
    assert at_size(concepts, "code", 100) == pytest.approx(10)


def test_page_and_plot() -> None:
    known = {"device": "cpu", "sweep": SWEEP}
    assert "| activations | 1.00 |" in page(known)
    assert "extrapolated" not in page(known)
    both = page(all_figures())
    assert "| activations | images | 0.1 | 50,000 |" in both
    assert "16.7 % a target, 8.3 % a step" in both
    picture = ElementTree.fromstring(plot(SWEEP))
    lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 3 * len(AXES)


def test_page_and_picture_are_those_of_the_figures() -> None:
    kept = figures()
    assert PAGE.read_text(encoding="utf-8") == page(kept)
    assert PLOT.read_text(encoding="utf-8") == plot(kept["sweep"])
    assert len(exponents(kept["sweep"])) <= len(set(COLOURS))
