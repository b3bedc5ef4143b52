"""What is published when: once a run, once a window, unit by unit; and what stays when a run ends badly. On both executors alike."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from activities import ACTIVITIES
from orchestrators.materialize_run import materialize_run
from tidemill import AllPartitions, AssetContext, Definitions, Group, Input, StaticPartitions, asset, external_asset
from tidemill.execution import plans
from tidemill.execution.local import apply_local
from tidemill.execution.materialize import materialize_units
from tidemill.execution.publishing import publish_tranche
from tidemill.execution.run_plans import open_tranche, plan_run
from tidemill.execution.runs import CancelRecord
from tidemill.execution.runtime import Runtime
from tidemill.messages.codec import to_json
from tidemill.messages.run import MaterializeUnits, RunInput
from tidemill.model.facts import Materialization
from tidemill.model.keys import RunId, unit_key
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.progress import TrancheProgress
from tidemill.plan.stored import to_head
from tidemill.storage.base import BlobStore
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import Crash, Fault, FaultyStore, at
from tidemill.testing.replay import ReplayDriver

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = StaticPartitions([f"d{day}" for day in range(8)])
WINDOW = 3
"""Units in a tranche here, so that eight units are three windows."""


@pytest.fixture(autouse=True)
def _small_tranches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "to_head", functools.partial(to_head, limit=WINDOW))


class Project:
    """A source, a bronze that is published as its group says, and a gold over all of it that is published once a run."""

    def __init__(self, commit: str, store: BlobStore | None = None) -> None:
        self.commit, self.store = commit, store or MemoryStore()
        self.on_day: Callable[[str], None] = lambda _: None
        self.stamp = 1
        self._runs = itertools.count(1)

    def runtime(self) -> Runtime:
        @external_asset(key="raw.n", partitions=DAYS)
        def raw_n(context: AssetContext) -> pa.Table:
            return pa.table({"n": [int(context.partition_key[1:])]})

        @asset(key="bronze.n", partitions=DAYS, group=Group("bronze", commit=self.commit), code_version=str(self.stamp))
        def bronze_n(context: AssetContext, raw_n: pa.Table) -> pa.Table:
            self.on_day(context.partition_key)
            return pa.table({"n": raw_n["n"], "stamp": [self.stamp]})

        @asset(key="gold.sum", inputs={"days": Input("bronze.n", mapping=AllPartitions())}, code_version="1")
        def gold_sum(days: pa.Table) -> pa.Table:
            return pa.table({"sum": [sum(days["n"].to_pylist())], "stamp": [max(days["stamp"].to_pylist())]})

        return Runtime(self.store, lambda: Definitions([raw_n, bronze_n, gold_sum]), project=Path("/project"), now=lambda: NOW)

    def request(self) -> RunRequest:
        return RunRequest(run_id=f"run-{next(self._runs)}", selection="*", author="ada", requested_at=NOW)

    def local(self) -> RunResult:
        return apply_local(self.runtime(), self.request(), threads=1)

    def durable(self) -> RunResult:
        """The real orchestrator through the SDK's executor, with the real activities."""
        runtime, request = self.runtime(), self.request()
        runtime.runs.create(request)
        driver = ReplayDriver(materialize_run, to_json(RunInput(run_id=request.run_id)), instance_id=request.run_id)
        driver.finish(lambda asked: ACTIVITIES[asked.name].answer(runtime, asked.payload))
        assert driver.failure is None
        result = runtime.runs.result(RunId(request.run_id))
        assert result is not None
        return result

    def log(self) -> list[tuple[str, str, str, int, str]]:
        catalog = self.runtime().catalog
        places = reversed(catalog.history())
        return [(p.snapshot.kind, p.snapshot.run_id, p.part, p.snapshot.changed, p.snapshot.root) for p in places if p.snapshot]

    def published(self, number: int | None = None) -> list[str]:
        return [str(unit) for unit in self.runtime().catalog.view(number).all_entries() if unit.asset != "raw.n"]


EXECUTORS = ["local", "durable"]


def days(*numbers: int) -> list[str]:
    return [f"bronze.n@d{number}" for number in numbers]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_windows_are_published_as_they_succeed_and_the_rest_at_the_end(executor: str) -> None:
    project = Project("window")
    result: RunResult = getattr(project, executor)()
    assert result.status is RunStatus.SUCCEEDED
    assert [(part, changed) for _, _, part, changed, _ in project.log()] == [
        ("window-000000", 6),  # three units and the three observations that they were made from
        ("window-000001", 6),
        ("window-000002", 4),
        ("", 1),
    ]
    assert project.published(1) == days(0, 1, 2)
    assert project.published(3) == days(0, 1, 2, 3, 4, 5, 6, 7)
    assert project.published() == [*days(0, 1, 2, 3, 4, 5, 6, 7), "gold.sum"]
    assert [(each.number, each.changed, each.part) for each in result.commits] == [
        (1, 6, "window-000000"), (2, 6, "window-000001"), (3, 4, "window-000002"), (4, 1, ""),
    ]  # fmt: skip
    assert (result.commit, result.changed, result.commit_count) == (4, 17, 4)
    assert project.runtime().catalog.resolve(result.run_id).number == 4  # as of the run means its last commit


