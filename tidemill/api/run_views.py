"""Views of a run: what the API says of the facts on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidemill.api.http import ApiRequest
from tidemill.api.payloads import AssetProgress, CancelRequested, RunOutput, RunSummary, RunView, UnitCounts
from tidemill.api.plan_summary import PlannedUnits
from tidemill.api.run_facts import RunFacts
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import run_id
from tidemill.model.outcomes import ErrorInfo, Failed
from tidemill.model.runs import AssetResult, RunStatus, UnitFailure
from tidemill.plan.counts import FIELDS
from tidemill.redact import redact

FAILURES_SHOWN = 100

_NUMBERS = ("total", "succeeded", "found", "unchanged", "reused", "up_to_date", "failed", "skipped", "canceled", "pending")


def summary(facts: RunFacts, request: ApiRequest) -> RunSummary:
    """One line of the list of runs."""
    asked, result = facts.request, facts.result
    return RunSummary(
        run_id=asked.run_id,
        status=facts.status.value,
        selection=asked.selection,
        partitions=asked.partitions,
        branch=asked.branch,
        author=asked.author,
        reason=asked.reason,
        requested_at=asked.requested_at,
        started_at=result.started_at if result else facts.plan.started_at if facts.plan else None,
        finished_at=result.finished_at if result else None,
        commit=result.commit if result else 0,
        changed=result.changed if result else 0,
        statusQueryGetUri=request.link("runs", asked.run_id),
    )


def view(runtime: Runtime, facts: RunFacts, totals: Sequence[PlannedUnits], request: ApiRequest) -> RunView:
    """Everything about one run. Reads the store only for the failures of a run that still goes on.

    Args:
        runtime: for these failures, and the time.
        facts: what is known.
        totals: of the run's plan; empty before it has one.
        request: whose origin the links take.
    """
    asked, result, status = facts.request, facts.result, facts.status
    started = result.started_at if result else facts.plan.started_at if facts.plan else None
    until = result.finished_at if result else runtime.now()
    if result is not None:
        assets, failures = tuple(_finished(each) for each in result.assets), result.failures
        units = _sum([each.units for each in assets])
    else:
        assets, units = _live(facts, totals)
        failures = _failures_so_far(runtime, facts) if units.failed or facts.error else ()
    return RunView(
        run_id=asked.run_id,
        status=status.value,
        phase="" if status.is_final else _phase(facts),
        selection=asked.selection,
        partitions=asked.partitions,
        parameters=asked.parameters,
        rerun=asked.rerun,
        branch=asked.branch,
        author=asked.author,
        reason=asked.reason,
        requested_at=asked.requested_at,
        started_at=started,
        finished_at=result.finished_at if result else None,
        duration_seconds=round((until - started).total_seconds(), 3) if started and (result or not status.is_final) else None,
        cancel=CancelRequested(author=facts.cancel.author, reason=facts.cancel.reason, requested_at=facts.cancel.requested_at)
        if facts.cancel
        else None,
        units=units,
        assets=assets,
        failures=tuple(msgspec.structs.replace(each, error=_safe(each.error)) for each in failures),
        error=_safe(facts.error) if facts.error else None,
        plan=result.plan if result else facts.plan.plan if facts.plan else "",
        commit=result.commit if result else 0,
        snapshot=result.snapshot if result else "",
        changed=result.changed if result else 0,
        commits=result.commits if result else (),
        commit_count=result.commit_count if result else 0,
        outputs=tuple(
            RunOutput(
                asset=each.asset,
                units=each.units.total,
                row_count=each.row_count,
                size_bytes=each.size_bytes,
                dataUri=request.link("assets", each.asset, "data") + (f"?branch={asked.branch}" if asked.branch != runtime.branch else ""),
            )
            for each in assets
        )
        if status is RunStatus.SUCCEEDED
        else (),
        statusQueryGetUri=request.link("runs", asked.run_id),
        cancelPostUri=request.link("runs", asked.run_id, "cancel"),
    )


def _finished(result: AssetResult) -> AssetProgress:
    done = UnitCounts(
        total=result.succeeded + result.unchanged + result.reused + result.up_to_date + result.failed + result.skipped + result.canceled,
        succeeded=result.succeeded,
        found=result.found,
        unchanged=result.unchanged,
        reused=result.reused,
        up_to_date=result.up_to_date,
        failed=result.failed,
        skipped=result.skipped,
        canceled=result.canceled,
    )
    return AssetProgress(asset=result.asset, units=done, row_count=result.row_count, size_bytes=result.size_bytes, seconds=result.seconds)


def _live(facts: RunFacts, totals: Sequence[PlannedUnits]) -> tuple[tuple[AssetProgress, ...], UnitCounts]:
    """Progress of a run without a result: the plan says how much there is, the engine's custom status how much is done."""
    shown = _shown(facts)
    if "*" in shown:  # too many assets for a custom status: only their sum is known
        sums = (sum(each.total for each in totals), sum(each.reused for each in totals), sum(each.up_to_date for each in totals))
        sum_total = PlannedUnits("*", *sums)
        return (), _counted(sum_total, shown["*"], canceled=facts.cancel is not None)
    assets = tuple(
        AssetProgress(asset=each.asset, units=_counted(each, shown.get(each.asset, ()), canceled=facts.cancel is not None))
        for each in totals
    )
    return assets, _sum([each.units for each in assets])


