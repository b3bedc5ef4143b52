"""The end of a run: commit everything or nothing, and write down how it went."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.errors import CatalogConflict, RunFenced
from tidemill.execution.memory import give_back_memory
from tidemill.execution.planning import read_plan
from tidemill.execution.runs import CancelRecord, PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, RunId, UnitKey
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.model.runs import AssetResult, RunRequest, RunResult, RunStatus, UnitFailure
from tidemill.plan.plan import Action, Plan

FAILURES_SHOWN = 100
"""Failures written into the result; the rest stays in the tranche records."""


def finish_run(runtime: Runtime, run: RunId) -> RunResult:
    """Ends a run: commits its results if every unit has one, and records the result. Idempotent.

    Raises:
        StoreUnavailable: nobody knows whether the commit took place; call again, it will find out.
    """
    done = runtime.runs.result(run)
    if done is not None:
        return done
    request, record, canceled = runtime.runs.request(run), runtime.runs.plan(run), runtime.runs.cancel(run)
    assert record is not None, "a run is planned before it is finished"
    plan = read_plan(runtime, record.plan)
    outcomes = runtime.runs.outcomes(run)
    result = runtime.runs.finish(_result(runtime, request, record, plan, outcomes, canceled))
    runtime.tables.clear()
    give_back_memory()
    return result


def refuse_run(runtime: Runtime, run: RunId, error: ErrorInfo) -> RunResult:
    """Ends a run that could not be planned."""
    now = runtime.now()
    return runtime.runs.finish(RunResult(run_id=run, status=RunStatus.FAILED, started_at=now, finished_at=now, error=error))


def _result(
    runtime: Runtime,
    request: RunRequest,
    record: PlanRecord,
    plan: Plan,
    outcomes: Mapping[int, UnitOutcome],
    canceled: CancelRecord | None,
) -> RunResult:
    status, error = _verdict(plan, outcomes, canceled)
    commit, snapshot, changed = 0, "", 0
    if status is RunStatus.SUCCEEDED:
        try:
            committed = runtime.catalog.commit(
                _changes(plan, outcomes),
                base=plan.base,
                expected=_expected(plan, outcomes),
                run_id=request.run_id,
                author=request.author,
                reason=request.reason,
                at=runtime.now(),
            )
            commit, snapshot, changed = committed.number, committed.snapshot, committed.changed
        except RunFenced as fenced:
            status, error = RunStatus.CANCELED, ErrorInfo(code=fenced.code, message=fenced.message, hint=fenced.hint)
        except CatalogConflict as conflict:
            status, error = RunStatus.FAILED, ErrorInfo(code=conflict.code, message=conflict.message, hint=conflict.hint)
    return RunResult(
        run_id=request.run_id,
        status=status,
        started_at=record.started_at,
        finished_at=runtime.now(),
        plan=record.plan,
        assets=_by_asset(plan, outcomes),
        failures=_failures(plan, outcomes),
        error=error,
        commit=commit,
        snapshot=snapshot,
        changed=changed,
    )


def _verdict(plan: Plan, outcomes: Mapping[int, UnitOutcome], canceled: CancelRecord | None) -> tuple[RunStatus, ErrorInfo | None]:
    if canceled is not None:
        why = f": {canceled.reason}" if canceled.reason else ""
        by = f" by {canceled.author}" if canceled.author else ""
        return RunStatus.CANCELED, ErrorInfo(
            code="run-canceled",
            message=f"The run was cancelled{by}{why}. Nothing was published.",
            hint="Finished units are kept and will be reused when you run again.",
        )
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes.values())
    if failed:
        done = sum(isinstance(outcome, Succeeded) for outcome in outcomes.values())
        units = "1 unit" if failed == 1 else f"{failed} units"
        return RunStatus.FAILED, ErrorInfo(
            code="units-failed",
            message=f"{units} failed, so nothing was published: a run is published whole or not at all.",
            hint=f"Mend the cause and run again; the {done} finished units are kept and will be reused."
            if done
            else "Mend the cause and run again.",
        )
    missing = sum(unit.action is not Action.REUSE and position not in outcomes for position, unit in enumerate(plan.units))
    missing += sum(isinstance(outcome, Canceled) for outcome in outcomes.values())
    if missing:
        return RunStatus.FAILED, ErrorInfo(
            code="run-incomplete",
            message=f"The run was stopped with {missing} units to go, although nobody cancelled it. Nothing was published.",
            hint="Run again; finished units are reused.",
        )
    return RunStatus.SUCCEEDED, None


def _changes(plan: Plan, outcomes: Mapping[int, UnitOutcome]) -> dict[UnitKey, Entry | None]:
    changes: dict[UnitKey, Entry | None] = {
        UnitKey(AssetKey(seen.asset), PartitionKey(seen.partition)): Entry(record=seen.record, data_version=seen.data_version)
        for seen in plan.observations
    }
    for position, outcome in outcomes.items():
        if isinstance(outcome, Succeeded):
            changes[plan.key(position)] = outcome.entry
    return changes


def _expected(plan: Plan, outcomes: Mapping[int, UnitOutcome]) -> dict[UnitKey, Entry | None]:
    """What the catalog must still hold for the commit to stand: the entries that the run replaces."""
    return {plan.key(position): plan.units[position].current for position, outcome in outcomes.items() if isinstance(outcome, Succeeded)}


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
                total["reused" if unit.action is Action.REUSE else "canceled"] += 1
    return tuple(
        AssetResult(
            asset=asset.key,
            succeeded=int(total["succeeded"]),
            found=int(total["found"]),
            unchanged=int(total["unchanged"]),
            reused=int(total["reused"]),
            failed=int(total["failed"]),
            skipped=int(total["skipped"]),
            canceled=int(total["canceled"]),
            row_count=int(total["row_count"]),
            size_bytes=int(total["size_bytes"]),
            seconds=round(total["seconds"], 4),
        )
        for asset, total in zip(plan.assets, totals, strict=True)
    )


_NUMBERS = ("succeeded", "found", "unchanged", "reused", "failed", "skipped", "canceled", "row_count", "size_bytes", "seconds")
