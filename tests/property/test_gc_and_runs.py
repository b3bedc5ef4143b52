"""Garbage collection while runs go on: whatever a running run, a saved plan or a retained snapshot leads to stays, however often and when it is collected.

Real runs, stepped tranche by tranche and sometimes left for good; a run may take longer than the grace period.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.contract import stamper
from tests.unit.catalog.world import NOON
from tidemill.catalog.gc import collect
from tidemill.catalog.verify import verify
from tidemill.errors import NotFound
from tidemill.execution import plans
from tidemill.execution.checking import check_records
from tidemill.execution.collecting import held_by_runs
from tidemill.execution.finish import finish_run
from tidemill.execution.materialize import materialize_units
from tidemill.execution.planning import make_plan
from tidemill.execution.publishing import publish_tranche
from tidemill.execution.run_plans import open_tranche, plan_run
from tidemill.execution.runs import TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import save_plan
from tidemill.messages.run import MaterializeUnits
from tidemill.model.facts import Materialization
from tidemill.model.keys import RunId
from tidemill.model.outcomes import Succeeded
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.progress import TrancheProgress
from tidemill.plan.stored import to_head
from tidemill.storage.memory import MemoryStore

DEPTH = 20 if os.environ.get("TIDEMILL_TEST_FULL") else 1
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes; the seed is enough to do it by hand
GRACE = timedelta(days=1)
STAMPS = st.integers(1, 3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    monkeypatch.setattr(plans, "to_head", functools.partial(to_head, limit=1))


class Running:
    """A run that is taken one tranche further at a time."""

    def __init__(self, runtime: Runtime, request: RunRequest) -> None:
        self.run = RunId(request.run_id)
        self.result: RunResult | None = None
        self._runtime = runtime
        runtime.runs.create(request)
        self.plan = plan_run(runtime, self.run).plan
        self._steps = self._to_the_end()

    def step(self) -> bool:
        """Whether there was anything left to do."""
        return next(self._steps, None) is not None

    def _to_the_end(self) -> Iterator[int]:
        runtime = self._runtime
        for number in range(len(runtime.plans.head(self.plan).starts)):
            tranche = open_tranche(runtime, self.run, self.plan, number)
            progress = TrancheProgress(tranche)
            while not progress.done:
                for batch in progress.take(10):
                    progress.fold(batch, materialize_units(runtime, MaterializeUnits.of(self.run, tranche, batch)).outcomes)
            outcomes = tuple(progress.outcomes[each] for each in sorted(progress.outcomes))
            runtime.runs.record_tranche(self.run, number, TrancheRecord(outcomes=outcomes))
            publish_tranche(runtime, self.run, self.plan, number)
            yield number
        self.result = finish_run(runtime, self.run)


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = NOON
        self.count = 0
        self.running: list[Running] = []
        self.saved: list[str] = []

    def runtime(self, commit: str = "run") -> Runtime:
        return Runtime(self.store, lambda: stamper.definitions(commit), project=Path("/project"), now=lambda: self.now)

    def request(self, stamp: int, partition: str, branch: str = "main") -> RunRequest:
        self.count += 1
        return RunRequest(
            run_id=f"run-{self.count:04d}", selection="stamps.first,stamps.second", partitions=partition, parameters={"stamp": stamp}, branch=branch,
            requested_at=self.now,
        )  # fmt: skip

    @rule(
        stamp=STAMPS, partition=st.sampled_from("ab"), commit=st.sampled_from(["run", "window"]), branch=st.sampled_from(["main", "side"])
    )
    def begin(self, stamp: int, partition: str, commit: str, branch: str) -> None:
        try:
            self.running.append(Running(self.runtime(commit), self.request(stamp, partition, branch)))
        except NotFound:
            assert branch == "side"

    @rule(pick=st.integers(0, 9), steps=st.integers(1, 4))
    def go_on(self, pick: int, steps: int) -> None:
        if self.running:
            run = self.running[pick % len(self.running)]
            if not all(run.step() for _ in range(steps)):
                self.running.remove(run)
                self._ended(run)

    @rule(stamp=STAMPS, partition=st.sampled_from("ab"))
    def save(self, stamp: int, partition: str) -> None:
        runtime = self.runtime()
        plan = make_plan(runtime, self.request(stamp, partition))
        self.saved.append(save_plan(runtime, plan, planned_at=self.now).plan)

    @rule(action=st.sampled_from(["branch", "end", "rollback"]))
    def move(self, action: str) -> None:
        catalog = self.runtime().catalog
        number = catalog.head().number
        if action == "branch" and number and "side" not in catalog.branches():
            catalog.create_branch("side", author="a", reason="r", at=self.now)
        elif action == "end" and "side" in catalog.branches():
            catalog.delete_branch("side", author="a", reason="r", at=self.now)
        elif action == "rollback" and number > 1:
            catalog.rollback(number - 1, author="a", reason="r", at=self.now)

    @rule(hours=st.sampled_from([2, 30]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def collect(self) -> None:
        runtime = self.runtime()
        collect(self.store, now=self.now, extra=held_by_runs(runtime), grace=GRACE)

    @invariant()
    def all_that_is_reachable_is_there(self) -> None:
        assert verify(self.store, also=functools.partial(check_records, now=self.now)).problem is None

    @invariant()
    def whoever_goes_on_finds_everything(self) -> None:
        runtime = self.runtime()
        for run in self.running:
            runtime.plans.read(run.plan)
            for outcome in runtime.runs.outcomes(run.run).values():
                if isinstance(outcome, Succeeded):
                    self._whole(runtime, outcome.entry.record)
        for plan in self.saved:
            for unit in runtime.plans.read(plan).units:
                for entry in (unit.current, unit.reuses):
                    if entry is not None:
                        self._whole(runtime, entry.record)

    @staticmethod
    def _whole(runtime: Runtime, address: str) -> None:
        record = runtime.catalog.record(address)
        assert isinstance(record, Materialization)
        for file in record.files:
            runtime.objects.get(file.sha256)

    def _ended(self, run: Running) -> None:
        assert run.result is not None
        if run.result.status is not RunStatus.SUCCEEDED:
            assert run.result.error is not None
            assert run.result.error.code in {"catalog-conflict", "not-found"}, (
                run.result.error
            )  # another was faster; or its branch was ended

    def teardown(self) -> None:
        for _ in range(2):
            self.now += 2 * GRACE
            collect(self.store, now=self.now, extra=held_by_runs(self.runtime()), grace=GRACE)
        for run in self.running:
            while run.step():
                pass
            self._ended(run)


@pytest.mark.timeout(120 * DEPTH)
def test_what_runs_and_saved_plans_lead_to_stays() -> None:
    World.TestCase.settings = settings(max_examples=12 * DEPTH, stateful_step_count=25, deadline=None, phases=PHASES)
    World.TestCase("runTest").runTest()


def test_the_model_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what runs hold, a run that goes on after two collections has lost what it made."""
    world = World()
    world.begin(1, "a", "run", "main")
    world.go_on(0, 1)
    for _ in range(3):
        collect(world.store, now=world.now, extra=(), grace=GRACE)
        world.now += 2 * GRACE
    with pytest.raises(Exception, match="missing"):
        world.whoever_goes_on_finds_everything()
