"""Scores that look at weights alone: a baseline that knows no image.

A^w(m, n) is what target n reads, on average over positions, when source m is one everywhere and all else is zero, with
every weight at its absolute value and every bias and running mean at zero: the sum over all paths from m to n of the
products of their absolute weights, wherever rectifiers are the only non-linearities (the path norm of Neyshabur et al.
2015, arXiv 1503.00036, without the square). Where a layer normalises by its own data the figure is what it gives there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ingest.layers import to_units
from ingest.methods.cla_job import Link
from ingest.numerics.cla_circuit import Array
from ingest.segments import Trace

ROWS = 64


@torch.no_grad()
def weight_paths(trace: Trace, link: Link) -> Array:
    """(C, D) path norms of a link."""
    segment = link.segment.with_tensors(_absolute)
    like = next(p for p in trace.graph.module.parameters())
    held = {name: like.new_zeros(1, *trace.shape(name)) for name in segment.frozen}
    shape = trace.shape(link.source.node)
    found = []
    for start in range(0, link.source.channels, ROWS):
        channels = torch.arange(start, min(link.source.channels, start + ROWS), device=like.device)
        x = like.new_zeros(len(channels), *shape)
        x.movedim(link.source.channel_axis, 1)[torch.arange(len(channels)), channels] = 1
        y = segment(x, held)
        found.append((y if link.target is None else to_units(y, link.target).mean(2)).double().cpu().numpy())
    paths: Array = np.concatenate(found).clip(min=0)
    return paths


def _absolute(name: str, tensor: Tensor) -> Tensor:
    last = name.rpartition(".")[2]
    if not tensor.is_floating_point() or last == "running_var":
        return tensor
    return torch.zeros_like(tensor) if "bias" in last or last == "running_mean" else tensor.abs()
