"""Laws of planning, over random graphs, histories and changes, with everything really executed in this process."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import AssetContext, Definitions, StaticPartitions, asset, external_asset
from tidemill.execution.local import apply_local
from tidemill.execution.planning import make_plan
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import PlanDrifted, SavedPlan, refuse_drifted, request_of, save_plan
from tidemill.model.keys import RunId, UnitKey
from tidemill.model.outcomes import Succeeded, Unchanged
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.plan.drift import Drift
from tidemill.plan.plan import Action, Plan
from tidemill.plan.stored import plan_id
from tidemill.storage.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = ("p", "q")
_runs = itertools.count(1)


class Mill:
    """A few assets over two partitions, each a rounded sum of what it reads and a number of its own; everything can be changed."""

    def __init__(self, reads: list[list[int]], coarse: list[int], *, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.reads, self.coarse = reads, coarse
        self.source = dict.fromkeys(PARTS, 1)
        self.versions = [0] * len(reads)
        self.events: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def again(self) -> Mill:
        """The same with an empty store."""
        mill = Mill(self.reads, self.coarse)
        mill.source, mill.versions = dict(self.source), list(self.versions)
        return mill

    def specs(self) -> list[Any]:
        parts = StaticPartitions(PARTS)

        @external_asset(key="raw.a", partitions=parts)
        def raw(context: AssetContext) -> pa.Table:
            return pa.table({"n": [self.source[context.partition_key]]})

        return [raw, *(self._spec(number, parts) for number in range(len(self.reads)))]

    def _spec(self, number: int, parts: StaticPartitions) -> Any:
        names = ["raw.a"] if not self.reads[number] else [f"made.a{each}" for each in self.reads[number]]

        def make(context: AssetContext, **tables: pa.Table) -> pa.Table:
            unit = f"made.a{number}@{context.partition_key}"
            self._tell("start", unit)
            total = sum(table["n"][0].as_py() for table in tables.values()) + self.versions[number]
            self._tell("end", unit)
            return pa.table({"n": [total // self.coarse[number] * self.coarse[number]]})

        arguments = ", ".join(f"i{place}: pa.Table" for place in range(len(names)))
        passed = ", ".join(f"i{place}=i{place}" for place in range(len(names)))
        scope: dict[str, Any] = {"make": make, "pa": pa, "AssetContext": AssetContext}
        exec(f"def function(context: AssetContext, {arguments}) -> pa.Table:\n    return make(context, {passed})", scope)
        inputs = {f"i{place}": name for place, name in enumerate(names)}
        return asset(key=f"made.a{number}", partitions=parts, inputs=inputs, code_version=str(self.versions[number]))(scope["function"])

    def _tell(self, what: str, unit: str) -> None:
        with self._lock:
            self.events.append((what, unit))

    def runtime(self) -> Runtime:
        return Runtime(self.store, lambda: Definitions(self.specs()), project=Path("/project"), now=lambda: NOW)

    def plan(self, selection: str = "made.*", **more: Any) -> Plan:
        return make_plan(self.runtime(), RunRequest(run_id="plan", selection=selection, requested_at=NOW, **more))

    def apply(self, **more: Any) -> str:
        request = RunRequest(run_id=f"run-{next(_runs)}", selection="made.*", requested_at=NOW, **more)
        assert apply_local(self.runtime(), request, threads=2).status is RunStatus.SUCCEEDED
        return request.run_id

    def content(self) -> dict[UnitKey, str]:
        return {unit: entry.data_version for unit, entry in self.runtime().catalog.view().all_entries().items()}

    def change(self, what: tuple[str, int]) -> None:
        kind, number = what
        match kind:
            case "source":
                self.source[PARTS[number % 2]] = number
            case "code":
                self.versions[number % len(self.versions)] += 1
            case "back":
                self.versions[number % len(self.versions)] = 0
            case "run":
                self.apply(partitions=PARTS[number % 2])
            case _:
                pass


@st.composite
def mills(draw: st.DrawFn) -> Mill:
    count = draw(st.integers(1, 4))
    reads = [sorted(draw(st.sets(st.integers(0, number - 1), max_size=2))) if number else [] for number in range(count)]
    return Mill(reads, [draw(st.sampled_from([1, 1, 4])) for _ in range(count)])


CHANGES = st.tuples(st.sampled_from(["source", "code", "back", "run", "nothing"]), st.integers(0, 9))


@settings(max_examples=10)
@given(mills(), st.lists(CHANGES, max_size=4), st.booleans())
def test_what_is_executed_is_what_was_planned_in_order_and_then_nothing_is_left(
    mill: Mill, changes: list[tuple[str, int]], rerun: bool
) -> None:
    for each in changes:
        mill.change(each)
    plan = mill.plan(rerun=rerun)
    assert plan_id(mill.plan(rerun=rerun)) == plan_id(plan)
    mill.events.clear()
    run = mill.apply(rerun=rerun)
    runtime = mill.runtime()
    record = runtime.runs.plan(RunId(run))
    assert record is not None
    assert record.plan == plan_id(plan)

    outcomes = runtime.runs.outcomes(RunId(run))
    assert {position for position, unit in enumerate(plan.units) if unit.action.executes} == set(outcomes)
    assert all(isinstance(outcome, Succeeded | Unchanged) for outcome in outcomes.values())
    cut_off = {position for position, outcome in outcomes.items() if isinstance(outcome, Unchanged)}
    assert {plan.units[position].action for position in cut_off} <= {Action.WAIT}
    ran = [unit for what, unit in mill.events if what == "start"]
    computed = {str(plan.key(at)) for at, outcome in outcomes.items() if isinstance(outcome, Succeeded) and not outcome.found}
    assert sorted(ran) == sorted(computed)
    ended = {unit: place for place, (what, unit) in enumerate(mill.events) if what == "end"}
    for position in outcomes:
        for source in plan.units[position].inputs:
            before, after = str(plan.key(source.unit)), str(plan.key(position))
            assert before not in ended or after not in ended or ended[before] < mill.events.index(("start", after))

    assert set(mill.plan().counts().items()) >= {("skip", len(plan.units)), ("run", 0), ("reuse", 0), ("wait", 0), ("blocked", 0)}
    fresh = mill.again()
    fresh.apply()
    assert mill.content() == fresh.content()


@settings(max_examples=10)
@given(mills(), st.lists(CHANGES, max_size=2), st.lists(CHANGES, max_size=2))
def test_a_saved_plan_is_refused_if_and_only_if_it_would_not_be_made_again(
    mill: Mill, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    for each in before:
        mill.change(each)
    plan = mill.plan()
    saved = save_plan(mill.runtime(), plan, planned_at=NOW)
    state = (dict(mill.source), list(mill.versions), mill.content())
    for each in after:
        mill.change(each)
    if _drifted(mill, saved):
        assert (dict(mill.source), list(mill.versions), mill.content()) != state
        return
    runtime = mill.runtime()
    request = request_of(runtime, saved, run=f"run-{next(_runs)}", author="", reason="", now=NOW)
    assert apply_local(runtime, request, threads=2).plan == saved.plan
    fresh = mill.again()
    fresh.apply()
    assert mill.content() == fresh.content()


def _drifted(mill: Mill, saved: SavedPlan) -> tuple[Drift, ...]:
    try:
        refuse_drifted(mill.runtime(), saved)
    except PlanDrifted as refusal:
        return refusal.drifts
    return ()
