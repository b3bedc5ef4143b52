"""Why a unit holds what it holds, and why the next plan would or would not run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, catalog_of, number_at, view_at
from tidemill.api.assets import find_asset
from tidemill.api.catalog_payloads import RunOrigin, UnitReason, WhyNotView, WhyView
from tidemill.api.errors import NotMaterialized
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.route import Call, Nothing
from tidemill.definitions.assets import AssetDefinition
from tidemill.errors import NotFound, UnknownPartition
from tidemill.execution.explaining import Explained, why_not
from tidemill.execution.records import read_records
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import PartitionKey, UnitKey, partition_key, run_id
from tidemill.model.runs import RunRequest
from tidemill.plan.explain import chain
from tidemill.redact import redact


class WhyQuery(AsOf, frozen=True, kw_only=True):
    """Which version to explain."""

    partition: Annotated[str, Meta(max_length=200)] = ""
    """The partition; empty for an asset that is not partitioned."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    """How many versions of the chain at most."""


class WhyNotQuery(AsOf, frozen=True, kw_only=True):
    """Which unit to ask about."""

    partition: Annotated[str, Meta(max_length=200)] = ""
    """The partition; empty for an asset that is not partitioned."""


def get_why(app: ApiApp, call: Call[WhyQuery, Nothing]) -> ApiResponse:
    """The exact chain behind what a unit holds: this code, these parameters, these input versions, that run; recursively, to the sources."""
    query, runtime = call.query, app.runtime
    definition = find_asset(app.graph, call.params["asset"])
    unit = _unit(app, definition, query.partition)
    view = view_at(app, query)
    entry = view.entry(unit)
    if entry is None:
        raise NotMaterialized(
            f"`{unit}` holds nothing as of commit {view.number}.", hint=f"Run `tidemill run {unit.asset}` or POST /api/runs."
        )
    found = chain(entry.record, lambda hashes: read_records(runtime.catalog, hashes), limit=query.limit)
    return json_response(
        WhyView(
            asset=unit.asset,
            partition=unit.partition,
            commit=view.number,
            origins=found.origins,
            complete=found.complete,
            runs=_runs(runtime, {each.run_id for each in found.origins if each.run_id}),
        )
    )


def get_why_not(app: ApiApp, call: Call[WhyNotQuery, Nothing]) -> ApiResponse:
    """Why the next plan would or would not run a unit: what has changed since it was made, here and upstream. Looks at the sources; runs nothing."""
    query, runtime = call.query, app.runtime
    definition = find_asset(app.graph, call.params["asset"])
    unit = _unit(app, definition, query.partition)
    catalog = catalog_of(app, query.branch)
    at = number_at(catalog, query.as_of)
    request = RunRequest(run_id="why-not", selection=unit.asset, branch=catalog.branch, requested_at=runtime.now())
    found = why_not(runtime, unit, request, view=catalog.view(at))
    return json_response(
        WhyNotView(
            unit=_reason(found.unit),
            causes=tuple(_reason(each) for each in found.causes),
            made_by=found.made_by,
            base=found.plan.base,
        )
    )


def _unit(app: ApiApp, definition: AssetDefinition, partition: str) -> UnitKey:
    """The unit that is meant.

    Raises:
        InvalidKey: that is no partition key.
        UnknownPartition: the asset has no such partition.
    """
    unit, now = UnitKey(definition.key, partition_key(partition)), app.runtime.now()
    if not app.graph.has_unit(unit, now):
        known: Sequence[PartitionKey] = () if definition.partitions is None else app.graph.partitions(definition.key, now)
        raise UnknownPartition(unit.asset, unit.partition, known)
    return unit


def _runs(runtime: Runtime, wanted: Iterable[str]) -> tuple[RunOrigin, ...]:
    found = []
    for each in sorted(wanted, reverse=True):  # run ids begin with their time
        try:
            request = runtime.runs.request(run_id(each))
        except NotFound:
            continue
        result = runtime.runs.result(run_id(each))
        found.append(
            RunOrigin(
                run_id=each,
                author=request.author,
                reason=request.reason,
                requested_at=request.requested_at,
                started_at=result.started_at if result else None,
                finished_at=result.finished_at if result else None,
                commit=result.commit if result else 0,
            )
        )
    return tuple(found)


def _reason(explained: Explained) -> UnitReason:
    return UnitReason(
        asset=explained.unit.asset,
        partition=explained.unit.partition,
        action=explained.action.value,
        reason=redact(explained.reason),
        differences=tuple(
            msgspec.structs.replace(each, before=redact(each.before), after=redact(each.after)) for each in explained.differences
        ),
    )
