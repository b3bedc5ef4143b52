"""Activities over a store in memory: each answers the same when asked again, whatever happened in between."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from activities import ACTIVITIES
from activities.boundary import ActivityFailed
from tidemill import AssetContext, Definitions, MonthlyPartitions, asset, external_asset
from tidemill.errors import StoreUnavailable
from tidemill.execution.planning import make_plan
from tidemill.execution.runs import CancelRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import save_plan
from tidemill.messages.base import Command
from tidemill.messages.codec import to_json, unseal
from tidemill.messages.run import BuildPlan, CommitRun, MaterializeUnits, PlanReady, PlanRefused, RecordTranche
from tidemill.model.keys import RunId
from tidemill.model.outcomes import Succeeded
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.plan.progress import TrancheProgress
from tidemill.storage.base import Versioned
from tidemill.storage.memory import MemoryStore

RUN = RunId("run-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = MonthlyPartitions(start="2025-01", end="2025-03")


@external_asset(key="raw.n", partitions=MONTHS)
def raw_n(context: AssetContext) -> pa.Table:
    return pa.table({"n": [int(context.partition_key[-1])]})


@asset(key="bronze.n", partitions=MONTHS)
def bronze_n(raw_n: pa.Table) -> pa.Table:
    return raw_n


class Flaky(MemoryStore):
    """A store that can be switched off."""

    down = False

    def get(self, name: str) -> Versioned | None:
        if self.down:
            raise StoreUnavailable("The store did not answer.", hint="Is it running?")
        return super().get(name)


@pytest.fixture
def runtime() -> Runtime:
    clock = (NOW + timedelta(seconds=second) for second in itertools.count())
    runtime = Runtime(Flaky(), lambda: Definitions([raw_n, bronze_n]), project=Path("/project"), now=lambda: next(clock))
    runtime.runs.create(RunRequest(run_id=RUN, selection="*", requested_at=NOW))
    return runtime


def ask(runtime: Runtime, command: Command[Any]) -> Any:
    """One command through the boundary, as the app sends it."""
    reply = unseal(command, ACTIVITIES[command.activity].answer(runtime, to_json(command)))
    assert reply is not None
    return reply


def walk(runtime: Runtime) -> RecordTranche:
    """Plans, and materializes everything; returns the command that records it."""
    planned = ask(runtime, BuildPlan(run_id=RUN)).result
    assert isinstance(planned, PlanReady)
    progress = TrancheProgress(planned.tranche)
    while not progress.done:
        for batch in progress.take(10):
            progress.fold(batch, ask(runtime, MaterializeUnits.of(RUN, planned.tranche, batch)).outcomes)
    return RecordTranche(run_id=RUN, number=0, next_position=planned.tranche.next_position, outcomes=tuple(progress.outcomes.values()))


def test_planning_again_gives_the_plan_that_was_stored_first(runtime: Runtime) -> None:
    first = ask(runtime, BuildPlan(run_id=RUN))
    assert ask(runtime, BuildPlan(run_id=RUN)) == first
    assert first.result.counts == {"run": 2, "reuse": 0, "skip": 0, "wait": 0, "blocked": 0}


def test_a_request_that_cannot_be_planned_ends_the_run_with_the_reason(runtime: Runtime) -> None:
    runtime.runs.create(RunRequest(run_id="run-2", selection="bronze.m", requested_at=NOW))
    refused = ask(runtime, BuildPlan(run_id="run-2")).result
    assert isinstance(refused, PlanRefused)
    assert refused.error.code == "asset-not-found"
    result = runtime.runs.result(RunId("run-2"))
    assert result is not None
    assert (result.status, result.error) == (RunStatus.FAILED, refused.error)


def test_a_saved_plan_that_has_drifted_ends_the_run_with_the_reason_and_one_that_fits_is_executed(runtime: Runtime) -> None:
    plan = save_plan(runtime, make_plan(runtime, runtime.runs.request(RUN)), planned_at=NOW)
    for run in ("run-2", "run-3"):
        runtime.runs.create(RunRequest(run_id=run, selection="*", plan=plan.plan, requested_at=NOW))
    fits = ask(runtime, BuildPlan(run_id="run-2")).result
    assert (fits.plan, fits.counts["run"]) == (plan.plan, 2)
    ask(runtime, walk(runtime))
    assert ask(runtime, CommitRun(run_id=RUN)).status == "succeeded"
    assert ask(runtime, BuildPlan(run_id="run-2")).result == fits  # it was settled before
    refused = ask(runtime, BuildPlan(run_id="run-3")).result
    assert refused.error.code == "plan-drifted"
    assert f"run `{RUN}`" in refused.error.message


def test_materializing_again_finds_the_first_result(runtime: Runtime) -> None:
    planned = ask(runtime, BuildPlan(run_id=RUN)).result
    (batch, *_) = TrancheProgress(planned.tranche).take(1)
    command = MaterializeUnits.of(RUN, planned.tranche, batch)
    (first,) = ask(runtime, command).outcomes
    (again,) = ask(runtime, command).outcomes
    assert isinstance(first, Succeeded)
    assert isinstance(again, Succeeded)
    assert (first.entry, first.found, again.found) == (again.entry, False, True)


def test_recording_and_committing_again_change_nothing(runtime: Runtime) -> None:
    record = walk(runtime)
    assert ask(runtime, record) == ask(runtime, record)
    assert ask(runtime, CommitRun(run_id=RUN)).status == "succeeded"
    head, result = runtime.catalog.head(), runtime.runs.result(RUN)
    assert ask(runtime, CommitRun(run_id=RUN)).status == "succeeded"
    assert (runtime.catalog.head(), runtime.runs.result(RUN)) == (head, result)
    assert head.number == 1


def test_a_crash_between_the_commit_and_the_result_is_healed_by_asking_again(runtime: Runtime) -> None:
    ask(runtime, walk(runtime))
    ask(runtime, CommitRun(run_id=RUN))
    head = runtime.catalog.head()
    runtime.store.delete(f"runs/{RUN}/result")
    assert ask(runtime, CommitRun(run_id=RUN)).status == "succeeded"
    assert runtime.catalog.head() == head
    result = runtime.runs.result(RUN)
    assert result is not None
    assert result.commit == 1


def test_a_cancellation_before_the_commit_wins(runtime: Runtime) -> None:
    record = walk(runtime)
    runtime.runs.request_cancel(RUN, CancelRecord(author="ada", reason="", requested_at=NOW))
    reply = ask(runtime, record)
    assert (reply.following, reply.cancel_requested) == (None, True)
    assert ask(runtime, CommitRun(run_id=RUN)).status == "canceled"
    assert runtime.catalog.head().number == 0


def test_code_that_changed_under_a_run_is_refused_and_not_mixed_in(runtime: Runtime) -> None:
    planned = ask(runtime, BuildPlan(run_id=RUN)).result
    (batch, *_) = TrancheProgress(planned.tranche).take(1)

    @asset(key="bronze.n", partitions=MONTHS)
    def changed(raw_n: pa.Table) -> pa.Table:
        return raw_n.slice(0, 0)

    deployed = Runtime(runtime.store, lambda: Definitions([raw_n, changed]), project=Path("/project"))
    (outcome,) = ask(deployed, MaterializeUnits.of(RUN, planned.tranche, batch)).outcomes
    assert outcome.error.code == "code-changed"


def test_a_store_that_is_down_breaks_the_activity_off_in_one_line(runtime: Runtime) -> None:
    assert isinstance(runtime.store, Flaky)
    runtime.store.down = True
    with pytest.raises(ActivityFailed) as failed:
        ask(runtime, BuildPlan(run_id=RUN))
    assert str(failed.value) == "store-unavailable: The store did not answer. Is it running?"
    assert failed.value.__cause__ is None
