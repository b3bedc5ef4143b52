"""The end of a run: publish what waited for it, all or nothing, and write down how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tidemill.catalog.catalog import Committed
from tidemill.definitions.groups import Granularity
from tidemill.errors import RunFenced
from tidemill.execution.memory import give_back_memory
from tidemill.execution.planning import read_plan
from tidemill.execution.publishing import REFUSALS, observed, refusal, share
from tidemill.execution.runs import CancelRecord, PlanRecord, PublishedRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import RunId, run_id
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.model.runs import AssetResult, RunCommit, RunRequest, RunResult, RunStatus, UnitFailure
from tidemill.plan.plan import Action, Plan

FAILURES_SHOWN = 100
"""Failures written into the result; the rest stays in the tranche records."""

CANCELED = "run-canceled"
"""Code of the error with which a run ends whose wish to be cancelled is on record."""

COMMITS_SHOWN = 100
"""Commits written into the result; the rest stays in the log."""


def finish_run(runtime: Runtime, run: RunId) -> RunResult:
    """Ends a run: commits what has not been published yet, if every unit has a result, and records how it went. Idempotent.

    Raises:
        StoreUnavailable: nobody knows whether the commit took place; call again, it will find out.
    """
    done = runtime.runs.result(run)
    if done is not None:
        runtime.listener.ended(run)
        return done
    request, record, canceled = runtime.runs.request(run), runtime.runs.plan(run), runtime.runs.cancel(run)
    assert record is not None, "a run is planned before it is finished"
    plan = read_plan(runtime, record.plan)
    outcomes = runtime.runs.outcomes(run)
    result = runtime.runs.finish(_result(runtime, request, record, plan, outcomes, canceled))
    runtime.tables.clear()
    give_back_memory()
    runtime.listener.ended(run)
    return result


def refuse_run(runtime: Runtime, run: RunId, error: ErrorInfo) -> RunResult:
    """Ends a run that could not be planned."""
    now = runtime.now()
    result = runtime.runs.finish(RunResult(run_id=run, status=RunStatus.FAILED, started_at=now, finished_at=now, error=error))
    runtime.listener.started(run)
    runtime.listener.ended(run)
    return result


def _result(
    runtime: Runtime,
    request: RunRequest,
    record: PlanRecord,
    plan: Plan,
    outcomes: Mapping[int, UnitOutcome],
    canceled: CancelRecord | None,
) -> RunResult:
    published = runtime.runs.all_published(run_id(request.run_id))
    commits = [commit for each in published for commit in each.commits]
    status, error = _verdict(plan, outcomes, canceled, published, _stays(commits))
    place = Committed(commits[-1].number, commits[-1].snapshot, 0) if commits else Committed(0, "", 0)
    if status is RunStatus.SUCCEEDED:
        try:
            done = _publish_rest(runtime, request, plan, outcomes)
        except REFUSALS as refused:
            status = RunStatus.CANCELED if isinstance(refused, RunFenced) else RunStatus.FAILED
            error = _with(refusal(refused), _stays(commits))
        else:
            place = done if done.changed or not commits else place
            if done.changed:
                commits.append(RunCommit(number=done.number, snapshot=done.snapshot, changed=done.changed))
    return RunResult(
        run_id=request.run_id,
        status=status,
        started_at=record.started_at,
        finished_at=runtime.now(),
        plan=record.plan,
        assets=_by_asset(plan, outcomes),
        failures=_failures(plan, outcomes),
        error=error,
        commit=place.number,
        snapshot=place.snapshot,
        changed=sum(each.changed for each in commits),
        commits=tuple(commits[-COMMITS_SHOWN:]),
        commit_count=len(commits),
    )


def _publish_rest(runtime: Runtime, request: RunRequest, plan: Plan, outcomes: Mapping[int, UnitOutcome]) -> Committed:
    """Commits what was not published on the way."""
    early = any(unit.action.executes for unit in plan.units)  # without a tranche, nothing was
    rest = [(position, unit) for position, unit in enumerate(plan.units) if not early or plan.assets[unit.asset].commit == Granularity.RUN]
    changes, expected = share(plan.assets, rest, outcomes)
    return runtime.catalog_on(request.branch).commit(
        observed(plan.observations) | changes,
        base=plan.base,
        expected=expected,
        run_id=request.run_id,
        author=request.author,
        reason=request.reason,
        at=runtime.now(),
    )


def _stays(commits: Sequence[RunCommit]) -> str:
    """What a run that ends badly leaves published; empty if nothing."""
    if not commits:
        return ""
    units = sum(each.changed for each in commits)
    which = f"commit {commits[0].number}" if len(commits) == 1 else f"{len(commits)} commits, {commits[0].number} to {commits[-1].number},"
    return f"What had been published before stays: {which} with {'1 change' if units == 1 else f'{units} changes'}."


def _with(error: ErrorInfo, stays: str) -> ErrorInfo:
    return msgspec.structs.replace(error, message=f"{error.message} {stays}") if stays else error


def _verdict(
    plan: Plan,
    outcomes: Mapping[int, UnitOutcome],
    canceled: CancelRecord | None,
    published: Sequence[PublishedRecord],
    stays: str,
) -> tuple[RunStatus, ErrorInfo | None]:
    if canceled is not None:
        why = f": {canceled.reason}" if canceled.reason else ""
        by = f" by {canceled.author}" if canceled.author else ""
        return RunStatus.CANCELED, ErrorInfo(
            code=CANCELED,
            message=f"The run was cancelled{by}{why}. {stays or 'Nothing was published.'}",
            hint="Finished units are kept and will be reused when you run again.",
        )
    refused = next((each.error for each in published if each.error is not None), None)
    if refused is not None:
        return RunStatus.CANCELED if refused.code == RunFenced.code else RunStatus.FAILED, _with(refused, stays)
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes.values())
    if failed:
        done = sum(isinstance(outcome, Succeeded) for outcome in outcomes.values())
        units = "1 unit" if failed == 1 else f"{failed} units"
        return RunStatus.FAILED, ErrorInfo(
            code="units-failed",
            message=f"{units} failed, so the rest was not published. {stays}"
            if stays
            else f"{units} failed, so nothing was published: a run is published whole or not at all.",
            hint=f"Mend the cause and run again; the {done} finished units are kept and will be reused."
            if done
            else "Mend the cause and run again.",
        )
    missing = sum(unit.action.executes and position not in outcomes for position, unit in enumerate(plan.units))
    missing += sum(isinstance(outcome, Canceled) for outcome in outcomes.values())
    if missing:
        return RunStatus.FAILED, ErrorInfo(
            code="run-incomplete",
            message=f"The run was stopped with {missing} units to go, although nobody cancelled it. {stays or 'Nothing was published.'}",
            hint="Run again; finished units are reused.",
        )
    return RunStatus.SUCCEEDED, None


def _failures(plan: Plan, outcomes: Mapping[int, UnitOutcome]) -> tuple[UnitFailure, ...]:
    failed = [(position, outcome) for position, outcome in sorted(outcomes.items()) if isinstance(outcome, Failed)]
    return tuple(
        UnitFailure(asset=plan.key(position).asset, partition=plan.key(position).partition, attempts=outcome.attempts, error=outcome.error)
        for position, outcome in failed[:FAILURES_SHOWN]
    )


def _by_asset(plan: Plan, outcomes: Mapping[int, UnitOutcome]) -> tuple[AssetResult, ...]:
    totals: list[dict[str, float]] = [dict.fromkeys(_NUMBERS, 0) for _ in plan.assets]
    for position, unit in enumerate(plan.units):
        total = totals[unit.asset]
        match outcomes.get(position):
            case Succeeded() as done:
                total["succeeded"] += 1
                total["found"] += done.found
                total["row_count"] += done.row_count
                total["size_bytes"] += done.size_bytes
                total["seconds"] += done.seconds
            case Unchanged():
                total["unchanged"] += 1
            case Failed():
                total["failed"] += 1
            case Skipped():
                total["skipped"] += 1
            case Canceled():
                total["canceled"] += 1
            case None:
                total[_UNTOUCHED.get(unit.action, "canceled")] += 1
    return tuple(
        AssetResult(
            asset=asset.key,
            succeeded=int(total["succeeded"]),
            found=int(total["found"]),
            unchanged=int(total["unchanged"]),
            reused=int(total["reused"]),
            up_to_date=int(total["up_to_date"]),
            failed=int(total["failed"]),
            skipped=int(total["skipped"]),
            canceled=int(total["canceled"]),
            row_count=int(total["row_count"]),
            size_bytes=int(total["size_bytes"]),
            seconds=round(total["seconds"], 4),
        )
        for asset, total in zip(plan.assets, totals, strict=True)
    )


_UNTOUCHED = {Action.SKIP: "up_to_date", Action.REUSE: "reused"}
_NUMBERS = (
    "succeeded",
    "found",
    "unchanged",
    "reused",
    "up_to_date",
    "failed",
    "skipped",
    "canceled",
    "row_count",
    "size_bytes",
    "seconds",
)
