"""Numerics, passes and memory by device. With `pytest -m gpu` the same tests compare CUDA with the CPU."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from ingest.devices import budget, chunked, exact_float32, to_device, with_budget
from ingest.job import Prepared, prepare
from ingest.models import load_model
from ingest.plan import activations, run
from ingest.store import ActivationStore
from tests.ingest.scale.four_methods import differences, folders, quiet, spec
from tests.ingest.scale.numerics import CASES, flat

ROOT = Path(__file__).parents[3]
CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
)


class Strays(TorchFunctionMode):
    """New tensors of no named device lie on none: on a GPU they would lie on the CPU, and meet there what does not.

    What a seeded generator draws is drawn on the CPU by intent.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in _device_constructors() and kwargs.get("generator") is None:
            kwargs["device"] = kwargs.get("device") or "meta"
        return function(*args, **kwargs)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def held() -> Iterator[None]:
    """The process's settings of float32, put back."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("module", CASES)
def test_a_numeric_is_the_same_on_every_device(module: str, device: str) -> None:
    exact_float32()
    want = list(flat(CASES[module]("cpu")()))
    call = CASES[module](device)
    with Strays():
        found = call()
    got = list(flat(found))
    assert len(want) == len(got) > 0
    tolerance = 1e-5 if any(part.dtype == torch.float32 for part in want) else 1e-6
    for one, other in zip(want, got, strict=True):
        if one.is_floating_point():
            scale = float(one.nan_to_num().abs().max()) if one.numel() else 1.0
            torch.testing.assert_close(other, one, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
        else:
            assert torch.equal(other, one)


def test_every_module_that_uses_torch_has_a_case() -> None:
    using = set()
    for path in (ROOT / "ingest" / "numerics").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if any(name.split(".")[0] == "torch" for name in names):
            using.add(path.stem)
    assert using == set(CASES)


@pytest.fixture(scope="module")
def prepared(data: Path) -> Prepared:
    return prepare(spec(data))


def test_a_pass_on_a_device(device: str, whole: Path, data: Path, tmp_path: Path) -> None:
    own = spec(data)
    job = prepare(replace(own, model=replace(own.model, device=device)))
    store = activations(job, folders(tmp_path), quiet)
    want = ActivationStore(next((whole / "work").glob("activations-*/complete")).parent)
    np.testing.assert_allclose(store.logits, want.logits, rtol=1e-5, atol=1e-6)
    for layer in want.layers:
        np.testing.assert_allclose(store.pooled(layer.name), want.pooled(layer.name), rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_job_on_a_gpu_has_the_same_nodes_and_scores(whole: Path, data: Path, tmp_path: Path) -> None:
    own = spec(data)
    job = prepare(replace(own, model=replace(own.model, device="cuda")))
    run(job, folders(tmp_path), quiet)
    assert differences(whole, tmp_path) == []


def test_channels_last_is_another_layout_of_the_same_numbers(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    last = to_device(batch, "cpu", channels_last=True)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, batch)
    assert to_device(batch, "cpu") is batch
    plain = activations(prepared, folders(tmp_path / "plain"), quiet)
    monkeypatch.setattr("ingest.activations.to_device", lambda x, d: to_device(x, d, channels_last=True))
    other = activations(prepared, folders(tmp_path / "last"), quiet)
    for layer in plain.layers:
        np.testing.assert_allclose(other.pooled(layer.name), plain.pooled(layer.name), rtol=1e-5, atol=1e-6)
        assert np.array_equal(other.peaks(layer.name), plain.peaks(layer.name))


def test_chunks_are_as_large_as_the_free_memory_allows(prepared: Prepared) -> None:
    free = 16 * 2**30
    size = budget([2 * free, free])
    assert size == free // 8
    assert budget([]) is None
    small = replace(prepared, spec=replace(prepared.spec, cla=replace(prepared.spec.cla, chunk_bytes=12345)))
    found = chunked(small, size).spec
    assert (found.gcc.chunk_bytes, found.gig.chunk_bytes, found.pure.chunk_bytes) == (size, size, size)
    assert found.cla.chunk_bytes == 12345, "what the user set"
    # Never less than the default, and nothing on a CPU.
    assert chunked(prepared, 1024).spec == prepared.spec
    assert with_budget(prepared) is prepared
    # How the work is cut is no part of what a run is.
    assert found.gcc.to_dict() == prepared.spec.gcc.to_dict()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_budget_is_asked_of_the_gpu(prepared: Prepared) -> None:
    model = replace(prepared.spec.model, device="cuda")
    found = with_budget(replace(prepared, spec=replace(prepared.spec, model=model)))
    assert found.spec.gcc.chunk_bytes > 2**28


@pytest.mark.usefixtures("held")
def test_stored_scores_are_never_of_fewer_bits(prepared: Prepared) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    load_model(prepared.spec.model, lambda: (16, 16))
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    # Wherever a module is moved to a device, the same is said; autocast and half precision are nowhere.
    texts = {path: path.read_text() for path in (ROOT / "ingest").rglob("*.py")}
    moving = [path.stem for path, text in texts.items() if "module.to(" in text or "forward(x.to(" in text]
    assert sorted(moving) == ["clip", "embeddings", "models"]
    assert all("exact_float32()" in texts[path] for path in texts if path.stem in moving)
    assert not [
        path
        for path, text in texts.items()
        if "autocast" in text.replace("is autocast", "") or "bfloat16" in text
    ]
