"""Write down the outcomes of a tranche and open the next one."""

from __future__ import annotations

from tidemill.errors import NotFound
from tidemill.execution.planning import read_plan, retry_policies
from tidemill.execution.runs import TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import RecordTranche, RecordTrancheReply
from tidemill.model.keys import run_id
from tidemill.plan.tranche import slice_plan


def record_tranche(runtime: Runtime, command: RecordTranche) -> RecordTrancheReply:
    """Asked again, it changes nothing and answers the same."""
    run = run_id(command.run_id)
    record = runtime.runs.plan(run)
    if record is None:
        raise NotFound(f"Run `{run}` has no plan on record.", hint="Its records were deleted while it was under way; start it again.")
    runtime.runs.record_tranche(run, command.number, TrancheRecord(outcomes=command.outcomes))
    cancel_requested = runtime.runs.cancel(run) is not None
    plan = read_plan(runtime, record.plan)
    if cancel_requested or command.next_position >= len(plan.units):
        return RecordTrancheReply(following=None, cancel_requested=cancel_requested)
    following = slice_plan(
        plan, retry_policies(runtime, plan), number=command.number + 1, start=command.next_position, outcomes=runtime.runs.outcomes(run)
    )
    return RecordTrancheReply(following=following, cancel_requested=False)
