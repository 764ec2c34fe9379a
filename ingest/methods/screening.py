"""Screening a model's links for one logit: the fast way where one linear layer joins two layers, else target by target.

Notation: E (C, D) as in `ingest.numerics.screening`; y the logit of each image's class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ingest.blocks import leaf_module
from ingest.layers import LayerSpec
from ingest.methods.channelwise import channelwise, nodes_between, reaches
from ingest.methods.cla import Batches
from ingest.methods.cla_job import Link
from ingest.numerics.cla import CHUNK_BYTES, Ends, Moments, Run
from ingest.numerics.screening import direct, screened
from ingest.segments import OUTPUT, Segment, Trace

ScreenScores = tuple[list[Moments], list[Moments]]
"""E (C, D) of every link, and of every layer (C,) what its channels give the logit."""


@dataclass(frozen=True)
class Joint:
    """One linear layer that joins source and target: before it and behind it every channel stays by itself.

    ``before`` and ``behind`` are None where the layer reads the source, or is the target, itself.
    """

    module: nn.Conv2d | nn.Linear
    node: str
    input: str
    before: Segment | None
    behind: Segment | None


def joint_of(trace: Trace, source: LayerSpec, target: LayerSpec) -> Joint | None:
    """The only linear layer between two layers, None unless all paths lead through it and all else is by channel."""
    nodes = {node.name: node for node in trace.graph.graph.nodes}
    between = nodes_between(nodes[source.node], nodes[target.node])
    linear = [n for n in between if isinstance(leaf_module(trace, n), nn.Conv2d | nn.Linear)]
    if len(linear) != 1:
        return None
    node = linear[0]
    others = [n for n in between if n is not node]
    if not all(channelwise(trace, n) for n in others) or reaches(
        nodes[source.node], nodes[target.node], node
    ):
        return None
    module, given = leaf_module(trace, node), node.all_input_nodes[0]
    linear_last = isinstance(module, nn.Linear)
    if not isinstance(module, nn.Conv2d | nn.Linear) or (source.channel_axis != 1) != linear_last:
        return None
    before = None if given.name == source.node else trace.segment(source.node, given.name)
    behind = None if node.name == target.node else trace.segment(node.name, target.node)
    return Joint(module, node.name, given.name, before, behind)


class Screen:
    """Screens images of one model; links and their joints are found once."""

    def __init__(self, trace: Trace, links: Sequence[Link], budget: int = CHUNK_BYTES) -> None:
        self._trace = trace
        self.budget = budget
        self.links = [link for link in links if link.target is not None]
        self.joints = [
            None if link.target is None else joint_of(trace, link.source, link.target) for link in self.links
        ]
        layers = {link.source.ordinal: link.source for link in links}
        layers |= {link.target.ordinal: link.target for link in links if link.target is not None}
        self.layers = [layers[n] for n in sorted(layers) if trace.depends(OUTPUT, layers[n].node)]
        wanted = [layer.node for layer in layers.values()]
        for link, joint in zip(self.links, self.joints, strict=True):
            wanted += link.segment.frozen
            wanted += () if link.ending is None else link.ending.nodes
            if joint is not None:
                wanted += [joint.node, joint.input]
                for part in (joint.before, joint.behind):
                    wanted += part.frozen if part is not None else ()
        self._nodes = list(dict.fromkeys(wanted))

    def scores(self, batches: Batches, output: int | None = None) -> ScreenScores:
        """Scores over all images.

        ``output`` : whose logit; each image's largest if None.
        """
        edges = [Moments() for _ in self.links]
        heads = [Moments() for _ in self.layers]
        for batch in batches:
            for place in range(len(batch)):
                clean, slopes = self.clean(batch[place : place + 1], output)
                for n, own in enumerate(edges):
                    own.add(self.edges(n, clean, slopes))
                for layer, own in zip(self.layers, heads, strict=True):
                    product = clean[layer.node] * slopes[layer.node]
                    own.add(product.movedim(layer.channel_axis, 1).reshape(layer.channels, -1).sum(1))
        return edges, heads

    def clean(self, x: Tensor, output: int | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values (1, …) of one image by node, and the gradients of its logit there: one forward, one backward."""
        with torch.enable_grad():
            values = self._trace.values(x.detach().clone().requires_grad_(), [*self._nodes, OUTPUT])
            logits = values[OUTPUT]
            y = logits[0, int(logits.argmax()) if output is None else output]
            found = torch.autograd.grad(y, [values[n] for n in self._nodes], allow_unused=True)
        clean = {name: values[name].detach() for name in self._nodes}
        slopes = {
            name: torch.zeros_like(clean[name]) if slope is None else slope
            for name, slope in zip(self._nodes, found, strict=True)
        }
        return clean, slopes

    def edges(self, number: int, clean: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> Tensor:
        """E (C, D) of one link on one image, given its clean values and gradients."""
        link, joint = self.links[number], self.joints[number]
        if link.target is None:
            raise ValueError("a link to the logits is no pair of layers")
        a, g = clean[link.source.node], slopes[link.target.node]
        if joint is None:
            ends = Ends(link.source.channel_axis, link.target.channel_axis)
            ending = None if link.ending is None else link.ending.bind(clean)
            return screened(link.segment.bind(clean), a, g, ends, self.budget, ending)
        t, s = a, g
        if joint.before is not None:
            t = _tangent(joint.before.bind(clean), a)
        if joint.behind is not None:
            with torch.enable_grad():
                z = clean[joint.node].clone().requires_grad_()
                s = torch.autograd.grad(joint.behind.bind(clean)(z), z, g)[0]
        return direct(joint.module, t, s)


def _tangent(run: Run, a: Tensor) -> Tensor:
    """Derivative of ``run`` at a in the direction of a, by two backward passes.

    `torch.func.jvp` would do, but its first use compiles scripts.
    """
    with torch.enable_grad():
        x = a.clone().requires_grad_()
        y = run(x)
        given = torch.zeros_like(y, requires_grad=True)
        (back,) = torch.autograd.grad(y, x, given, create_graph=True)
        (found,) = torch.autograd.grad(back, given, a)
    return found
