"""Plans: made and put on record, shown, and found again by the start of their id."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import catalog_of
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.plan_payloads import NewPlan
from tidemill.api.plan_views import plan_view
from tidemill.api.route import Call, Nothing
from tidemill.execution.planning import make_plan
from tidemill.execution.saved import find_plan, save_plan
from tidemill.model.runs import RunRequest


class PlanQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which units to show."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """How many at most."""
    cursor: Annotated[str, Meta(pattern=r"^[0-9]{0,9}$")] = ""
    """`next_cursor` of the page before."""


def create_plan(app: ApiApp, call: Call[Nothing, NewPlan]) -> ApiResponse:
    """Plans a request and puts the plan on record; POST /api/runs with its id executes exactly that. Looks at the sources; runs nothing."""
    body, runtime = call.body, app.runtime
    catalog = catalog_of(app, body.branch)
    now = runtime.now()
    request = RunRequest(
        run_id="plan",
        selection=body.selection,
        partitions=body.partitions,
        parameters=body.parameters,
        rerun=body.rerun,
        branch=catalog.branch,
        requested_at=now,
    )
    plan = make_plan(runtime, request)
    saved = save_plan(runtime, plan, planned_at=now, author=body.author, reason=body.reason)
    view = plan_view(runtime, plan, saved, saved=True, limit=PlanQuery().limit)
    return json_response(view, status=201, headers={"Location": call.request.link("plans", saved.plan)})


def get_plan(app: ApiApp, call: Call[PlanQuery, Nothing]) -> ApiResponse:
    """A plan on record, by its id or the first digits of it."""
    saved = find_plan(app.runtime, call.params["plan"])
    plan = app.runtime.plans.read(saved.plan)
    first = int(call.query.cursor or "0")
    return json_response(plan_view(app.runtime, plan, saved, saved=True, first=first, limit=call.query.limit))
