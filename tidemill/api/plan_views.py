"""Views of a plan: what the API and the command line say of it."""

from __future__ import annotations

from tidemill.api.plan_payloads import PlanView, UnitView
from tidemill.execution.explaining import exact_reasons
from tidemill.execution.recorded import recorded
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import SavedPlan
from tidemill.plan.plan import Plan
from tidemill.plan.predict import predict
from tidemill.redact import redact

EXPLAINED = 500
"""Units whose reason is told exactly; each costs a look at its record, so that of a big plan only the first are."""


def plan_view(runtime: Runtime, plan: Plan, record: SavedPlan, *, saved: bool, first: int = 0, limit: int | None = None) -> PlanView:
    """A plan with what it will take, and a page of its units.

    Args:
        runtime: for reasons and history.
        plan: the plan.
        record: its id, and who made it when.
        saved: whether that is on record.
        first: position of the first unit of the page.
        limit: units at most; None is all.
    """
    end = len(plan.units) if limit is None else min(len(plan.units), first + limit)
    reasons = exact_reasons(runtime, plan, limit=EXPLAINED)
    return PlanView(
        plan=record.plan,
        saved=saved,
        planned_at=record.planned_at,
        author=record.author,
        reason=record.reason,
        selection=plan.selection,
        partitions=plan.partitions,
        parameters=plan.parameters,
        rerun=plan.rerun,
        branch=plan.branch,
        base=plan.base,
        counts=plan.counts(),
        prediction=predict(plan, recorded(runtime.runs), runtime.prices),
        units=tuple(
            UnitView(
                asset=plan.assets[unit.asset].key,
                partition=unit.partition,
                action=unit.action.value,
                reason=redact(reasons.get(position, unit.reason)),
            )
            for position, unit in enumerate(plan.units[first:end], start=first)
        ),
        next_cursor=str(end) if end < len(plan.units) else None,
    )
