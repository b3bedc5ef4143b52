"""Stored plans: what is read of them, and that it stays as little however long they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.record_tranche import record_tranche
from tidemill import Definitions
from tidemill.errors import MessageError
from tidemill.execution.plans import Plans
from tidemill.execution.runs import PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import RecordTranche
from tidemill.model.facts import Entry
from tidemill.model.keys import RunId, UnitKey, asset_key, partition_key
from tidemill.model.outcomes import Succeeded
from tidemill.model.runs import RunRequest
from tidemill.plan.plan import Action, Plan, PlannedAsset, PlannedUnit, UnitInput
from tidemill.plan.stored import TRANCHE_UNITS, head_from, plan_id, slice_from
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import FaultyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = Entry("r" * 64, "d" * 64, "f" * 64)


def chained(units: int, *, idle_between: int = 0) -> Plan:
    """Units that each read the one 150 before, with up-to-date ones between them."""
    planned: list[PlannedUnit] = []
    made: list[int] = []
    while len(made) < units:
        reads = (UnitInput("before", made[-150], 0),) if len(made) >= 150 else ()
        made.append(len(planned))
        planned.append(PlannedUnit(len(planned) % 2, f"p{len(planned)}", Action.RUN, "", reads, (), None))
        planned += [PlannedUnit(0, f"p{len(planned) + each}", Action.SKIP, "", (), (), ENTRY) for each in range(idle_between)]
    assets = tuple(PlannedAsset(key=f"a.a{number}", code_version="1", parameters={}, reads_partition=True) for number in range(2))
    return Plan(
        selection="*", partitions="*", branch="main", base=0, snapshot="", rerun=False, assets=assets, units=tuple(planned), observations=()
    )


def test_a_stored_plan_is_read_whole_or_in_parts() -> None:
    plan = chained(2_500, idle_between=3)
    plans = Plans(Objects(MemoryStore()))
    address = plans.put(plan)
    assert address == plan_id(plan) == plans.put(plan)
    assert plans.read(address) == plan
    assert [position for position, _ in plans.units(address, 3_990, 4_010)] == list(range(3_990, 4_010))
    assert [unit for _, unit in plans.units(address, 3_990, 4_010)] == list(plan.units[3_990:4_010])
    assert plans.keys(address, [9_999, 0, 5]) == {0: plan.key(0), 5: plan.key(5), 9_999: plan.key(9_999)}
    assert plans.head(address).by_action() == plan.counts()
    assert plans.head(address).total == 10_000


def test_a_tranche_has_everything_it_needs_of_the_tranches_before() -> None:
    plan = chained(400)
    plans = Plans(Objects(MemoryStore()))
    address = plans.put(plan)
    asked: list[list[int]] = []

    def outcomes(tranches: object) -> dict[int, Succeeded]:
        asked.append(list(tranches))  # type: ignore[call-overload]
        return {
            position: Succeeded(unit=position, entry=Entry(f"r{position}", f"d{position}"), row_count=0, size_bytes=0, seconds=0.0)
            for position in range(400)
        }

    tranche = plans.tranche(address, 3, {"a.a0": None, "a.a1": None}, outcomes)
    assert [unit.position for unit in tranche.units] == list(range(300, 400))
    assert [unit.pinned[0].data_version for unit in tranche.units] == [f"d{position - 150}" for position in range(300, 400)]
    assert {unit.pinned[0].partition for unit in tranche.units} == {f"p{position}" for position in range(150, 250)}
    assert asked == [[1, 2]]
    assert (tranche.first_position, tranche.next_position, tranche.assets["a.a0"].total) == (300, 400, 200)


def calls_of_one_tranche(units: int, number: int) -> list[str]:
    """The store calls of recording a tranche and opening the next one, in a process that has seen nothing before."""
    store = FaultyStore(MemoryStore())
    runtime = Runtime(store, lambda: Definitions([]), project=Path("/project"), now=lambda: NOW)
    run = RunId("r-1")
    runtime.runs.create(RunRequest(run_id=run, selection="*", requested_at=NOW))
    runtime.runs.start(run, PlanRecord(plan=runtime.plans.put(chained(units)), started_at=NOW))

    def done(tranche: int) -> RecordTranche:
        first = tranche * TRANCHE_UNITS
        outcomes = tuple(
            Succeeded(unit=each, entry=ENTRY, row_count=0, size_bytes=0, seconds=0.0) for each in range(first, first + TRANCHE_UNITS)
        )
        return RecordTranche(run_id=run, number=tranche, next_position=first + TRANCHE_UNITS, outcomes=outcomes)

    for before in range(number - 3, number):
        record_tranche(runtime, done(before))
    cold = Runtime(store, lambda: Definitions([]), project=Path("/project"), now=lambda: NOW)
    store.calls.clear()
    assert record_tranche(cold, done(number)).following is not None
    return [f"{call.verb} {call.name.split('/')[0]}" for call in store.calls]


def test_opening_a_tranche_costs_the_same_in_a_plan_of_a_hundred_thousand_units() -> None:
    few = calls_of_one_tranche(1_000, 5)
    assert calls_of_one_tranche(100_000, 500) == few
    assert len(few) <= 8


def test_what_another_version_wrote_is_refused_in_words() -> None:
    for read in (head_from, slice_from):
        with pytest.raises(MessageError, match="cannot be read"):
            read(b'{"type":"plan/1"}')


def test_a_plan_names_its_units() -> None:
    assert chained(1).key(0) == UnitKey(asset_key("a.a0"), partition_key("p0"))
