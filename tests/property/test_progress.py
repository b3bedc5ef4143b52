"""Laws of the run's state machine, over random plans, failures and orders of arrival."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.policies import RetryPolicy
from tidemill.model.facts import Entry
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.model.versions import digest
from tidemill.plan.plan import Action, Plan, PlannedAsset, PlannedUnit, UnitInput
from tidemill.plan.progress import BATCH_UNITS, Batch, TrancheProgress
from tidemill.plan.stored import plan_id
from tidemill.plan.tranche import UnitWork
from tidemill.testing.plans import SlicedPlan

ONCE = RetryPolicy(max_attempts=1)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to 25 units of up to four assets in topological order, each reading some of the units before it."""
    units = []
    for position in range(draw(st.integers(1, 25))):
        sources = draw(st.sets(st.integers(0, position - 1), max_size=4)) if position else set()
        inputs = tuple(UnitInput("in", source, order) for order, source in enumerate(sorted(sources)))
        units.append(PlannedUnit(draw(st.integers(0, 3)), f"p{position}", Action.RUN, "", inputs, (), None))
    assets = tuple(PlannedAsset(key=f"a.a{index}", code_version=str(index), parameters={}, reads_partition=True) for index in range(4))
    return Plan(
        selection="*", partitions="*", branch="main", base=0, snapshot="", rerun=False, assets=assets, units=tuple(units), observations=()
    )


def result(work: UnitWork, failing: frozenset[int], seconds: float) -> UnitOutcome:
    if work.position in failing:
        return Failed(unit=work.position, error=ErrorInfo(code="user-code-failed", message="no"))
    entry = Entry(record=digest(work.fingerprint.encode()), data_version=work.fingerprint, fingerprint=work.fingerprint)
    return Succeeded(unit=work.position, entry=entry, row_count=1, size_bytes=1, seconds=seconds)


def execute(
    plan: Plan, data: Any, failing: frozenset[int], *, limit: int = 100, window: int = 5, seconds: float = 0.01
) -> tuple[dict[int, UnitOutcome], list[int]]:
    """Walks the plan tranche by tranche, answering open batches in an order that the data draws."""
    outcomes: dict[int, UnitOutcome] = {}
    started: list[int] = []
    sliced = SlicedPlan(plan, limit=limit)
    retries = {asset.key: ONCE for asset in plan.assets}
    for number in range(len(sliced.head.starts)):
        tranche = sliced.tranche(number, retries, outcomes)
        progress = TrancheProgress(tranche)
        flying: list[Batch] = []
        while not progress.done:
            taken = progress.take(window - len(flying))
            for batch in taken:
                assert 1 <= len(batch.units) <= BATCH_UNITS
                for work in batch.units:
                    parents = [source.unit for source in plan.units[work.position].inputs]
                    known = {**outcomes, **progress.outcomes}
                    assert all(isinstance(known[parent], Succeeded | Unchanged) for parent in parents)
                    started.append(work.position)
            flying += taken
            assert flying, "nothing is ready and nothing is open"
            assert len(flying) <= window
            batch = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            assert progress.fold(batch, [result(work, failing, seconds) for work in batch.units]) == []
        outcomes.update(progress.outcomes)
    return outcomes, started


@given(plans(), st.data())
def test_every_unit_runs_once_after_its_parents_and_ends_in_one_outcome(plan: Plan, data: st.DataObject) -> None:
    outcomes, started = execute(plan, data, frozenset(), limit=data.draw(st.integers(1, 30)))
    assert sorted(outcomes) == list(range(len(plan.units)))
    assert sorted(started) == sorted(outcomes)
    assert all(isinstance(outcome, Succeeded) for outcome in outcomes.values())


@given(plans(), st.data())
def test_versions_do_not_depend_on_order_or_on_how_the_plan_is_cut(plan: Plan, data: st.DataObject) -> None:
    versions = []
    for limit in (100, data.draw(st.integers(1, 10))):
        outcomes, _ = execute(plan, data, frozenset(), limit=limit, window=data.draw(st.integers(1, 40)))
        versions.append({unit: outcome.entry for unit, outcome in outcomes.items() if isinstance(outcome, Succeeded)})
    assert versions[0] == versions[1]


@given(plans(), st.data())
def test_exactly_what_stands_above_a_failure_is_skipped_and_says_which(plan: Plan, data: st.DataObject) -> None:
    failing = frozenset(data.draw(st.sets(st.integers(0, len(plan.units) - 1), max_size=4)))
    outcomes, _ = execute(plan, data, failing, limit=data.draw(st.integers(1, 30)))
    doomed: dict[int, set[int]] = {}
    for position, unit in enumerate(plan.units):
        causes = {cause for source in unit.inputs for cause in (doomed.get(source.unit, set()) | ({source.unit} & failing - set(doomed)))}
        if causes:
            doomed[position] = causes
    for position, outcome in outcomes.items():
        if position in doomed:
            assert isinstance(outcome, Skipped)
            assert outcome.because in doomed[position]
        else:
            assert isinstance(outcome, Failed if position in failing else Succeeded)


@given(plans(), st.data())
def test_cancelling_at_any_moment_leaves_every_unit_with_one_outcome(plan: Plan, data: st.DataObject) -> None:
    progress = TrancheProgress(SlicedPlan(plan).tranche(0, {asset.key: ONCE for asset in plan.assets}, {}))
    flying = progress.take(3)
    for _ in range(data.draw(st.integers(0, 10))):
        if progress.done or not flying:
            break
        batch = flying.pop(0)
        progress.fold(batch, [result(work, frozenset(), 1.0) for work in batch.units])
        flying += progress.take(3 - len(flying))
    progress.cancel()
    for batch in flying:
        assert not any(work.position in progress.outcomes for work in batch.units)
        progress.fold(batch, [result(work, frozenset(), 1.0) for work in batch.units])
    progress.cancel()
    assert progress.done
    assert all(isinstance(outcome, Succeeded | Canceled) for outcome in progress.outcomes.values())
    assert progress.take(10) == []


@given(plans())
def test_a_plan_survives_being_sliced_and_equal_plans_have_equal_ids(plan: Plan) -> None:
    assert SlicedPlan(plan).read() == plan
    assert plan_id(SlicedPlan(plan).read()) == plan_id(plan)
