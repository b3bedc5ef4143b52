"""Two runs at the same time: on different units they do not meet, on the same unit they meet only if they made different things of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from activities import ACTIVITIES
from orchestrators.materialize_run import materialize_run
from tests.unit.catalog.world import NOON
from tidemill import AssetContext, Definitions, StaticPartitions, asset
from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.messages.codec import to_json
from tidemill.messages.run import RunInput
from tidemill.model.keys import RunId, unit_key
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.storage.memory import MemoryStore
from tidemill.testing.replay import ReplayDriver

STAMP = "stamp"


class World:
    """One asset of two days, whose function may let another run pass by while it runs."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.meanwhile: Callable[[], object] | None = None

    def runtime(self) -> Runtime:
        @asset(key="a.n", partitions=StaticPartitions(["d1", "d2"]), parameters={STAMP: 0}, code_version="1")
        def a_n(context: AssetContext) -> pa.Table:
            passing, self.meanwhile = self.meanwhile, None
            if passing is not None:
                passing()
            return pa.table({"n": [context.parameters[STAMP]]})

        return Runtime(self.store, lambda: Definitions([a_n]), project=Path("/project"), now=lambda: NOON)

    def request(self, run: str, author: str, stamp: int, partitions: str = "*", *, rerun: bool = False) -> RunRequest:
        return RunRequest(
            run_id=run, selection="a.n", partitions=partitions, parameters={STAMP: stamp}, rerun=rerun, author=author, requested_at=NOON
        )

    def local(self, request: RunRequest) -> RunResult:
        return apply_local(self.runtime(), request, threads=1)

    def durable(self, request: RunRequest) -> RunResult:
        runtime = self.runtime()
        runtime.runs.create(request)
        driver = ReplayDriver(materialize_run, to_json(RunInput(run_id=request.run_id)), instance_id=request.run_id)
        driver.finish(lambda asked: ACTIVITIES[asked.name].answer(runtime, asked.payload))
        result = runtime.runs.result(RunId(request.run_id))
        assert result is not None
        return result

    def both(self, executor: str, ours: RunRequest, theirs: RunRequest) -> tuple[RunResult, RunResult]:
        """Another run begins and ends while ours is at its first unit."""
        passed: list[RunResult] = []
        self.meanwhile = lambda: passed.append(self.local(theirs))
        return getattr(self, executor)(ours), passed[0]


@pytest.fixture(params=["local", "durable"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_run_that_meets_another_on_the_same_unit_ends_and_names_both(executor: str) -> None:
    world = World()
    ours, theirs = world.both(executor, world.request("run-1", "ada", 1), world.request("run-2", "eve", 2, "d2"))
    assert theirs.status is RunStatus.SUCCEEDED
    assert (ours.status, ours.commit) == (RunStatus.FAILED, 0)
    assert ours.error is not None
    assert ours.error.code == "catalog-conflict"
    assert ours.error.message == (
        "`a.n@d2` was changed by run `run-2` (eve) with log entry 1 (commit), after run `run-1` (ada) was planned on log entry 0."
    )
    assert ours.error.hint == "Plan again on top of it."
    assert [str(unit) for unit in world.runtime().catalog.view().all_entries()] == ["a.n@d2"]
    again = getattr(world, executor)(world.request("run-3", "ada", 1))
    assert (again.status, again.changed) == (RunStatus.SUCCEEDED, 2)


def test_runs_on_different_units_do_not_meet(executor: str) -> None:
    world = World()
    ours, theirs = world.both(executor, world.request("run-1", "ada", 1, "d1"), world.request("run-2", "eve", 2, "d2"))
    assert (ours.status, ours.changed, theirs.status) == (RunStatus.SUCCEEDED, 1, RunStatus.SUCCEEDED)


@pytest.mark.parametrize("rerun", [False, True])
def test_runs_that_made_the_same_of_the_same_unit_both_succeed(executor: str, rerun: bool) -> None:
    """By rerunning, both have a record of their own; the first one's stays."""
    world = World()
    ours, theirs = world.both(executor, world.request("run-1", "ada", 1, rerun=rerun), world.request("run-2", "eve", 1, "d2", rerun=rerun))
    assert theirs.status is RunStatus.SUCCEEDED
    assert (ours.status, ours.error, ours.changed) == (RunStatus.SUCCEEDED, None, 1)
    catalog = world.runtime().catalog
    entry = catalog.view().entry(unit_key("a.n@d2"))
    assert entry == catalog.view(1).entry(unit_key("a.n@d2"))
