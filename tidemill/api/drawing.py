"""The asset graph as text that others draw: Mermaid, DOT, or an adjacency list. Pure, from the value that the API gives."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.api.payloads import GraphNode, GraphView

_MERMAID_WORDS = frozenset(
    {"end", "graph", "flowchart", "subgraph", "direction", "style", "class", "classdef", "click", "linkstyle", "default", "call", "href"}
)
"""Names that mean something else to Mermaid; `end` alone breaks a drawing."""


def to_mermaid(view: GraphView) -> str:
    """The graph as a Mermaid flowchart, left to right, one box per group."""
    ids = _mermaid_ids(view)
    lines = ["flowchart LR"]
    for number, (group, nodes) in enumerate(_groups(view).items()):
        if group:
            lines.append(f'  subgraph g{number}["{_escaped(group)}"]')
        lines += [f"    {_box(ids[node.key], node)}" for node in nodes]
        if group:
            lines.append("  end")
    lines += dict.fromkeys(f"  {ids[edge.source]} --> {ids[edge.target]}" for edge in view.edges)
    return "\n".join(lines) + "\n"


def to_dot(view: GraphView) -> str:
    """The graph in Graphviz' language, left to right, one cluster per group."""
    lines = ["digraph tidemill {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (group, nodes) in enumerate(_groups(view).items()):
        if group:
            lines.append(f"  subgraph cluster_{number} {{ label={_quoted(group)};")
        lines += [f"    {_dot_node(node)}" for node in nodes]
        if group:
            lines.append("  }")
    lines += dict.fromkeys(f"  {_quoted(edge.source)} -> {_quoted(edge.target)};" for edge in view.edges)
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
    label = _quoted(node.key, node.partitions)
    shape = {"external": " shape=cylinder", "sql": " shape=parallelogram"}.get(node.kind, "")
    return f"{_quoted(node.key)} [label={label}{shape}];"


def _quoted(*lines: str) -> str:
    """Lines as one quoted string of DOT, in which nothing but quotes and backslashes is special."""
    escaped = [" ".join(line.replace("\\", "\\\\").replace('"', '\\"').split("\n")) for line in lines if line]
    return '"' + "\\n".join(escaped) + '"'


def _box(name: str, node: GraphNode) -> str:
    text = _escaped(node.key) + (f"<br/><small>{_escaped(node.partitions)}</small>" if node.partitions else "")
    left, right = {"external": ("[(", ")]"), "sql": ("[/", "/]")}.get(node.kind, ("[", "]"))
    return f'{name}{left}"{text}"{right}'


def _mermaid_ids(view: GraphView) -> Mapping[str, str]:
    """A word of its own for every key: dots become `__`, with a number behind it where that is taken or means something to Mermaid."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for node in view.nodes:
        plain = name = node.key.replace(".", "__")
        number = 2
        while name in taken or name.lower() in _MERMAID_WORDS:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        ids[node.key] = name
    return ids


def _escaped(text: str) -> str:
    """Text inside a quoted label: HTML's signs, and those that Mermaid reads as an entity or as Markdown."""
    text = text.replace("&", "&amp;").replace("#", "&num;")
    return text.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "&grave;").replace("\n", " ")
