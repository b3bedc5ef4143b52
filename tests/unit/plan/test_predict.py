"""Predictions: the orchestrator's own batching, a model of storage calls held against a store that counts, and no guesses about time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrators.materialize_run import WINDOW
from tests.replay.test_materialize_run import Activities, chain_plan, start
from tests.unit.execution.test_publishing import Project
from tests.unit.execution.test_reusing import Days
from tidemill.errors import SettingsError
from tidemill.execution.local import apply_local
from tidemill.execution.planning import make_plan
from tidemill.execution.recorded import recorded, seen_in
from tidemill.model.runs import AssetResult, RunResult, RunStatus
from tidemill.plan import predict as predictions
from tidemill.plan.plan import Action, Plan, PlannedAsset, PlannedUnit, UnitInput
from tidemill.plan.predict import Seen, Span, predict
from tidemill.plan.prices import Prices
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import FaultyStore

NOTHING = Seen({}, None, 0)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def span(least: float, most: float) -> Span:
    return Span(at_least=least, at_most=most)


def layers(months: int, *actions: Action) -> Plan:
    """Months of one asset after another, each month reading the same month of the asset before."""
    units: list[PlannedUnit] = []
    for stage, action in enumerate(actions):
        for month in range(months):
            reads = (UnitInput("before", (stage - 1) * months + month, 0),) if stage else ()
            units.append(PlannedUnit(stage, f"m{month}", action, "", reads, (), None))
    assets = tuple(PlannedAsset(key=f"s{stage}.a", code_version="1", parameters={}, reads_partition=True) for stage in range(len(actions)))
    return Plan(
        selection="*", partitions="*", branch="main", base=0, snapshot="", rerun=True, assets=assets, units=tuple(units), observations=()
    )


def test_the_window_is_the_orchestrators() -> None:
    assert predictions.WINDOW == WINDOW


def test_units_that_wait_count_only_in_the_upper_figure() -> None:
    found = predict(layers(12, Action.RUN, Action.WAIT, Action.WAIT), Seen({"s0.a": 1.0, "s1.a": 2.0, "s2.a": 3.0}, 4.0, 5), Prices())
    assert found.units == span(12, 36)
    assert found.activities == span(12 + 3, 36 + 3)  # and those that plan, record and commit
    assert found.activity_seconds == span(12.0, 72.0)
    assert found.seconds == span(3.0, 18.0)
    assert found.gb_seconds == span(24.0, 144.0)
    assert (found.unknown, found.runs, found.currency) == ((), 5, "USD")


def test_quick_units_travel_together_as_in_the_orchestrator() -> None:
    seen = Seen({"s0.a": 0.05, "s1.a": 0.02}, None, 1)
    found = predict(layers(100, Action.RUN, Action.RUN), seen, Prices())
    # The first tranche: 40 alone, then 60 by tens as far as places come free one at a time; the second likewise by twenty-fives.
    assert found.activities.at_least == found.activities.at_most
    assert 80 < found.activities.at_most < 120
    slow = predict(layers(100, Action.RUN, Action.RUN), NOTHING, Prices())
    assert slow.activities == span(200 + 4, 200 + 4)


def test_what_is_not_on_record_is_unknown_and_named() -> None:
    found = predict(layers(2, Action.RUN, Action.WAIT), Seen({"s0.a": 1.0}, 2.0, 1), Prices())
    assert (found.activity_seconds, found.seconds, found.gb_seconds, found.cost) == (None, None, None, None)
    assert found.unknown == ("s1.a",)


def test_nothing_to_execute_costs_next_to_nothing() -> None:
    found = predict(layers(5, Action.SKIP), NOTHING, Prices())
    assert (found.units, found.activities) == (span(0, 0), span(2, 2))
    assert found.cost is not None
    assert found.cost.at_most < 0.0001


@pytest.mark.parametrize("days", [1, 4, 30])
def test_storage_calls_are_as_predicted_within_fifteen_percent_and_ten_calls(days: int) -> None:
    world = Days(days)
    world.rows = {day: list(range(number + 1)) for number, day in enumerate(world.days)}

    def check() -> None:
        found = predict(make_plan(world.runtime(), world.request()), NOTHING, Prices())
        runtime, request = world.runtime(), world.request()
        world.store.calls.clear()
        apply_local(runtime, request, threads=1)
        reads = sum(call.verb in ("get", "names") for call in world.store.calls)
        writes = len(world.store.calls) - reads
        for actual, predicted in ((reads, found.storage_reads), (writes, found.storage_writes)):
            assert 0.85 * predicted.at_least - 10 <= actual <= 1.15 * predicted.at_most + 10, (actual, predicted)

    check()  # everything runs
    check()  # nothing does
    world.rows[world.days[0]] = [7] * (days + 5)
    check()  # one day does


@pytest.mark.parametrize("commit", ["run", "window", "unit"])
def test_storage_calls_of_groups_that_are_published_sooner(commit: str) -> None:
    store = FaultyStore(MemoryStore())
    project = Project(commit, store)
    for stamp in (1, 2):
        project.stamp = stamp
        found = predict(make_plan(project.runtime(), project.request()), NOTHING, Prices())
        store.calls.clear()
        project.local()
        reads = sum(call.verb in ("get", "names") for call in store.calls)
        for actual, predicted in ((reads, found.storage_reads), (len(store.calls) - reads, found.storage_writes)):
            assert 0.85 * predicted.at_least - 10 <= actual <= 1.15 * predicted.at_most + 10, (actual, predicted)


def result(seconds: float, *, succeeded: int, found: int = 0, took: float = 2.0) -> RunResult:
    asset = AssetResult(asset="a.b", succeeded=succeeded, found=found, seconds=seconds)
    finished = AT + timedelta(seconds=took)
    return RunResult(run_id="r-1", status=RunStatus.SUCCEEDED, started_at=AT, finished_at=finished, assets=(asset,))


def test_history_is_the_median_of_what_ran() -> None:
    seen = seen_in([result(4.0, succeeded=4), result(9.0, succeeded=3), result(8.0, succeeded=4), result(0.1, succeeded=2, found=2)])
    assert seen == Seen({"a.b": 2.0}, 21.0 / 6.0, 3)
    assert seen_in([]) == NOTHING


def test_history_is_read_from_the_runs_on_record() -> None:
    world = Days(2)
    assert recorded(world.runtime().runs) == NOTHING
    world.run()
    seen = recorded(world.runtime().runs)
    assert (set(seen.seconds), seen.runs) == ({"bronze.n", "silver.n"}, 1)


def test_prices_can_be_set() -> None:
    prices = Prices.read("currency=EUR, gb_second=0.5")
    assert (prices.currency, prices.gb_second, prices.as_of) == ("EUR", 0.5, "set")
    found = predict(layers(1, Action.RUN), Seen({"s0.a": 1.0}, None, 1), prices)
    assert found.cost is not None
    assert (found.currency, round(found.cost.at_most, 3)) == ("EUR", 1.0)
    assert Prices.read("") == Prices()
    for wrong in ("gb_second", "gb_second=x", "gb_second=-1", "price=1", "as_of=2020"):
        with pytest.raises(SettingsError, match="no price"):
            Prices.read(wrong)


@pytest.mark.parametrize("seconds", [0.05])
def test_as_many_activities_are_predicted_as_the_orchestrator_starts(seconds: float) -> None:
    plan = chain_plan(45, stages=1)
    activities = Activities(plan)
    activities.seconds = seconds
    driver, started = start(activities), 0
    while not driver.done:
        # What is due at once is due before anything is done; activities end in the order in which they were sent.
        number = min(driver.open, key=lambda each: (driver.open[each].name != "timer", each))
        asked = driver.open[number]
        if asked.name == "timer":
            driver.fire(number)
        else:
            started += 1
            driver.complete(number, activities.answer(asked))
    seen = Seen({asset.key: seconds for asset in plan.assets}, None, 1)
    assert predict(plan, seen, Prices()).activities == span(started, started)
