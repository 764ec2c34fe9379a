"""Own models of every style: traced as they compute, or refused with the operation, its place and a way out."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from atlas.errors import ModelError
from ingest.layers import LayerSpec, choose_layers
from ingest.models import ModelSpec, load_model
from ingest.segments import OUTPUT, Trace
from tests.ingest.models.conftest import Ingest


class Functional(nn.Module):
    """Parameters of its own and functions alone; an argument that nobody gives."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.second = nn.Parameter(torch.randn(8, 6, 3, 3))
        self.register_buffer("mean", torch.randn(8))
        self.register_buffer("variance", torch.rand(8) + 0.5)
        self.head = nn.Parameter(torch.randn(5, 8))

    def forward(self, x: Tensor, noise: Tensor | None = None, scale: float = 1.0) -> Tensor:
        if noise is not None:
            x = x + noise
        x = functional.relu(functional.conv2d(x, self.kernel, padding=1))
        x = functional.batch_norm(functional.conv2d(x, self.second, stride=2), self.mean, self.variance)
        x = functional.gelu(x) * scale
        return functional.linear(x.mean((2, 3)), self.head)


class Joint(nn.Module):
    """A block of two inputs, which it concatenates; every convolution sees all before it."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(left + right, 4, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.relu(self.mix(torch.cat([x, y], 1)))


class Concatenations(nn.Module):
    """Blocks of several inputs, one of them called twice, in a loop over modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.ModuleList([Joint(4, 4) for _ in range(2)])
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        before = x = self.stem(x)
        for block in self.blocks:
            before, x = x, block(x, before)
        x = self.blocks[1](x, before)
        return self.head(x.mean((2, 3)))


class BySize(nn.Module):
    """Python that asks for sizes and kinds: branches, a loop, a dictionary on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.same = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        while x.shape[-1] > 4:
            x = functional.avg_pool2d(functional.relu(self.same(x)), 2)
        if x.size(1) != 4 or not isinstance(x, Tensor):
            raise ValueError("never")
        held = {"features": x.relu()}
        return self.head(held["features"].mean((2, 3)))


class Gate(nn.Module):
    """A branch on values, image by image."""

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for row in x:
            if row.sum() > 0:
                rows.append(row * 2)
            else:
                rows.append(row - 1)
        return torch.stack(rows)


class Gated(nn.Module):
    def __init__(self, gate: type[nn.Module]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = gate()
        self.second = nn.Conv2d(4, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(functional.relu(self.first(x)))
        return functional.relu(self.second(x)).mean((2, 3))


class WholeGate(Gate):
    atlas_whole = True


BATCHWISE = """
from torch import nn

class Batchwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        y = self.conv(x)
        return (y - y.mean(0)).relu().mean((2, 3))

def build():
    return Batchwise()
"""


def cut(module: nn.Module, size: int = 16, globs: str | None = None) -> tuple[Trace, tuple[LayerSpec, ...]]:
    """Trace, layers; the trace computes what the module does, and so does each segment."""
    trace = Trace(module.eval(), (3, size, size))
    layers = choose_layers(SimpleNamespace(trace=trace, name="own"), globs)  # type: ignore[arg-type]
    x = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = trace.values(x, [*(layer.node for layer in layers), OUTPUT])
        torch.testing.assert_close(found[OUTPUT], module(x))
        for layer in layers:
            segment = trace.segment(layer.node, OUTPUT)
            held = trace.values(x, list(segment.frozen)) if segment.frozen else {}
            torch.testing.assert_close(segment(found[layer.node], held), found[OUTPUT])
    return trace, layers


def summary(layers: tuple[LayerSpec, ...]) -> list[tuple[str, int, str]]:
    return [(layer.name, layer.channels, layer.kind) for layer in layers]


def test_functions_and_optional_arguments() -> None:
    _, layers = cut(Functional())
    assert summary(layers) == [("relu", 6, "conv"), ("gelu", 8, "conv")]


def test_concatenations_several_inputs_and_a_block_called_twice() -> None:
    trace, layers = cut(Concatenations())
    assert summary(layers) == [(name, 4, "conv") for name in ("blocks.0", "blocks.1", "blocks.1_1")]
    second = trace.segment(layers[0].node, layers[1].node)
    assert second.frozen == (trace.names["stem"],), "the other input of the block is held"
    _, chosen = cut(Concatenations(), globs="blocks.?.cat")
    assert summary(chosen) == [("blocks.0.cat", 8, "conv"), ("blocks.1.cat", 8, "conv")]


@pytest.mark.parametrize(("size", "count"), [(8, 1), (16, 1), (32, 2)])
def test_branches_and_loops_on_sizes(size: int, count: int) -> None:
    """Symbolic tracing cannot follow; export runs it at this size, with any batch."""
    trace, layers = cut(BySize(), size)
    assert len(layers) == count
    assert {layer.channels for layer in layers} == {4}
    assert "down" in trace.names


def test_names_of_exported_values_are_those_of_the_modules() -> None:
    module = BySize().eval()
    trace, x = Trace(module, (3, 16, 16)), torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(trace.values(x, [trace.names["down"]])[trace.names["down"]], module.down(x))
    assert trace.graph.modules["down"] is trace.graph.module.get_submodule("down")


class Pair(nn.Module):
    """Returns an earlier value first and its last one second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return y, y.abs() if x.shape[-1] > 4 else y


class OfPairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.pair(x)
        return (a + b).relu().mean((2, 3))


def test_a_name_is_dropped_where_the_last_value_is_not_what_the_module_returned() -> None:
    trace = Trace(OfPairs().eval(), (3, 8, 8))
    assert "pair.conv" in trace.names
    assert "pair" not in trace.names


def test_assertions_hide_no_layer() -> None:
    """Checks of sizes read a convolution's output too; they are taken out, and its activation is its only reader."""

    class Checked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            torch._assert(y.ndim == 4, "a batch of maps")
            return functional.silu(self.norm(y)).mean((2, 3))

    trace, layers = cut(Checked())
    assert summary(layers) == [("silu", 4, "conv")]
    assert not any("assert" in str(node.target) for node in trace.graph.graph.nodes)


def refusal(module: nn.Module) -> str:
    with pytest.raises(ModelError) as caught:
        Trace(module.eval(), (3, 8, 8))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_branch_on_values_names_module_line_and_ways_out() -> None:
    text = refusal(Gated(Gate))
    lines = Path(__file__).read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if line.strip() == "for row in x:")
    assert f"the model cannot be traced: Gate (gate) at test_own_models.py:{number}" in text
    assert "`for row in x:`" in text
    for way in ("torch.where", "torch.fx.wrap", "atlas_whole = True", "--layers"):
        assert way in text


def test_a_value_taken_out_of_a_tensor_is_named() -> None:
    class Temperature(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) / float(x.abs().max())

    assert re.search(r"Temperature at test_own_models.py:\d+ .*`return x.mean", refusal(Temperature()))


def test_a_module_kept_whole_is_one_operation() -> None:
    trace, layers = cut(Gated(WholeGate))
    assert summary(layers) == [("relu", 4, "conv"), ("relu_1", 5, "conv")]
    _, chosen = cut(Gated(WholeGate), globs="gate,second")
    assert [layer.name for layer in chosen] == ["gate", "second"]
    assert trace.segment(layers[0].node, layers[1].node).frozen == ()


def test_results_that_depend_on_the_rest_of_the_batch_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batchwise_model.py").write_text(BATCHWISE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="result of an image depends on the others of its batch"):
        load_model(ModelSpec("batchwise_model:build", image_size=(4, 4)))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: {"logits": x.mean((2, 3))}, r"does not return logits.*got dict.*Wrap"),
        (lambda self, x: (x.mean((2, 3)), x), r"does not return logits.*got tuple.*Wrap"),
        (lambda self, x, y: x.mean((2, 3)) + y, r"takes several inputs.*forward\(x, y\).*Wrap it"),
    ],
)
def test_other_inputs_and_outputs_are_refused(forward: object, message: str) -> None:
    odd = type("Odd", (nn.Module,), {"forward": forward})
    assert re.search(message, refusal(odd()))


def test_without_layers_the_message_lists_values_that_could_be() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 2).sigmoid().mean((2, 3))

    with pytest.raises(ModelError, match=r"no blocks or convolutions found.*such as .*mul, sigmoid"):
        cut(Mean())


def test_the_example_is_ingested_as_it_stands(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    monkeypatch.setattr("tests.ingest.models.conftest.OUTPUTS", 10)
    found = ingest(ModelSpec("examples.own_model:small_resnet"))
    assert found["activations"].rows("Layer") == 3
    assert found["gcc"].rows("Neuron-FLOWS_TO-Neuron") > 0
