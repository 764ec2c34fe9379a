"""Which values of a traced model are its layers when nobody names any.

First by the class of a module (the blocks that GCC uses, and their like in torchvision's other families),
then, for other people's models, by the structure of the trace; never by a model's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx, nn
from torchvision.models.convnext import CNBlock
from torchvision.models.densenet import _DenseBlock
from torchvision.models.efficientnet import FusedMBConv, MBConv
from torchvision.models.googlenet import Inception
from torchvision.models.inception import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE
from torchvision.models.maxvit import MaxVitLayer
from torchvision.models.mnasnet import _InvertedResidual as MnasBlock
from torchvision.models.mobilenetv2 import InvertedResidual as MobileV2Block
from torchvision.models.mobilenetv3 import InvertedResidual as MobileV3Block
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.shufflenetv2 import InvertedResidual as ShuffleBlock
from torchvision.models.squeezenet import Fire
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.vision_transformer import EncoderBlock

from ingest.operations import called as called
from ingest.segments import Trace

BLOCK = "channel of a block's output"
HIDDEN = "hidden unit of an encoder block's MLP, after its activation"
ACTIVATION = "channel after a convolution's activation"
CHOSEN = "channel of a traced value"

# Blocks whose layer is their MLP's hidden activation, and blocks that are layers; a block inside one is none.
_HIDDEN_OF = (EncoderBlock, SwinTransformerBlock)
_BLOCKS = (
    *(BasicBlock, Bottleneck, ResBottleneckBlock, CNBlock, MBConv, FusedMBConv, MnasBlock, MobileV2Block),
    *(MobileV3Block, ShuffleBlock, Fire, MaxVitLayer, _DenseBlock),
    *(Inception, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE),
)


@dataclass(frozen=True)
class Operation:
    """A kind of operation: the modules and the functions that it comes as."""

    modules: tuple[type[nn.Module], ...]
    functions: frozenset[str]


CONVOLUTION = Operation(
    (nn.Conv1d, nn.Conv2d, nn.Conv3d), frozenset(["conv1d", "conv2d", "conv3d", "convolution"])
)
LINEAR = Operation((nn.Linear,), frozenset(["linear"]))
NORM = Operation(
    (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm),
    frozenset(["batch_norm", "group_norm", "layer_norm", "instance_norm"]),
)
CHANNELS_FIRST = Operation(
    (*CONVOLUTION.modules, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.modules.pooling._AvgPoolNd),
    CONVOLUTION.functions | {"batch_norm", "group_norm", "avg_pool2d", "max_pool2d"},
)
CHANNELS_LAST = Operation(
    (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention), frozenset(["linear", "layer_norm"])
)
_NOTHING = Operation((nn.Identity, nn.Dropout), frozenset(["dropout", "contiguous"]))
_ATTENTION = ("scaled_dot_product_attention", "softmax", "matmul", "bmm", "einsum")
_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type)
    and kind.__module__ == nn.modules.activation.__name__
    and kind is not nn.MultiheadAttention
)
_ACTIVATION_NAMES = frozenset(
    [
        "relu",
        "relu6",
        "gelu",
        "silu",
        "elu",
        "selu",
        "leaky_relu",
        "hardswish",
        "hardtanh",
        "mish",
        "tanh",
        "sigmoid",
    ]
)


def default_layers(trace: Trace) -> dict[str, str]:
    """Name → meaning of its unit."""
    for find in (_table_blocks, _residual_blocks, _activated):
        found = dict(find(trace))
        if found:
            return found
    return {}


def _table_blocks(trace: Trace) -> Iterator[tuple[str, str]]:
    outer = ""
    for name, module in sorted(trace.graph.modules.items()):
        if outer and name.startswith(outer + "."):
            continue
        if isinstance(module, (*_HIDDEN_OF, *_BLOCKS)):
            outer = name
            yield (f"{name}.mlp.1", HIDDEN) if isinstance(module, _HIDDEN_OF) else (name, BLOCK)


def _residual_blocks(trace: Trace) -> Iterator[tuple[str, str]]:
    """Modules that add two tensors of their output's shape, and others of their kinds that change its shape.

    Of a block with attention, and of one of tokens, the layer is its MLP's activation.
    """
    graph = trace.graph
    adding = [name for name in graph.modules if name and _adds_to_itself(trace, name)]
    kinds = {type(graph.modules[name]) for name in adding}
    hidden = list(_activation_names(trace, LINEAR))
    for name, module in graph.modules.items():
        shape = graph.shapes.get(graph.names[name], ())
        if name not in adding and (type(module) not in kinds or len(shape) < 2):
            continue
        own = [n for n in hidden if n.startswith(name + ".")]
        if own and (len(shape) == 2 or _attends(trace, name)):
            yield own[-1], HIDDEN
        else:
            yield name, BLOCK


def _adds_to_itself(trace: Trace, name: str) -> bool:
    graph = trace.graph
    shape = graph.shapes.get(graph.names[name])
    if isinstance(graph.modules[name], nn.Sequential) or shape is None or len(shape) < 2:
        return False
    own = (node for node in graph.graph.nodes if graph.owners.get(node.name) == name)
    return any(_adds(trace, node, shape) for node in own)


def _adds(trace: Trace, node: fx.Node, shape: tuple[int, ...]) -> bool:
    same = [n for n in node.all_input_nodes if trace.graph.shapes.get(n.name) == shape]
    return called(node) == "add" and len(same) == 2


def _attends(trace: Trace, name: str) -> bool:
    """Whether a module multiplies activations as attention does."""
    graph, below = trace.graph, name + "."
    return any(
        called(node) in _ATTENTION and (graph.owners.get(node.name, "") + ".").startswith(below)
        for node in graph.graph.nodes
    )


def _activated(trace: Trace) -> Iterator[tuple[str, str]]:
    """Convolutions, or without any the fully connected layers, each after its norm and activation."""
    for kind in (CONVOLUTION, LINEAR):
        found = list(_activation_names(trace, kind))
        if found:
            yield from ((name, ACTIVATION) for name in found)
            return


def _activation_names(trace: Trace, kind: Operation) -> Iterator[str]:
    names: dict[str, str] = {}
    for name, node_name in trace.names.items():
        if not isinstance(trace.graph.modules.get(name), nn.Sequential):
            names.setdefault(node_name, name)
    for node in trace.graph.graph.nodes:
        if node.name not in names or not is_a(trace, node, kind):
            continue
        while len(node.users) == 1 and _kept_by(trace, next(iter(node.users))):
            node = next(iter(node.users))
        after = [user for user in node.users if activates(trace, user)]
        if len(after) == 1:
            yield names[after[0].name]


def _kept_by(trace: Trace, node: fx.Node) -> bool:
    """Norms, and what does nothing in evaluation mode."""
    return is_a(trace, node, NORM) or is_a(trace, node, _NOTHING)


def activates(trace: Trace, node: fx.Node) -> bool:
    """Whether a node is an activation function."""
    module = leaf_module(trace, node)
    if module is not None:
        return isinstance(module, _ACTIVATIONS)
    return called(node) in _ACTIVATION_NAMES


def is_a(trace: Trace, node: fx.Node, kind: Operation) -> bool:
    """Whether a node is an operation of a kind, as a module or as a function."""
    module = leaf_module(trace, node)
    return called(node) in kind.functions if module is None else isinstance(module, kind.modules)


def leaf_module(trace: Trace, node: fx.Node) -> nn.Module | None:
    return trace.graph.module.get_submodule(str(node.target)) if node.op == "call_module" else None
