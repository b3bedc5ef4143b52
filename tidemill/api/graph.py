"""The asset graph: as JSON, as a picture, as a table, or explained."""

from __future__ import annotations

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.assets import read_records
from tidemill.api.drawing import to_dot, to_mermaid
from tidemill.api.errors import InvalidQuery
from tidemill.api.graph_explain import Held, explain
from tidemill.api.graph_tables import assets_table, units_table
from tidemill.api.http import JSON, ApiResponse, json_response
from tidemill.api.negotiation import negotiate
from tidemill.api.payloads import GraphEdge, GraphNode, GraphView
from tidemill.api.route import Call, Nothing
from tidemill.api.wording import mapping_in_words
from tidemill.catalog.catalog import CatalogView
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Materialization
from tidemill.model.keys import AssetKey
from tidemill.storage.formats import parquet

MERMAID = "text/vnd.mermaid"
DOT = "text/vnd.graphviz"
TEXT = "text/plain"
FORMATS = {"json": JSON, "mermaid": MERMAID, "dot": DOT, "parquet": parquet.MEDIA_TYPE, "explain": TEXT}
_DRAWN = {MERMAID: to_mermaid, DOT: to_dot}


class GraphQuery(AsOf, frozen=True, kw_only=True):
    """How to show it. The time and branch say which versions the formats show that show versions: `explain`, and `parquet` with `units`."""

    format: str = ""
    """`json`, `mermaid`, `dot`, `parquet` or `explain`; without it, what `Accept` says."""
    units: bool = False
    """As Parquet: a row for each unit instead of each asset."""


def get_graph(app: ApiApp, call: Call[GraphQuery, Nothing]) -> ApiResponse:
    """Which asset reads which."""
    query, graph = call.query, app.graph
    media_type = negotiate(call.request.headers.get("accept", ""), query.format, FORMATS)
    if query.units and media_type != parquet.MEDIA_TYPE:
        raise InvalidQuery("Units are shown as Parquet only.", hint="Add `format=parquet`.")
    if media_type in _DRAWN:
        return _reply(_DRAWN[media_type](describe_graph(graph)).encode(), media_type)
    if media_type == TEXT:
        return _reply(explain(graph, _held(app, view_at(app, query))).encode(), f"{TEXT}; charset=utf-8")
    if media_type == parquet.MEDIA_TYPE:
        table = units_table(graph, view_at(app, query), app.runtime.now()) if query.units else assets_table(graph)
        name = "units" if query.units else "assets"
        # One file, however large: callers of this route get one body.
        data = parquet.write(table, file_bytes=max(1, table.nbytes * 2))[0].data
        return _reply(data, media_type, {"Content-Disposition": f'attachment; filename="{name}.parquet"'})
    return json_response(describe_graph(graph))


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


def _held(app: ApiApp, view: CatalogView) -> dict[AssetKey, Held]:
    """What every asset holds. Reads one record for each of them."""
    graph, now = app.graph, app.runtime.now()
    entries = {key: view.entries(key) for key in graph.order}
    last = {key: next(reversed(list(found.items()))) for key, found in entries.items() if found}
    records = read_records(app.runtime.catalog, [entry for _, entry in last.values()])
    held: dict[AssetKey, Held] = {}
    for key in graph.order:
        partition, entry = last.get(key, ("", None))
        record = records[entry.record] if entry else None
        held[key] = Held(
            units=len(entries[key]),
            of_units=len(graph.partitions(key, now)),
            partition=partition,
            data_version=entry.data_version if entry else "",
            row_count=record.row_count if isinstance(record, Materialization) else None,
        )
    return held


def _reply(body: bytes, media_type: str, headers: dict[str, str] | None = None) -> ApiResponse:
    return ApiResponse(status=200, body=body, media_type=media_type, headers={"Cache-Control": "no-store", **(headers or {})})
