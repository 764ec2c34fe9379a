"""Receptive fields against the literal question: which pixels change a unit?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ingest.numerics.fields import boxes, receptive_fields


def network() -> nn.Module:
    """Two 3 × 3 convolutions, the second of stride 2: a field of 5 × 5."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=2, padding=1)
        ).double()


def units(x: Tensor) -> Tensor:
    found: Tensor = network()(x).flatten(2)
    return found


def test_a_field_is_what_a_pixel_does_to_the_unit() -> None:
    x = torch.rand(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    positions = torch.tensor([2 * 6 + 3, 0])
    field = receptive_fields(units, x, positions)
    one = receptive_fields(units, x, positions, channel=2)
    direction = torch.tensor([0.5, -1.0, 0.0, 2.0, 0.25], dtype=torch.float64)
    along = receptive_fields(units, x, positions, channel=direction)
    for b in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda v, b=b: units(v[None])[0, :, positions[b]], x[b])
        assert torch.allclose(one[b], torch.linalg.vector_norm(jacobian[2], dim=0))
        assert torch.allclose(
            along[b], torch.linalg.vector_norm(torch.tensordot(direction, jacobian, 1), dim=0)
        )
        assert torch.allclose(field[b], torch.linalg.vector_norm(jacobian.sum(0), dim=0))
        changed = x[b].clone()
        outside = field[b] == 0
        changed[:, outside] += 1.0
        assert torch.equal(units(changed[None])[0, :, positions[b]], units(x[b : b + 1])[0, :, positions[b]])


def test_boxes_are_the_known_fields() -> None:
    x = torch.rand(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    field = receptive_fields(units, x, torch.tensor([2 * 6 + 3, 0]))
    # Row 2, column 3 of the map lies at row 4, column 6 of the image; the corner is cut off.
    assert boxes(field).tolist() == [[4, 2, 9, 7], [0, 0, 3, 3]]
    assert boxes(torch.zeros(1, 4, 6)).tolist() == [[0, 0, 6, 4]]
