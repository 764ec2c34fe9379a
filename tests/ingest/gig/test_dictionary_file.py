"""A dictionary from a safetensors file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from atlas.errors import DataError
from ingest.methods.dictionary_file import dictionary_path, read_dictionary


def test_rows_come_back_at_unit_length(tmp_path: Path) -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, -2.0], [1.0, 0.0]], dtype=torch.float64)
    save_file({"block1": rows, "block2": torch.ones(1, 7)}, tmp_path / "d.safetensors")
    path = dictionary_path(f"file:{tmp_path / 'd.safetensors'}")
    assert path is not None
    found = read_dictionary(path, "block1", 2)
    assert found.tolist() == [pytest.approx([0.6, 0.8]), [0.0, -1.0], [1.0, 0.0]]
    assert found.dtype == torch.float32
    assert dictionary_path("kmeans") is None


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.ones(2, 3), "expected K × 2, got 2 × 3"),
        (torch.ones(4), "got 4"),
        (torch.zeros(2, 2), "no direction"),
        (torch.full((1, 2), torch.nan), "no direction"),
        (torch.ones(0, 2), "got 0 × 2"),
    ],
)
def test_what_is_no_dictionary_of_the_layer_is_refused(
    tmp_path: Path, tensor: torch.Tensor, said: str
) -> None:
    save_file({"block1": tensor}, tmp_path / "d.safetensors")
    with pytest.raises(DataError, match=said):
        read_dictionary(tmp_path / "d.safetensors", "block1", 2)


def test_a_missing_layer_and_a_bad_file_are_named(tmp_path: Path) -> None:
    save_file({"other": torch.ones(2, 2)}, tmp_path / "d.safetensors")
    with pytest.raises(DataError, match="a tensor named block1, got other"):
        read_dictionary(tmp_path / "d.safetensors", "block1", 2)
    (tmp_path / "text").write_text("no tensors", encoding="utf-8")
    for name in ("text", "none"):
        with pytest.raises(DataError, match="cannot be read"):
            read_dictionary(tmp_path / name, "block1", 2)
