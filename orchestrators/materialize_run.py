"""Walk one plan to its end: fan out over the units that are ready, fold each reply back in, commit once.

Shape of the durable work (architecture §5): a new wave is yielded together with a timer that is due at once, so that it never blocks what
comes after it; waiting is a second yield over tasks already sent. At most `WINDOW` activities are open, a tranche holds at most a hundred units,
and larger plans go on in a new generation of the same instance.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from orchestrators.context import DurableContext, DurableTask, DurableTimer, Steps, call
from tidemill.messages.codec import from_json, to_json, unseal
from tidemill.messages.registry import CANCEL_EVENT
from tidemill.messages.run import BuildPlan, CommitRun, MaterializeUnits, PlanReady, RecordTranche, RunInput
from tidemill.plan.counts import Counts
from tidemill.plan.progress import Batch, Retry, TrancheProgress
from tidemill.plan.tranche import Tranche

WINDOW = 40
"""Open activities at most: with one event each for sending and answering, an episode stays far below the 99 that commit atomically."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """An activity in flight."""

    task: DurableTask
    batch: Batch
    command: MaterializeUnits


@dataclass(frozen=True, slots=True)
class _Pause:
    """A retry waiting for its time."""

    timer: DurableTimer
    batch: Batch


def materialize_run(ctx: DurableContext) -> Steps[str]:
    """One run, from its request to its result. The input is a `RunInput`, the output the final run status."""
    state = from_json(ctx.get_input(), RunInput)
    counts = Counts.from_lists(state.counts)
    tranche = state.tranche
    if tranche is None:
        ctx.set_custom_status({"phase": "planning"})
        planned = (yield from call(ctx, BuildPlan(run_id=state.run_id))).result
        if not isinstance(planned, PlanReady):
            return "failed"
        tranche = planned.tranche
    progress = yield from _walk(ctx, state.run_id, tranche, counts)
    ctx.set_custom_status({"phase": "recording", "assets": counts.shown()})
    outcomes = tuple(progress.outcomes[position] for position in sorted(progress.outcomes))
    recorded = yield from call(
        ctx, RecordTranche(run_id=state.run_id, number=tranche.number, next_position=tranche.next_position, outcomes=outcomes)
    )
    if recorded.following is not None and not recorded.cancel_requested:
        ctx.continue_as_new(to_json(RunInput(run_id=state.run_id, tranche=recorded.following, counts=counts.to_lists())))
        return "continued"
    ctx.set_custom_status({"phase": "committing", "assets": counts.shown()})
    committed = yield from call(ctx, CommitRun(run_id=state.run_id))
    return committed.status


def _walk(ctx: DurableContext, run_id: str, tranche: Tranche, counts: Counts) -> Steps[TrancheProgress]:
    """Executes one tranche and returns it with all its outcomes."""
    progress = TrancheProgress(tranche)
    counts.expect(tranche)
    cancel = ctx.wait_for_external_event(CANCEL_EVENT)
    sent: list[_Sent] = []
    pauses: list[_Pause] = []
    due: list[Batch] = []
    armed = False
    while not progress.done:
        fresh: list[DurableTask] = []
        ready = due + progress.take(WINDOW - len(sent) - len(due))
        due = []
        for batch in ready:
            sent.append(_send(ctx, run_id, tranche, batch))
            fresh.append(sent[-1].task)
        if fresh and not armed:
            fresh.append(cancel)
            armed = True
        counts.fold(progress)
        ctx.set_custom_status({"phase": "running", "assets": counts.shown()})
        if fresh:
            yield ctx.task_any([*fresh, ctx.create_timer(ctx.current_utc_datetime)])
        yield ctx.task_any([*(each.task for each in sent), *(each.timer for each in pauses), cancel])
        retries: list[Retry] = []
        for flight in [each for each in sent if each.task.is_completed]:
            sent.remove(flight)
            retries += _fold(progress, flight)
        for pause in [each for each in pauses if each.timer.is_completed]:
            pauses.remove(pause)
            due.append(pause.batch)
        if cancel.is_completed:
            yield from _wind_down(progress, sent, pauses, [*due, *(each.batch for each in retries)])
            break
        if retries:
            # One second more, because the engine cuts a delay to whole seconds and so fires up to a second early.
            now = ctx.current_utc_datetime
            later = [_Pause(ctx.create_timer(now + retry.delay + timedelta(seconds=1)), retry.batch) for retry in retries]
            pauses += later
            yield ctx.task_any([*(each.timer for each in later), ctx.create_timer(now)])
    counts.fold(progress)
    return progress


def _wind_down(progress: TrancheProgress, sent: list[_Sent], pauses: list[_Pause], unsent: list[Batch]) -> Steps[None]:
    """The run is cancelled: start nothing more, and wait for what is open, since the instance cannot end before."""
    for pause in pauses:
        pause.timer.cancel()
    progress.cancel([*unsent, *(pause.batch for pause in pauses)])
    for flight in sent:
        if not flight.task.is_completed:
            with suppress(Exception):  # the SDK raises a bare Exception; how an abandoned activity ended is folded below
                yield flight.task
        retries = _fold(progress, flight)
        progress.cancel([retry.batch for retry in retries])


def _send(ctx: DurableContext, run_id: str, tranche: Tranche, batch: Batch) -> _Sent:
    command = MaterializeUnits.of(run_id, tranche, batch)
    return _Sent(ctx.call_activity(command.activity, to_json(command)), batch, command)


def _fold(progress: TrancheProgress, flight: _Sent) -> list[Retry]:
    result = flight.task.result
    if isinstance(result, Exception):
        return progress.interrupted(flight.batch, str(result))
    reply = unseal(flight.command, result)
    if reply is None:
        return progress.interrupted(flight.batch, "it answered for another task")
    return progress.fold(flight.batch, reply.outcomes)
