"""The asset graph as text that others draw: Mermaid, DOT, or an adjacency list. Pure, from the value that the API gives."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tidemill.api.payloads import GraphNode, GraphView


def to_mermaid(view: GraphView) -> str:
    """The graph as a Mermaid flowchart, left to right, one box per group."""
    lines = ["flowchart LR"]
    for number, (group, nodes) in enumerate(_groups(view).items()):
        if group:
            lines.append(f'  subgraph g{number}["{_quoted(group)}"]')
        lines += [f"    {_box(node)}" for node in nodes]
        if group:
            lines.append("  end")
    lines += dict.fromkeys(f"  {_id(edge.source)} --> {_id(edge.target)}" for edge in view.edges)
    return "\n".join(lines) + "\n"


def to_dot(view: GraphView) -> str:
    """The graph in Graphviz' language, left to right, one cluster per group."""
    lines = ["digraph tidemill {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (group, nodes) in enumerate(_groups(view).items()):
        if group:
            lines.append(f"  subgraph cluster_{number} {{ label={json.dumps(group)};")
        lines += [f"    {_dot_node(node)}" for node in nodes]
        if group:
            lines.append("  }")
    lines += dict.fromkeys(f"  {json.dumps(edge.source)} -> {json.dumps(edge.target)};" for edge in view.edges)
    return "\n".join([*lines, "}"]) + "\n"


def adjacency(view: GraphView) -> dict[str, list[str]]:
    """Every asset, in topological order, and the assets that read it, each once."""
    readers: dict[str, dict[str, None]] = {node.key: {} for node in view.nodes}
    for edge in view.edges:
        readers[edge.source][edge.target] = None
    return {key: list(found) for key, found in readers.items()}


def _groups(view: GraphView) -> Mapping[str, list[GraphNode]]:
    groups: dict[str, list[GraphNode]] = {}
    for node in view.nodes:
        groups.setdefault(node.group, []).append(node)
    return groups


def _dot_node(node: GraphNode) -> str:
    label = json.dumps(node.key + (f"\n{node.partitions}" if node.partitions else ""), ensure_ascii=False)
    shape = {"external": " shape=cylinder", "sql": " shape=parallelogram"}.get(node.kind, "")
    return f"{json.dumps(node.key)} [label={label}{shape}];"


def _box(node: GraphNode) -> str:
    text = _quoted(node.key) + (f"<br/><small>{_quoted(node.partitions)}</small>" if node.partitions else "")
    left, right = {"external": ("[(", ")]"), "sql": ("[/", "/]")}.get(node.kind, ("[", "]"))
    return f'{_id(node.key)}{left}"{text}"{right}'


def _id(key: str) -> str:
    return key.replace(".", "__")


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
