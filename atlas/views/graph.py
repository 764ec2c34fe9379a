"""A circuit for other programs: node-link JSON, CSV of its edges, Graphviz DOT, GraphML, networkx."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from atlas import address
from atlas.circuits import Circuit
from atlas.errors import AddressError, AtlasError
from atlas.views.json import dumps

if TYPE_CHECKING:
    import networkx


def render(circuit: Circuit, form: str) -> str:
    """A circuit in one of :data:`FORMATS`.

    Raises AtlasError for another form, or if GraphML is asked for without networkx.
    """
    if form not in FORMATS:
        raise AtlasError("unknown format", where=form, expected=" or ".join(FORMATS), got=form)
    return FORMATS[form](circuit)


def node_link(circuit: Circuit) -> str:
    """``{"name", "nodes": [{"id", …}], "edges": [{"source", "target", …}]}`` as JSON."""
    return (
        dumps(
            {
                "name": circuit.name,
                "nodes": [{"id": node, **values} for node, values in circuit.nodes.items()],
                "edges": [{"source": a, "target": b, **values} for (a, b), values in circuit.edges.items()],
            }
        )
        + "\n"
    )


def edge_list(circuit: Circuit) -> str:
    """CSV with a row per edge; nodes without an edge are not in it."""
    names = list(dict.fromkeys(name for values in circuit.edges.values() for name in values))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["source", "target", *names])
    for (source, target), values in circuit.edges.items():
        writer.writerow([source, target, *(values.get(name) for name in names)])
    return out.getvalue()


def dot(circuit: Circuit) -> str:
    """Graphviz: one rank per layer, pen width by sensitivity."""
    layers: dict[str, list[str]] = {}
    for node in circuit.nodes:
        layers.setdefault(_layer(node), []).append(node)
    lines = [f"digraph {_quoted(circuit.name)} {{", "  rankdir=BT;", "  node [shape=box];"]
    for layer, nodes in layers.items():
        members = " ".join(f"{_quoted(node)} [label={_quoted(_short(node))}];" for node in nodes)
        lines.append(f"  {{ rank=same; /* {layer.replace('*/', '')} */ {members} }}")
    for (source, target), values in circuit.edges.items():
        width = 1 + 4 * float(values.get("sensitivity") or 0.0)
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} [penwidth={width:.3g}];")
    return "\n".join([*lines, "}"]) + "\n"


def graphml(circuit: Circuit) -> str:
    """GraphML, as networkx writes it. Raises AtlasError without networkx."""
    graph = to_networkx(circuit)
    networkx = _networkx()
    return "\n".join(networkx.generate_graphml(graph)) + "\n"


def to_networkx(circuit: Circuit) -> networkx.DiGraph:
    """A directed graph with the properties of nodes and edges. Raises AtlasError without networkx."""
    graph = _networkx().DiGraph(name=circuit.name)
    graph.add_nodes_from((node, _known(values)) for node, values in circuit.nodes.items())
    graph.add_edges_from((a, b, _known(values)) for (a, b), values in circuit.edges.items())
    return graph


FORMATS: Mapping[str, Callable[[Circuit], str]] = {
    "json": node_link,
    "csv": edge_list,
    "dot": dot,
    "graphml": graphml,
}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    # GraphML has no null.
    return {name: value for name, value in values.items() if value is not None}


def _networkx() -> Any:
    try:
        import networkx
    except ImportError:
        raise AtlasError(
            "networkx is not installed", next_step="`pip install 'circuit-atlas[frames]'`"
        ) from None
    return networkx


def _layer(node: str) -> str:
    try:
        return address.parse(node).layer
    except AddressError:
        return ""


def _short(node: str) -> str:
    head, _, rest = node.partition("/")
    return rest if "@" in head else node


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
