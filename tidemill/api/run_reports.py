"""Asking about runs."""

from __future__ import annotations

import asyncio

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import Limit, RunList, RunView
from tidemill.api.plan_summary import planned_units
from tidemill.api.route import Call, Nothing
from tidemill.api.run_facts import RunFacts, gather_facts
from tidemill.api.run_views import summary, view
from tidemill.api.runs import RETRY_AFTER_SECONDS, start_if_missing
from tidemill.errors import NotFound
from tidemill.model.keys import RunId, run_id


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list."""

    limit: Limit = 20
    """How many at most."""
    cursor: str = ""
    """`next_cursor` of the page before."""


async def list_runs(app: ApiApp, call: Call[RunsQuery, Nothing]) -> ApiResponse:
    """The newest runs, or those after the cursor."""
    cursor = run_id(call.query.cursor) if call.query.cursor else ""
    ids = await asyncio.to_thread(app.runtime.runs.recent, call.query.limit + 1, cursor)
    page = ids[: call.query.limit]
    found = await asyncio.gather(*(_known(app, each) for each in page))
    runs = tuple(summary(facts, call.request) for facts in found if facts is not None)
    return json_response(RunList(runs=runs, next_cursor=page[-1] if len(ids) > len(page) else None))


async def get_run(app: ApiApp, call: Call[Nothing, Nothing]) -> ApiResponse:
    """Everything about one run; starts it if the engine has lost it, or never got it."""
    run = run_id(call.params["run_id"])
    facts = await start_if_missing(app, await gather_facts(app, run))
    reply = await asyncio.to_thread(_view, app, facts, call)
    if facts.status.is_final:
        return json_response(reply)
    return json_response(reply, status=202, headers={"Location": reply.statusQueryGetUri, "Retry-After": str(RETRY_AFTER_SECONDS)})


def _view(app: ApiApp, facts: RunFacts, call: Call[Nothing, Nothing]) -> RunView:
    planned = planned_units(app.runtime.plans.head(facts.plan.plan)) if facts.plan else ()
    return view(app.runtime, facts, planned, call.request)


async def _known(app: ApiApp, run: RunId) -> RunFacts | None:
    """The facts of a run; None if it was removed since it was listed."""
    try:
        return await gather_facts(app, run)
    except NotFound:
        return None
