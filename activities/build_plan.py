"""Observe the sources, plan against the catalog, store the plan, open its first tranche."""

from __future__ import annotations

from tidemill.execution.finish import refuse_run
from tidemill.execution.run_plans import REFUSED, open_tranche, plan_run
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import BuildPlan, BuildPlanReply, PlanReady, PlanRefused
from tidemill.model.keys import run_id
from tidemill.model.outcomes import ErrorInfo


def build_plan(runtime: Runtime, command: BuildPlan) -> BuildPlanReply:
    """Asked again, it answers with the plan that was stored first. A request that cannot be planned ends the run with the reason."""
    run = run_id(command.run_id)
    try:
        record = plan_run(runtime, run)
    except REFUSED as error:
        reason = ErrorInfo(code=error.code, message=error.message, hint=error.hint, retryable=False)
        refuse_run(runtime, run, reason)
        return BuildPlanReply(result=PlanRefused(error=reason))
    tranche = open_tranche(runtime, run, record.plan, 0)
    return BuildPlanReply(result=PlanReady(plan=record.plan, tranche=tranche, counts=runtime.plans.head(record.plan).by_action()))
