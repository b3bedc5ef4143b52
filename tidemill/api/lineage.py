"""Asking where versions come from, and for a run as OpenLineage events."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.assets import find_asset
from tidemill.api.errors import InvalidQuery, NotMaterialized
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import KeyText
from tidemill.api.route import Call, Nothing
from tidemill.definitions.assets import AssetDefinition
from tidemill.errors import UnknownPartition
from tidemill.execution.records import read_records
from tidemill.execution.run_history import run_history
from tidemill.lineage.openlineage import end_event, start_event, unit_events
from tidemill.lineage.values import Direction, RunEvents
from tidemill.lineage.versions import Walk
from tidemill.model.keys import PartitionKey, run_id
from tidemill.settings import DEFAULT_NAMESPACE


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

    namespace: Annotated[str, Meta(min_length=1, max_length=200)] = DEFAULT_NAMESPACE
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
    history = run_history(app.runtime, run_id(call.params["run_id"]), namespace=call.query.namespace)
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


def _position(cursor: str, count: int) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal() or not 0 < int(cursor) < count:
        raise InvalidQuery(f"`{cursor}` is no cursor of this list.", hint="Pass `next_cursor` of the page before, or none to begin.")
    return int(cursor)
