"""Which values of a traced model are its layers when nobody names any.

First by the class of a module (the blocks that GCC uses, and their like in torchvision's other families),
then, for other people's models, by the structure of the trace; never by a model's name.
"""

from __future__ import annotations

from collections.abc import Iterator

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
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CHANNELS_FIRST = (
    *_CONVOLUTIONS,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.modules.pooling._AvgPoolNd,
)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type) and kind is not nn.MultiheadAttention
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
    """Modules that add two tensors of their output's shape; of a block of tokens, its MLP's activation."""
    graph = trace.graph
    for name, module in graph.modules.items():
        shape = graph.shapes.get(graph.names[name])
        if not name or isinstance(module, nn.Sequential) or shape is None or len(shape) < 2:
            continue
        if not any(
            _adds(trace, node, shape) for node in graph.graph.nodes if graph.owners.get(node.name) == name
        ):
            continue
        hidden = [n for n in _activation_names(trace, nn.Linear) if n.startswith(name + ".")]
        if len(shape) == 2 and hidden:
            yield hidden[-1], HIDDEN
        else:
            yield name, BLOCK


def _adds(trace: Trace, node: fx.Node, shape: tuple[int, ...]) -> bool:
    same = [n for n in node.all_input_nodes if trace.graph.shapes.get(n.name) == shape]
    return called(node) == "add" and len(same) == 2


def _activated(trace: Trace) -> Iterator[tuple[str, str]]:
    """Convolutions, or without any the fully connected layers, each after its norm and activation."""
    for kind in (_CONVOLUTIONS, nn.Linear):
        found = list(_activation_names(trace, kind))
        if found:
            yield from ((name, ACTIVATION) for name in found)
            return


def _activation_names(trace: Trace, kinds: type[nn.Module] | tuple[type[nn.Module], ...]) -> Iterator[str]:
    names: dict[str, str] = {}
    for name, node_name in trace.names.items():
        if not isinstance(trace.graph.modules.get(name), nn.Sequential):
            names.setdefault(node_name, name)
    for node in trace.graph.graph.nodes:
        if node.name not in names or not isinstance(leaf_module(trace, node), kinds):
            continue
        while len(node.users) == 1 and isinstance(leaf_module(trace, next(iter(node.users))), _NORMS):
            node = next(iter(node.users))
        after = [user for user in node.users if activates(trace, user)]
        if len(after) == 1:
            yield names[after[0].name]


def activates(trace: Trace, node: fx.Node) -> bool:
    """Whether a node is an activation function."""
    module = leaf_module(trace, node)
    if module is not None:
        return isinstance(module, _ACTIVATIONS)
    return called(node) in _ACTIVATION_NAMES


def called(node: fx.Node) -> str:
    """Name of the function or method of a node, or nothing."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def leaf_module(trace: Trace, node: fx.Node) -> nn.Module | None:
    return trace.graph.module.get_submodule(str(node.target)) if node.op == "call_module" else None
