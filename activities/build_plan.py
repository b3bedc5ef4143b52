"""Observe the sources, plan against the catalog, store the plan, open its first tranche."""

from __future__ import annotations

from tidemill.errors import DefinitionError, InvalidKey, PlanError
from tidemill.execution.finish import refuse_run
from tidemill.execution.planning import plan_run, retry_policies
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import BuildPlan, BuildPlanReply, PlanReady, PlanRefused
from tidemill.model.keys import run_id
from tidemill.model.outcomes import ErrorInfo
from tidemill.plan.tranche import slice_plan


def build_plan(runtime: Runtime, command: BuildPlan) -> BuildPlanReply:
    """Asked again, it answers with the plan that was stored first. A request that cannot be planned ends the run with the reason."""
    run = run_id(command.run_id)
    try:
        record, plan = plan_run(runtime, run)
    except (PlanError, DefinitionError, InvalidKey) as error:
        reason = ErrorInfo(code=error.code, message=error.message, hint=error.hint, retryable=False)
        refuse_run(runtime, run, reason)
        return BuildPlanReply(result=PlanRefused(error=reason))
    tranche = slice_plan(plan, retry_policies(runtime, plan), number=0, start=0, outcomes={})
    return BuildPlanReply(result=PlanReady(plan=record.plan, tranche=tranche, counts=plan.counts()))
