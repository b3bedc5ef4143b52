"""The asset graph, as JSON or as a picture."""

from __future__ import annotations

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.drawing import to_dot, to_mermaid
from tidemill.api.http import JSON, ApiResponse, json_response
from tidemill.api.negotiation import negotiate
from tidemill.api.payloads import GraphEdge, GraphNode, GraphView
from tidemill.api.route import Call, Nothing
from tidemill.api.wording import mapping_in_words
from tidemill.graph.asset_graph import AssetGraph

MERMAID = "text/vnd.mermaid"
DOT = "text/vnd.graphviz"
FORMATS = {"json": JSON, "mermaid": MERMAID, "dot": DOT}
_DRAWN = {MERMAID: to_mermaid, DOT: to_dot}


class GraphQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to draw it."""

    format: str = ""
    """`json`, `mermaid` or `dot`; without it, what `Accept` says."""


def get_graph(app: ApiApp, call: Call[GraphQuery, Nothing]) -> ApiResponse:
    """Which asset reads which."""
    media_type = negotiate(call.request.headers.get("accept", ""), call.query.format, FORMATS)
    view = describe_graph(app.graph)
    if media_type in _DRAWN:
        body = _DRAWN[media_type](view).encode()
        return ApiResponse(status=200, body=body, media_type=media_type, headers={"Cache-Control": "no-store"})
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
