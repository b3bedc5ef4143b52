"""The run orchestrator through the SDK's own executor: every order of completion, failures, wrong replies, cancellation, many tranches."""

from __future__ import annotations

import random
from typing import Any

import pytest

from orchestrators.materialize_run import WINDOW, materialize_run
from tidemill.definitions.policies import RetryPolicy
from tidemill.messages.codec import from_json, seal, to_json
from tidemill.messages.registry import CANCEL_EVENT
from tidemill.messages.run import (
    BuildPlan,
    BuildPlanReply,
    CommitRun,
    CommitRunReply,
    MaterializeUnits,
    PlanReady,
    RecordTranche,
    RecordTrancheReply,
    RunInput,
    UnitsReply,
)
from tidemill.model.facts import Entry
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.model.versions import digest
from tidemill.plan.plan import Action, Plan, PlannedAsset, PlannedUnit, UnitInput
from tidemill.testing.plans import SlicedPlan
from tidemill.testing.replay import Asked, ReplayDriver

ONCE = RetryPolicy(max_attempts=1)


def chain_plan(months: int, *, stages: int = 3, current: dict[int, Entry] | None = None, action: Action = Action.RUN) -> Plan:
    """Stages of monthly assets, each month reading the same month of the stage before, and one report over the last stage."""
    units: list[PlannedUnit] = []
    for stage in range(stages):
        for month in range(months):
            inputs = (UnitInput("before", (stage - 1) * months + month, 0),) if stage else ()
            position = len(units)
            units.append(PlannedUnit(stage, f"m{month:03d}", action, "", inputs, (), (current or {}).get(position)))
    last = (stages - 1) * months
    units.append(PlannedUnit(stages, "", Action.RUN, "", tuple(UnitInput("all", last + month, month) for month in range(months)), (), None))
    assets = tuple(PlannedAsset(key=f"s{stage}.a", code_version="1", parameters={}, reads_partition=True) for stage in range(stages + 1))
    return Plan(
        selection="*", partitions="*", branch="main", base=0, snapshot="", rerun=False, assets=assets, units=tuple(units), observations=()
    )


class Activities:
    """Answers commands like the real activities, from a plan in memory."""

    def __init__(self, plan: Plan, *, failing: frozenset[int] = frozenset(), limit: int = 100, retry: RetryPolicy = ONCE) -> None:
        self.plan, self.failing, self.sliced = plan, failing, SlicedPlan(plan, limit=limit)
        self.retries = {asset.key: retry for asset in plan.assets}
        self.outcomes: dict[int, UnitOutcome] = {}
        self.started: list[int] = []
        self.status = ""
        self.seconds = 0.3
        self.cancel_requested = False

    def answer(self, asked: Asked) -> Any:
        match asked.name:
            case "build_plan":
                tranche = self.sliced.tranche(0, self.retries, {})
                command: Any = from_json(asked.payload, BuildPlan)
                return seal(command, BuildPlanReply(result=PlanReady(plan="p", tranche=tranche, counts=self.plan.counts())))
            case "materialize_units":
                command = from_json(asked.payload, MaterializeUnits)
                return seal(command, UnitsReply(outcomes=tuple(self.materialize(work) for work in command.units)))
            case "record_tranche":
                command = from_json(asked.payload, RecordTranche)
                self.outcomes.update((outcome.unit, outcome) for outcome in command.outcomes)
                following = None
                if command.next_position < len(self.plan.units):
                    following = self.sliced.tranche(command.number + 1, self.retries, self.outcomes)
                return seal(command, RecordTrancheReply(following=following, cancel_requested=self.cancel_requested))
            case "commit_run":
                command = from_json(asked.payload, CommitRun)
                self.status = "canceled" if self.cancel_requested else "succeeded" if self.all_well else "failed"
                return seal(command, CommitRunReply(status=self.status))
        raise AssertionError(asked.name)

    @property
    def all_well(self) -> bool:
        return len(self.outcomes) == len(self.plan.units) and all(
            isinstance(outcome, Succeeded | Unchanged) for outcome in self.outcomes.values()
        )

    def materialize(self, work: Any) -> UnitOutcome:
        self.started.append(work.position)
        if work.position in self.failing:
            return Failed(unit=work.position, error=ErrorInfo(code="user-code-failed", message="no", types=("ValueError",)))
        entry = Entry(
            record=digest(f"r{work.fingerprint}".encode()), data_version=digest(work.fingerprint.encode()), fingerprint=work.fingerprint
        )
        return Succeeded(unit=work.position, entry=entry, row_count=1, size_bytes=1, seconds=self.seconds)