def _counted(planned: PlannedUnits, numbers: Sequence[int], *, canceled: bool) -> UnitCounts:
    done = dict(zip(FIELDS, numbers, strict=False))
    succeeded, unchanged, failed, other = (done.get(name, 0) for name in FIELDS[1:])
    return UnitCounts(
        total=planned.total,
        succeeded=succeeded,
        unchanged=unchanged,
        reused=planned.reused,
        up_to_date=planned.up_to_date,
        failed=failed,
        skipped=0 if canceled else other,
        canceled=other if canceled else 0,
        pending=max(0, planned.to_execute - succeeded - unchanged - failed - other),
    )


def _shown(facts: RunFacts) -> Mapping[str, Sequence[int]]:
    """The counts in the custom status; nothing if it has none that can be read, since it is only a picture and never the truth."""
    try:
        return msgspec.convert(_custom(facts).get("assets", {}), dict[str, list[int]])
    except msgspec.ValidationError:
        return {}


def _phase(facts: RunFacts) -> str:
    phase = _custom(facts).get("phase", "")
    return phase if isinstance(phase, str) else ""


def _custom(facts: RunFacts) -> Mapping[str, Any]:
    custom = facts.engine.custom_status if facts.engine else None
    return custom if isinstance(custom, dict) else {}


def _failures_so_far(runtime: Runtime, facts: RunFacts) -> tuple[UnitFailure, ...]:
    """The failures in the tranches recorded so far; the newest ones follow when their tranche is recorded."""
    if facts.plan is None:
        return ()
    outcomes = runtime.runs.outcomes(run_id(facts.request.run_id))
    failed = [outcome for _, outcome in sorted(outcomes.items()) if isinstance(outcome, Failed)][:FAILURES_SHOWN]
    if not failed:
        return ()
    keys = runtime.plans.keys(facts.plan.plan, (outcome.unit for outcome in failed))
    return tuple(
        UnitFailure(asset=keys[outcome.unit].asset, partition=keys[outcome.unit].partition, attempts=outcome.attempts, error=outcome.error)
        for outcome in failed
    )


def _safe(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, message=redact(error.message), hint=redact(error.hint), stack=redact(error.stack))


def _sum(counts: Sequence[UnitCounts]) -> UnitCounts:
    return UnitCounts(**{name: sum(getattr(each, name) for each in counts) for name in _NUMBERS})