@pytest.mark.parametrize("executor", EXECUTORS)
def test_units_are_published_one_by_one(executor: str) -> None:
    project = Project("unit")
    result: RunResult = getattr(project, executor)()
    assert [(part, changed) for _, _, part, changed, _ in project.log()] == [*((f"unit-{day:06d}", 2) for day in range(8)), ("", 1)]
    assert project.published(5) == days(0, 1, 2, 3, 4)
    assert (result.status, result.commit, result.commit_count) == (RunStatus.SUCCEEDED, 9, 9)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_unit_is_published_the_moment_it_is_done(executor: str) -> None:
    project = Project("unit")
    seen: dict[str, list[str]] = {}
    project.on_day = lambda day: seen.update({day: project.published()})
    getattr(project, executor)()
    assert seen == {f"d{day}": days(*range(day)) for day in range(8)}


class Chain:
    """Two groups published unit by unit, one made from the other, all in one tranche."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.stamp = 1

    def runtime(self) -> Runtime:
        @asset(key="bronze.n", partitions=DAYS, group=Group("bronze", commit="unit"), parameters={"stamp": 0})
        def bronze_n(context: AssetContext) -> pa.Table:
            return pa.table({"day": [context.partition_key], "stamp": [context.parameters["stamp"]]})

        @asset(key="silver.n", partitions=DAYS, group=Group("silver", commit="unit"), code_version=str(self.stamp))
        def silver_n(bronze_n: pa.Table) -> pa.Table:
            return bronze_n

        return Runtime(self.store, lambda: Definitions([bronze_n, silver_n]), project=Path("/project"), now=lambda: NOW)

    def run(self, run: str, stamp: int, *, rerun: bool = False) -> RunResult:
        request = RunRequest(run_id=run, selection="*", parameters={"stamp": stamp}, rerun=rerun, requested_at=NOW)
        return apply_local(self.runtime(), request, threads=4)


def test_what_a_published_unit_was_made_from_has_been_published_before() -> None:
    chain = Chain()
    runs = [chain.run("run-1", 1), chain.run("run-2", 2)]
    chain.stamp = 2
    runs += [chain.run("run-3", 1), chain.run("run-4", 1, rerun=True)]  # the third takes the bronze of the first over, and makes silver
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert [run.commit_count for run in runs] == [16, 16, 16, 16]
    catalog = chain.runtime().catalog
    published: set[str] = set()
    for number in range(1, catalog.head().number + 1):
        entries = catalog.view(number).all_entries().values()
        published |= {entry.record for entry in entries}
        for record in map(catalog.record, (entry.record for entry in entries)):
            assert isinstance(record, Materialization)
            assert {each.record for each in record.inputs} <= published


@pytest.mark.parametrize("commit", ["window", "unit"])
def test_both_executors_write_the_same_history(commit: str) -> None:
    one, other = Project(commit), Project(commit)
    assert one.local().commits == other.durable().commits
    one.stamp = other.stamp = 2
    assert (one.local().commits, one.log()) == (other.durable().commits, other.log())


def test_a_run_with_nothing_to_do_publishes_nothing_on_either_executor() -> None:
    project = Project("window")
    project.local()
    before = project.log()
    project.local(), project.durable()
    assert project.log() == before


def test_how_often_it_is_published_does_not_change_what_is_published() -> None:
    states = []
    for commit in ("run", "window", "unit"):
        project = Project(commit)
        project.local()
        states.append({str(unit): entry.data_version for unit, entry in project.runtime().catalog.view().all_entries().items()})
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_window_that_is_not_whole_is_held_back_and_so_is_every_later_one(executor: str) -> None:
    project = Project("window")

    def fail(day: str) -> None:
        if day == "d4":
            raise ValueError("no luck")

    project.on_day = fail
    result: RunResult = getattr(project, executor)()
    assert project.published() == days(0, 1, 2)
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert result.error.message == (
        "1 unit failed, so the rest was not published. What had been published before stays: commit 1 with 6 changes."
    )
    assert (result.commit, result.commit_count, result.changed) == (1, 1, 6)
    project.on_day = lambda _: None
    again: RunResult = getattr(project, executor)()
    assert again.status is RunStatus.SUCCEEDED
    assert project.published() == [*days(0, 1, 2, 3, 4, 5, 6, 7), "gold.sum"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_units_that_succeed_are_published_though_others_fail(executor: str) -> None:
    project = Project("unit")

    def fail(day: str) -> None:
        if day == "d4":
            raise ValueError("no luck")

    project.on_day = fail
    result: RunResult = getattr(project, executor)()
    assert project.published() == days(0, 1, 2, 3, 5, 6, 7)
    assert result.error is not None
    assert result.error.message.endswith("What had been published before stays: 7 commits, 1 to 7, with 14 changes.")


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("commit", ["window", "unit"])
def test_a_conflict_ends_the_run_names_both_writers_and_says_what_had_been_published(executor: str, commit: str) -> None:
    project = Project(commit)
    project.local()
    project.stamp = 2
    catalog = project.runtime().catalog

    def interfere(day: str) -> None:
        if day == ("d5" if commit == "window" else "d3"):
            catalog.commit({unit_key("bronze.n@d4"): None}, base=catalog.head().number, author="eve", reason="mine", at=NOW)

    project.on_day = interfere
    result: RunResult = getattr(project, executor)()
    assert (result.status, result.error and result.error.code) == (RunStatus.FAILED, "catalog-conflict")
    assert result.error is not None
    message = result.error.message
    assert message.startswith("`bronze.n@d4` was changed by eve with log entry ")
    assert "after run `run-2` (ada) was planned" in message
    assert "What had been published before stays: " in message
    made = {part for _, run, part, _, _ in project.log() if run == "run-2"}
    assert made == ({"window-000000"} if commit == "window" else {f"unit-{day:06d}" for day in (0, 1, 2, 3, 5)})
    assert {each.part for each in result.commits} == made


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("commit", ["window", "unit"])
def test_a_fence_stops_everything_after_it(executor: str, commit: str) -> None:
    project = Project(commit)
    runtime = project.runtime()

    def cancel(day: str) -> None:
        if day == "d4":
            runtime.catalog.fence("run-1", author="eve", reason="wrong", at=NOW)
            runtime.runs.request_cancel(RunId("run-1"), CancelRecord(author="eve", reason="wrong", requested_at=NOW))

    project.on_day = cancel
    result: RunResult = getattr(project, executor)()
    assert result.status is RunStatus.CANCELED
    assert result.error is not None
    assert "What had been published before stays: " in result.error.message
    assert project.published() == (days(0, 1, 2) if commit == "window" else days(0, 1, 2, 3))
    assert [kind for kind, *_ in project.log()][-1] == "fence"
    assert result.commit_count == len(project.log()) - 1


def _recorded(commit: str) -> tuple[Project, str]:
    """A run of which the first tranche has been recorded, and the second, and the first published."""
    project = Project(commit)
    runtime = project.runtime()
    stopped: list[int] = []

    def publish(runtime: Runtime, run: RunId, plan: str, number: int) -> Any:
        if number == 1:
            stopped.append(number)
            raise Crash
        return publish_tranche(runtime, run, plan, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidemill.execution.local.publish_tranche", publish)
        with pytest.raises(Crash):
            apply_local(runtime, project.request(), threads=1)
    record = runtime.runs.plan(RunId("run-1"))
    assert record is not None
    return project, record.plan


def _copy(store: BlobStore) -> MemoryStore:
    copied = MemoryStore()
    for name in store.names(""):
        blob = store.get(name)
        assert blob is not None
        copied.create(name, blob.data)
    return copied


def test_a_crash_before_or_after_any_call_of_making_and_publishing_a_unit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    project = Project("unit")
    runtime = project.runtime()
    runtime.runs.create(project.request())
    tranche = open_tranche(runtime, RunId("run-1"), plan_run(runtime, RunId("run-1")).plan, 0)
    (batch, *_) = TrancheProgress(tranche).take(1)
    command = MaterializeUnits.of("run-1", tranche, batch)

    def make(store: BlobStore) -> Any:
        return materialize_units(Project("unit", store).runtime(), command)

    undisturbed = FaultyStore(_copy(project.store))
    make(undisturbed)
    history = Project("unit", undisturbed.inner).log()
    assert [part for _, _, part, _, _ in history] == ["unit-000000"]
    met = 0
    for number, fault in itertools.product(range(len(undisturbed.calls)), Fault):
        store = FaultyStore(_copy(project.store), at({number: fault}))
        try:
            make(store)
        except (Crash, Exception):
            make(store.inner)
        assert Project("unit", store.inner).log() == history, (number, fault, store.calls[number])
        met += len(store.met)
    assert met > 60


@pytest.mark.parametrize("commit", ["window", "unit"])
def test_a_crash_before_or_after_any_call_of_publishing_changes_nothing(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    project, plan = _recorded(commit)
    run = RunId("run-1")

    def publish(store: BlobStore) -> Any:
        return publish_tranche(Project(commit, store).runtime(), run, plan, 1)

    undisturbed = FaultyStore(_copy(project.store))
    expected = publish(undisturbed)
    history = Project(commit, undisturbed.inner).log()
    assert len(expected.commits) == (1 if commit == "window" else 3)

    def points() -> Iterator[tuple[int, Fault]]:
        return itertools.product(range(len(undisturbed.calls)), Fault)

    met = 0
    for number, fault in points():
        store = FaultyStore(_copy(project.store), at({number: fault}))
        try:
            publish(store)
        except (Crash, Exception):
            assert publish(store.inner) == expected
        assert Project(commit, store.inner).log() == history, (number, fault, store.calls[number])
        met += len(store.met)
    assert met > 60