def start(activities: Activities) -> ReplayDriver:
    return ReplayDriver(materialize_run, to_json(RunInput(run_id="r-1")), instance_id="r-1")


def run_to_end(driver: ReplayDriver, activities: Activities, seed: int = 0) -> ReplayDriver:
    chance = random.Random(seed)
    for _ in range(5_000):
        if driver.done:
            return driver
        number = chance.choice(sorted(driver.open))
        asked = driver.open[number]
        if asked.name == "timer":
            driver.fire(number)
        else:
            driver.complete(number, activities.answer(asked))
    raise AssertionError(f"stuck: {driver.open}")


@pytest.mark.parametrize("seed", range(6))
def test_the_outcome_does_not_depend_on_the_order_in_which_activities_finish(seed: int) -> None:
    activities = Activities(chain_plan(4))
    reference = Activities(chain_plan(4))
    assert run_to_end(start(reference), reference).failure is None
    driver = run_to_end(start(activities), activities, seed)
    assert driver.output == "succeeded"
    versions = {unit: getattr(outcome, "entry", None) for unit, outcome in activities.outcomes.items()}
    assert versions == {unit: getattr(outcome, "entry", None) for unit, outcome in reference.outcomes.items()}
    assert sorted(activities.started) == list(range(13))


def test_no_unit_starts_before_the_units_it_reads() -> None:
    plan = chain_plan(5)
    for seed in range(5):
        activities = Activities(plan)
        run_to_end(start(activities), activities, seed)
        for unit, planned in enumerate(plan.units):
            for source in planned.inputs:
                assert activities.started.index(source.unit) < activities.started.index(unit)


def test_a_month_goes_through_all_stages_while_another_month_is_still_open() -> None:
    activities = Activities(chain_plan(2))
    driver = start(activities)
    driver.complete(0, activities.answer(driver.open[0]))
    while True:
        moving = [each for each in driver.open.values() if each.name == "timer" or each.payload.get("units", [[0, ""]])[0][1] == "m000"]
        if not moving:
            break
        for each in moving:
            if each.name == "timer":
                driver.fire(each.number)
            else:
                driver.complete(each.number, activities.answer(each))
    assert activities.started == [0, 2, 4]


def test_what_failed_is_reported_and_what_reads_it_is_skipped_but_nothing_else() -> None:
    activities = Activities(chain_plan(3), failing=frozenset({1}))
    driver = run_to_end(start(activities), activities, 3)
    assert driver.output == "failed"
    kinds = {unit: type(outcome) for unit, outcome in activities.outcomes.items()}
    assert kinds[1] is Failed
    assert [unit for unit, kind in kinds.items() if kind is Skipped] == [4, 7, 9]
    assert activities.outcomes[9] == Skipped(unit=9, because=1)
    assert sum(kind is Succeeded for kind in kinds.values()) == 6


def test_a_retry_policy_is_honoured_on_a_durable_timer() -> None:
    activities = Activities(chain_plan(1, stages=1), failing=frozenset({0}), retry=RetryPolicy(max_attempts=3))
    driver = run_to_end(start(activities), activities)
    assert activities.started == [0, 0, 0]
    assert driver.output == "failed"
    assert isinstance(activities.outcomes[0], Failed)
    assert activities.outcomes[0].attempts == 3


def test_a_reply_that_answers_another_task_is_not_believed() -> None:
    activities = Activities(chain_plan(2, stages=1))
    driver = start(activities)
    driver.complete(0, activities.answer(driver.open[0]))
    first, second = [each for each in driver.open.values() if each.name == "materialize_units"]
    driver.complete(first.number, activities.answer(second))
    driver.complete(second.number, activities.answer(first))
    run_to_end(driver, activities)
    assert driver.output == "succeeded"
    versions = [outcome.entry.data_version for unit, outcome in sorted(activities.outcomes.items()) if isinstance(outcome, Succeeded)]
    assert len(set(versions)) == 3


def test_an_activity_that_breaks_off_is_sent_again_and_then_given_up() -> None:
    activities = Activities(chain_plan(1, stages=1))
    driver = start(activities)
    driver.complete(0, activities.answer(driver.open[0]))
    attempts = 0
    while not driver.done:
        for each in list(driver.open.values()):
            if each.name == "timer":
                driver.fire(each.number)
            elif each.name == "materialize_units":
                attempts += 1
                driver.fail(each.number, "Worker lost")
            else:
                driver.complete(each.number, activities.answer(each))
    assert attempts == 5
    failed = activities.outcomes[0]
    assert isinstance(failed, Failed)
    assert failed.error.code == "activity-interrupted"
    assert "Worker lost" in failed.error.message


