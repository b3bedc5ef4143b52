"""Write down the outcomes of a tranche, publish what need not wait for the end of the run, and open the next one."""

from __future__ import annotations

from tidemill.errors import NotFound
from tidemill.execution.publishing import publish_tranche
from tidemill.execution.run_plans import open_tranche
from tidemill.execution.runs import TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import RecordTranche, RecordTrancheReply
from tidemill.model.keys import run_id


def record_tranche(runtime: Runtime, command: RecordTranche) -> RecordTrancheReply:
    """Asked again, it changes nothing and answers the same."""
    run = run_id(command.run_id)
    record = runtime.runs.plan(run)
    if record is None:
        raise NotFound(f"Run `{run}` has no plan on record.", hint="Its records were deleted while it was under way; start it again.")
    runtime.runs.record_tranche(run, command.number, TrancheRecord(outcomes=command.outcomes, recorded_at=runtime.now()))
    cancel_requested = runtime.runs.cancel(run) is not None
    # Also of a run that is cancelled: its fence keeps everything new out, and what was published before it is put on record.
    published = publish_tranche(runtime, run, record.plan, command.number)
    runtime.listener.recorded(run, command.number)
    refused = published is not None and published.error is not None
    if cancel_requested or refused or command.number + 1 >= len(runtime.plans.head(record.plan).starts):
        return RecordTrancheReply(following=None, cancel_requested=cancel_requested)
    return RecordTrancheReply(following=open_tranche(runtime, run, record.plan, command.number + 1), cancel_requested=False)
