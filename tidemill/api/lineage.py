"""Asking where versions come from, and for a run as OpenLineage events."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.assets import find_asset
from tidemill.api.columns import declared_columns, held_of, measurement_of
from tidemill.api.errors import InvalidQuery, NotMaterialized
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import KeyText
from tidemill.api.redact import redact
from tidemill.api.route import Call, Nothing
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
from tidemill.model.facts import Entry, Materialization
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey, run_id
from tidemill.model.outcomes import ErrorInfo, Failed, UnitOutcome
from tidemill.model.runs import RunRequest, RunResult, RunStatus


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
        columns=_column_finder(runtime, graph),
        definition=partial(_deployed, graph),
        is_published=_published(runtime, request, result),
        namespace=namespace,
    )


def _deployed(graph: AssetGraph, asset: str, code_version: str) -> AssetDefinition | None:
    """The asset as deployed, if its code is of that version."""
    definition = graph.assets.get(AssetKey(asset))
    return definition if definition is not None and definition.code_version == code_version else None


def _published(runtime: Runtime, request: RunRequest, result: RunResult | None) -> Callable[[UnitKey, Entry], bool]:
    """Whether the run published a version: all of them if it succeeded; else those that one of its commits holds, of groups published more often."""
    if result is None or result.commit == 0 or result.status is RunStatus.SUCCEEDED:
        return lambda _unit, _entry: result is not None and result.status is RunStatus.SUCCEEDED
    catalog = runtime.catalog if request.branch == runtime.branch else runtime.catalog.on(request.branch)
    view = catalog.view(result.commit)
    return lambda unit, entry: (held := view.entry(unit)) is not None and held.record == entry.record


def _column_finder(runtime: Runtime, graph: AssetGraph) -> Callable[[Materialization], ColumnLineage | None]:
    """Column lineage of versions that the deployed code made, each asset and its columns traced once."""
    known: dict[Any, ColumnLineage | None] = {}

    def find(record: Materialization) -> ColumnLineage | None:
        definition = _deployed(graph, record.asset, record.code_version)
        if definition is None:
            return None
        held = held_of(runtime, record)
        columns = {key: tuple(names) for key, names in declared_columns(graph, definition).items()}
        columns |= {
            definition.inputs[name].asset: tuple(each.name for each in made)
            for name, made in held.inputs.items()
            if name in definition.inputs
        }
        columns[record.asset] = tuple(each.name for each in record.columns)
        key = record.asset, tuple(sorted(columns.items()))
        if key not in known:
            try:
                known[key] = column_lineage(definition, columns, measurement_of(runtime, definition, held))
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
