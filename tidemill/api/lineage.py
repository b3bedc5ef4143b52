"""Asking where versions and columns come from, and for a run as OpenLineage events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.assets import find_asset
from tidemill.api.errors import InvalidQuery, NotMaterialized
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import KeyText
from tidemill.api.redact import redact
from tidemill.api.route import Call, Nothing
from tidemill.catalog.catalog import CatalogView
from tidemill.definitions.assets import AssetDefinition
from tidemill.errors import MissingExtra, UnknownPartition
from tidemill.execution.planning import read_plan
from tidemill.execution.records import read_records
from tidemill.execution.runtime import Runtime
from tidemill.graph.asset_graph import AssetGraph
from tidemill.lineage.columns import column_lineage
from tidemill.lineage.openlineage import NAMESPACE, RunHistory, end_event, start_event, unit_events
from tidemill.lineage.values import ColumnLineage, Direction, RunEvents
from tidemill.lineage.versions import Walk
from tidemill.model.facts import Materialization, Record
from tidemill.model.keys import AssetKey, PartitionKey, run_id
from tidemill.model.outcomes import ErrorInfo, Failed, UnitOutcome
from tidemill.model.runs import RunResult


class LineageQuery(AsOf, frozen=True, kw_only=True):
    """Where to start, and how far to go."""

    asset: KeyText
    """The asset."""
    partition: KeyText = ""
    """One partition of it; without it, every partition that holds something."""
    direction: Literal["upstream", "downstream"] = "upstream"
    """`upstream` (what it was made from) or `downstream` (what was made from it)."""
    depth: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """Steps to go; without it, to the end."""


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events."""

    namespace: Annotated[str, Meta(min_length=1, max_length=200)] = NAMESPACE
    """Namespace of the jobs and datasets."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    """Units whose events one page holds, at most."""
    cursor: Annotated[str, Meta(max_length=20)] = ""
    """`next_cursor` of the page before."""


def get_lineage(app: ApiApp, call: Call[LineageQuery, Nothing]) -> ApiResponse:
    """Which versions a unit was made from, or which were made from it."""
    query, now = call.query, app.runtime.now()
    definition = find_asset(app.graph, query.asset)
    partition = _partition(definition, query.partition)
    walk = Walk(app.graph, view_at(app, query), partial(read_records, app.runtime.catalog), now)
    if not walk.start(definition.key, partition):
        unit = f"{definition.key}@{partition}" if partition else definition.key
        if partition and definition.partitions and not definition.partitions.contains(partition, now):
            raise UnknownPartition(definition.key, partition, definition.partitions.keys(now))
        raise NotMaterialized(
            f"`{unit}` has not been materialized yet, so it was made from nothing.", hint=f"Run `tidemill run {definition.key}`."
        )
    return json_response(walk.follow(definition.key, partition, Direction(query.direction), query.depth))


def get_column_lineage(app: ApiApp, call: Call[AsOf, Nothing]) -> ApiResponse:
    """Where the columns of an asset come from."""
    definition = find_asset(app.graph, call.params["asset"])
    columns = _columns(app.runtime, view_at(app, call.query), definition)
    return json_response(column_lineage(definition, columns))


def get_run_events(app: ApiApp, call: Call[EventsQuery, Nothing]) -> ApiResponse:
    """A run as OpenLineage events, in order."""
    history = _history(app.runtime, app.graph, call.params["run_id"], call.query.namespace)
    started = list(history.started)
    start = _position(call.query.cursor, len(started))
    page = started[start : start + call.query.limit]
    goes_on = start + len(page) < len(started)
    events = [] if start else [start_event(history)]
    events += unit_events(history, page)
    last = None if goes_on else end_event(history)
    return json_response(
        RunEvents(
            run_id=history.request.run_id,
            events=tuple(events if last is None else [*events, last]),
            next_cursor=str(start + len(page)) if goes_on else None,
        )
    )


def _partition(definition: AssetDefinition, text: str) -> PartitionKey | None:
    if definition.partitions is None:
        if text:
            raise UnknownPartition(definition.key, text, ())
        return PartitionKey("")
    return PartitionKey(text) if text else None


def _columns(runtime: Runtime, view: CatalogView, definition: AssetDefinition) -> dict[str, list[str]]:
    """Columns by asset key, of an asset and of those that it reads, as their last partition has them; external ones have none on record."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys([definition.key, *(each.asset for each in definition.inputs.values())]):
        entries = list(view.entries(key).values())
        record = runtime.catalog.record(entries[-1].record) if entries else None
        if isinstance(record, Materialization):
            found[key] = [each.name for each in record.columns]
    return found


def _history(runtime: Runtime, graph: AssetGraph, text: str, namespace: str) -> RunHistory:
    run = run_id(text)
    request, result, planned = runtime.runs.request(run), runtime.runs.result(run), runtime.runs.plan(run)
    return RunHistory(
        request=request,
        result=result and _safe_result(result),
        plan=read_plan(runtime, planned.plan) if planned else None,
        started_at=planned.started_at if planned else request.requested_at,
        outcomes={at: _safe(each) for at, each in runtime.runs.outcomes(run).items()},
        records=partial(read_records, runtime.catalog),
        columns=_column_finder(graph, partial(read_records, runtime.catalog)),
        namespace=namespace,
    )


def _column_finder(
    graph: AssetGraph, read: Callable[[Iterable[str]], Mapping[str, Record]]
) -> Callable[[Materialization], ColumnLineage | None]:
    """Column lineage of versions that the deployed code made, each asset and its columns traced once."""
    known: dict[Any, ColumnLineage | None] = {}

    def find(record: Materialization) -> ColumnLineage | None:
        definition = graph.assets.get(AssetKey(record.asset))
        if definition is None or definition.sql is None or definition.code_version != record.code_version:
            return None
        columns = {record.asset: tuple(each.name for each in record.columns)}
        for found in read({each.record for each in record.inputs}).values():
            if isinstance(found, Materialization):
                columns[found.asset] = tuple(each.name for each in found.columns)
        key = tuple(sorted(columns.items())), record.asset
        if key not in known:
            try:
                known[key] = column_lineage(definition, columns)
            except MissingExtra:
                known[key] = None  # the events are whole without it
        return known[key]

    return find


def _safe(outcome: UnitOutcome) -> UnitOutcome:
    return msgspec.structs.replace(outcome, error=_safe_error(outcome.error)) if isinstance(outcome, Failed) else outcome


def _safe_result(result: RunResult) -> RunResult:
    return msgspec.structs.replace(result, error=_safe_error(result.error)) if result.error else result


def _safe_error(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, message=redact(error.message), stack=redact(error.stack))


def _position(cursor: str, count: int) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal() or not 0 < int(cursor) < count:
        raise InvalidQuery(f"`{cursor}` is no cursor of this list.", hint="Pass `next_cursor` of the page before, or none to begin.")
    return int(cursor)