def test_a_failing_planning_activity_is_sent_again_and_then_fails_the_run() -> None:
    driver = start(Activities(chain_plan(1)))
    for _ in range(20):
        if driver.done:
            break
        for each in list(driver.open.values()):
            if each.name == "timer":
                driver.fire(each.number)
            else:
                driver.fail(each.number, "store-unavailable: the store did not answer")
    assert driver.failure is not None
    assert "build_plan" in driver.failure
    assert "store-unavailable" in driver.failure


def test_never_more_activities_are_open_than_the_window_allows() -> None:
    activities = Activities(chain_plan(90, stages=1))
    driver = start(activities)
    widest = 0
    while not driver.done:
        widest = max(widest, sum(each.name != "timer" for each in driver.open.values()))
        number = min(driver.open)
        asked = driver.open[number]
        if asked.name == "timer":
            driver.fire(number)
        else:
            driver.complete(number, activities.answer(asked))
    assert widest == WINDOW


def test_large_plans_go_on_in_new_generations_with_flat_history() -> None:
    activities = Activities(chain_plan(20, stages=5), limit=25)
    driver = run_to_end(start(activities), activities, 1)
    assert driver.output == "succeeded"
    assert driver.generations == 4
    assert len(driver.asked) < 100
    assert sorted(activities.started) == list(range(101))


def test_a_failure_in_one_tranche_skips_its_readers_in_the_next() -> None:
    activities = Activities(chain_plan(20, stages=2), limit=25, failing=frozenset({0}))
    run_to_end(start(activities), activities, 2)
    assert [unit for unit, outcome in sorted(activities.outcomes.items()) if isinstance(outcome, Skipped)] == [20, 40]
    assert activities.outcomes[40] == Skipped(unit=40, because=0)


def test_units_whose_inputs_came_out_as_before_are_cut_off_without_an_activity() -> None:
    first = Activities(chain_plan(3, stages=2))
    run_to_end(start(first), first)
    current = {unit: outcome.entry for unit, outcome in first.outcomes.items() if isinstance(outcome, Succeeded)}
    # The first stage runs again because its code changed, but comes out as before: say so by giving it the old content.
    plan = chain_plan(3, stages=2, current=current)

    class SameContent(Activities):
        def materialize(self, work: Any) -> UnitOutcome:
            outcome = super().materialize(work)
            assert isinstance(outcome, Succeeded)
            return Succeeded(unit=work.position, entry=current[work.position], row_count=1, size_bytes=1, seconds=0.1)

    changed = tuple(
        PlannedAsset(key=each.key, code_version="2" if each.key == "s0.a" else "1", parameters={}, reads_partition=True)
        for each in plan.assets
    )
    again = SameContent(Plan(**{**{name: getattr(plan, name) for name in plan.__struct_fields__}, "assets": changed}))
    run_to_end(start(again), again)
    assert sorted(again.started) == [0, 1, 2, 6]  # the report has no current version here, so it runs
    assert [unit for unit, outcome in sorted(again.outcomes.items()) if isinstance(outcome, Unchanged)] == [3, 4, 5]


def test_cancelling_starts_nothing_more_and_waits_for_what_is_open() -> None:
    activities = Activities(chain_plan(3))
    driver = start(activities)
    driver.complete(0, activities.answer(driver.open[0]))
    activities.cancel_requested = True
    driver.raise_event(CANCEL_EVENT)
    run_to_end(driver, activities)
    assert driver.output == "canceled"
    assert sorted(activities.started) == [0, 1, 2]
    assert sum(isinstance(outcome, Canceled) for outcome in activities.outcomes.values()) == 7


def test_a_cancel_event_that_was_lost_is_noticed_between_tranches() -> None:
    activities = Activities(chain_plan(20, stages=5), limit=25)
    activities.cancel_requested = True
    driver = run_to_end(start(activities), activities)
    assert driver.output == "canceled"
    assert len(activities.started) == 25


@pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")
def test_an_event_that_nobody_waits_for_does_not_kill_the_run() -> None:
    activities = Activities(chain_plan(2))
    driver = start(activities)
    driver.complete(0, activities.answer(driver.open[0]))
    driver.raise_event("somebody_elses_event", {"__class__": "X"})
    run_to_end(driver, activities)
    assert driver.output == "succeeded"
