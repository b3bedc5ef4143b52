"""Starting and cancelling runs. A run is on record before the engine hears of it, so nothing is lost between the two."""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.as_of import catalog_of
from tidemill.api.errors import IdempotencyConflict, InvalidBody, InvalidHeader, RunAlreadyFinal
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import Cancellation, NewRun, RunStarted
from tidemill.api.route import Call, Nothing
from tidemill.api.run_facts import RunFacts, gather_facts
from tidemill.errors import NotFound
from tidemill.execution.runs import CancelRecord, IdempotencyRecord, key_digest
from tidemill.execution.saved import find_plan, refuse_drifted, request_of
from tidemill.model.keys import RunId, new_run_id, run_id
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.model.versions import canonical, digest
from tidemill.plan.build import check_request, refuse_blocked

RETRY_AFTER_SECONDS = 1
"""How soon to ask again about a run that goes on."""

_HOW_IT_ENDED = {RunStatus.SUCCEEDED: "succeeded", RunStatus.FAILED: "failed", RunStatus.CANCELED: "was canceled"}
_KEY_MAX = 200


async def start_run(app: ApiApp, call: Call[Nothing, NewRun]) -> ApiResponse:
    """Checks a request, puts it on record and starts it. With an idempotency key, the same request gives the same run, however often it is sent."""
    key = _idempotency_key(call)
    request = await asyncio.to_thread(_record, app, call.body, key)
    run = run_id(request.run_id)
    facts = await start_if_missing(app, await gather_facts(app, run))
    link = call.request.link("runs", run)
    started = RunStarted(
        run_id=run, status=facts.status.value, statusQueryGetUri=link, cancelPostUri=call.request.link("runs", run, "cancel")
    )
    return json_response(started, status=202, headers={"Location": link, "Retry-After": str(RETRY_AFTER_SECONDS)})


async def cancel_run(app: ApiApp, call: Call[Nothing, Cancellation]) -> ApiResponse:
    """Makes sure that nothing of a run is published any more, and has it wind down. Idempotent."""
    run = run_id(call.params["run_id"])
    facts = await gather_facts(app, run)
    if facts.status.is_final and facts.status is not RunStatus.CANCELED:
        raise RunAlreadyFinal(run, _HOW_IT_ENDED[facts.status])
    if facts.cancel is None:
        await asyncio.to_thread(_stop, app, facts, call.body)
    if not facts.status.is_final:
        await start_if_missing(app, facts)
        await app.engine.wake(run)
    link = call.request.link("runs", run)
    reply = RunStarted(
        run_id=run, status=facts.status.value, statusQueryGetUri=link, cancelPostUri=call.request.link("runs", run, "cancel")
    )
    return json_response(reply, status=202, headers={"Location": link, "Retry-After": str(RETRY_AFTER_SECONDS)})


async def start_if_missing(app: ApiApp, facts: RunFacts) -> RunFacts:
    """Hands a run that is on record to an engine that has never heard of it: the process died between the two, or the task hub was lost."""
    if facts.result is None and facts.engine is None:
        await app.engine.start(run_id(facts.request.run_id))
    return facts


def _idempotency_key(call: Call[Nothing, NewRun]) -> str:
    header, field = call.request.headers.get("idempotency-key", "").strip(), call.body.idempotency_key
    if header and field and header != field:
        raise InvalidHeader("The header `Idempotency-Key` and the field `idempotency_key` differ.", hint="Send one of them.")
    if len(header) > _KEY_MAX:
        raise InvalidHeader(f"The idempotency key has {len(header)} characters; at most {_KEY_MAX} are accepted.", hint="A UUID does well.")
    return header or field


def _record(app: ApiApp, body: NewRun, key: str) -> RunRequest:
    """The request on record for what was asked: a new one, or the one that the idempotency key belongs to."""
    runtime = app.runtime
    question = digest(canonical(msgspec.structs.replace(body, idempotency_key="")))
    claim = runtime.runs.claimed(key) if key else None
    if claim is None:
        now = runtime.now()
        request = _request(app, body, now)
        if request.plan:
            refuse_blocked(refuse_drifted(runtime, find_plan(runtime, request.plan)))
        else:
            catalog_of(app, request.branch)  # refused now if there is none
            check_request(app.graph, request)
        if not key:
            return _record_as_new(app, request)
        claim = runtime.runs.claim_key(key, IdempotencyRecord(run_id=request.run_id, request=question))
    if claim.request != question:
        raise IdempotencyConflict(claim.run_id)
    return runtime.runs.create(
        msgspec.structs.replace(_request(app, body, runtime.now()), run_id=claim.run_id, idempotency=key_digest(key))
    )


def _record_as_new(app: ApiApp, request: RunRequest) -> RunRequest:
    """Puts a request on record under an id that nobody has: five random hex digits almost never meet in a quarter of a millisecond."""
    while app.runtime.runs.create(request) != request:
        request = msgspec.structs.replace(request, run_id=_new_id(app, request.requested_at))
    return request


def _request(app: ApiApp, body: NewRun, now: datetime) -> RunRequest:
    if bool(body.plan) == bool(body.selection):
        raise InvalidBody(
            ["A run takes either a `selection` or a `plan`."],
            hint="Name what to run, or the saved plan that says it; not both, and not neither.",
        )
    if body.plan:
        if body != NewRun(plan=body.plan, reason=body.reason, author=body.author, idempotency_key=body.idempotency_key):
            raise InvalidBody(
                ["With a `plan`, only `author`, `reason` and `idempotency_key` can be given."],
                hint="The plan says everything else; make another one.",
            )
        saved = find_plan(app.runtime, body.plan)
        return request_of(app.runtime, saved, run=_new_id(app, now), author=body.author, reason=body.reason, now=now)
    return RunRequest(
        run_id=_new_id(app, now),
        selection=body.selection,
        partitions=body.partitions,
        parameters=body.parameters,
        rerun=body.rerun,
        branch=body.branch or app.runtime.branch,
        author=body.author,
        reason=body.reason,
        requested_at=now,
    )


def _new_id(app: ApiApp, now: datetime) -> RunId:
    return new_run_id(now, app.token())


def _stop(app: ApiApp, facts: RunFacts, body: Cancellation) -> None:
    """Fences the run, then puts the wish on record.

    In this order, because a run that sees the wish ends as cancelled: it must not do so if it had made its last commit before the fence.

    Raises:
        RunAlreadyFinal: it had.
    """
    runtime, now = app.runtime, app.runtime.now()
    run = run_id(facts.request.run_id)
    catalog = runtime.catalog_on(facts.request.branch)
    try:
        fence = catalog.fence(run, author=body.author, reason=body.reason, at=now)
    except NotFound:
        fence = None  # its branch was deleted: there is nothing left to publish on
    if fence is not None and facts.plan is not None:
        base = runtime.plans.head(facts.plan.plan).base
        for number in range(base + 1, fence.number):
            place = catalog.position(number)
            if place.snapshot is not None and (place.snapshot.run_id, place.snapshot.kind, place.part) == (run, "commit", ""):
                raise RunAlreadyFinal(run, _HOW_IT_ENDED[RunStatus.SUCCEEDED])
    runtime.runs.request_cancel(run, CancelRecord(author=body.author, reason=body.reason, requested_at=now))
