"""The asset graph, as JSON or as a Mermaid diagram."""

from __future__ import annotations

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.http import JSON, ApiResponse, json_response
from tidemill.api.negotiation import negotiate
from tidemill.api.payloads import GraphEdge, GraphNode, GraphView
from tidemill.api.route import Call, Nothing
from tidemill.api.wording import mapping_in_words
from tidemill.graph.asset_graph import AssetGraph

MERMAID = "text/vnd.mermaid"
FORMATS = {"json": JSON, "mermaid": MERMAID}


class GraphQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to draw it."""

    format: str = ""
    """`json` or `mermaid`; without it, what `Accept` says."""


def get_graph(app: ApiApp, call: Call[GraphQuery, Nothing]) -> ApiResponse:
    """Which asset reads which."""
    media_type = negotiate(call.request.headers.get("accept", ""), call.query.format, FORMATS)
    view = describe_graph(app.graph)
    if media_type == MERMAID:
        return ApiResponse(status=200, body=to_mermaid(view).encode(), media_type=MERMAID, headers={"Cache-Control": "no-store"})
    return json_response(view)


def describe_graph(graph: AssetGraph) -> GraphView:
    """The graph as a value, in topological order."""
    definitions = [graph.assets[key] for key in graph.order]
    return GraphView(
        nodes=tuple(
            GraphNode(
                key=each.key,
                kind=each.kind.value,
                pipeline=each.pipeline,
                group=each.group,
                partitions=each.partitions.rule() if each.partitions else "",
            )
            for each in definitions
        ),
        edges=tuple(
            GraphEdge(source=each.asset, target=definition.key, input=each.name, mapping=mapping_in_words(each.mapping))
            for definition in definitions
            for each in definition.inputs.values()
        ),
    )


def to_mermaid(view: GraphView) -> str:
    """The graph as a Mermaid flowchart, left to right, one box per group."""
    lines = ["flowchart LR"]
    groups: dict[str, list[GraphNode]] = {}
    for node in view.nodes:
        groups.setdefault(node.group, []).append(node)
    for number, (group, nodes) in enumerate(groups.items()):
        if group:
            lines.append(f'  subgraph g{number}["{_quoted(group)}"]')
        lines += [f"    {_box(node)}" for node in nodes]
        if group:
            lines.append("  end")
    lines += dict.fromkeys(f"  {_id(edge.source)} --> {_id(edge.target)}" for edge in view.edges)
    return "\n".join(lines) + "\n"


def _box(node: GraphNode) -> str:
    text = _quoted(node.key) + (f"<br/><small>{_quoted(node.partitions)}</small>" if node.partitions else "")
    left, right = {"external": ("[(", ")]"), "sql": ("[/", "/]")}.get(node.kind, ("[", "]"))
    return f'{_id(node.key)}{left}"{text}"{right}'


def _id(key: str) -> str:
    return key.replace(".", "__")


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
