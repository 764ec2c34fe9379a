"""What a CLA job works on: its numbers, and the pairs of layers its scores join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atlas.errors import DataError, ModelError
from ingest.layers import LayerSpec
from ingest.methods.endings import LinkEnding, ending_of
from ingest.segments import OUTPUT, Segment, Trace


@dataclass(frozen=True)
class ClaParameters:
    """All numbers of a CLA run.

    k : neurons of a circuit per layer.
    k_share : if positive, the share of each layer's neurons, in place of k.
    keep : targets per scope and layer whose edges are stored, those of largest total attribution.
    sources : edges stored per target, those of largest score.
    hops : layers an edge may span.
    images_per_scope : images a scope's scores are averaged over, at most; 0 for all.
    scopes : comma-separated ``classes``, ``all``, ``folders``, or a JSON file {name: [image names] or folder}.
    most_edges : edges of all scopes together that a run may store.
    screen : also store first-order screening edges.
    related : for the evaluation, what makes two classes related: the text that joins the parts of their names
        (``4-5`` and ``5-6`` share a part), or a JSON file {class: [part, …]}.
    chunk_bytes : memory for one batch of gradients.
    """

    k: int = 8
    k_share: float = 0.0
    keep: int = 64
    sources: int = 16
    hops: int = 1
    images_per_scope: int = 10
    scopes: str = "classes"
    most_edges: int = 2_000_000
    screen: bool = False
    related: str = "-"
    chunk_bytes: int = 256 * 2**20

    def to_dict(self) -> dict[str, Any]:
        """For the Run: what its numbers depend on; scopes are told by their images."""
        fields = asdict(self)
        for name in ("chunk_bytes", "scopes", "most_edges", "related"):
            del fields[name]
        return fields


@dataclass(frozen=True)
class Link:
    """Two layers whose pairs are scored, by ordinals; the target is the logits where ``target`` is None."""

    source: LayerSpec
    target: LayerSpec | None
    hops: int
    segment: Segment
    ending: LinkEnding | None = None

    @property
    def width(self) -> int | None:
        """Channels of the target layer, None for the logits."""
        return None if self.target is None else self.target.channels


def make_links(trace: Trace, layers: Sequence[LayerSpec], hops: int = 1) -> tuple[Link, ...]:
    """All pairs of layers at most ``hops`` apart of which the second depends on the first; the logits come last.

    Raises
    ------
    ModelError : fewer than two layers, or no layer depends on one before it.
    DataError : hops < 1.
    """
    if len(layers) < 2:
        raise ModelError("a circuit needs two layers", expected=">= 2", got=len(layers))
    if hops < 1:
        raise DataError("no such distance of layers", where="cla.hops", expected=">= 1", got=hops)
    found = []
    for i, source in enumerate(layers):
        for distance in range(1, hops + 1):
            j = i + distance
            target = layers[j] if j < len(layers) else None
            node = OUTPUT if target is None else target.node
            if j <= len(layers) and trace.depends(node, source.node):
                ending = None if target is None else ending_of(trace, source, target)
                found.append(Link(source, target, distance, trace.segment(source.node, node), ending))
    if not any(link.target for link in found):
        raise ModelError("no layer depends on one before it", where=", ".join(layer.name for layer in layers))
    return tuple(found)
