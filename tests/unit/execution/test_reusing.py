"""Results that exist already are taken over by the plan: made for another partition, on another branch, or before code was changed back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tidemill import AssetContext, Definitions, StaticPartitions, asset, external_asset
from tidemill.execution.local import apply_local
from tidemill.execution.planning import make_plan
from tidemill.execution.reusing import Finder
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.keys import unit_key
from tidemill.model.runs import RunRequest, RunResult
from tidemill.plan.stored import plan_id
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import FaultyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_runs = itertools.count(1)


class Days:
    """Three days of one source, a copy of each, and a sum of each copy."""

    def __init__(self, days: int = 3) -> None:
        self.store = FaultyStore(MemoryStore())
        self.days = [f"d{day:04d}" for day in range(1, days + 1)]
        self.rows: dict[str, list[int]] = {day: [number] for number, day in enumerate(self.days)}
        self.version = "1"
        self.calls: list[str] = []

    def specs(self) -> Iterator[Any]:
        days = StaticPartitions(self.days)

        @external_asset(key="raw.n", partitions=days)
        def raw(context: AssetContext) -> pa.Table:
            return pa.table({"n": pa.array(self.rows[context.partition_key], pa.int64())})

        @asset(key="bronze.n", partitions=days, inputs={"raw": "raw.n"}, code_version=self.version)
        def bronze(raw: pa.Table) -> pa.Table:
            self.calls.append("bronze")
            return raw

        @asset(key="silver.n", partitions=days, inputs={"bronze": "bronze.n"}, code_version="1")
        def silver(bronze: pa.Table) -> pa.Table:
            self.calls.append("silver")
            return pa.table({"rows": [bronze.num_rows]})

        yield from (raw, bronze, silver)

    def runtime(self, branch: str = "main") -> Runtime:
        return Runtime(self.store, lambda: Definitions(list(self.specs())), project=Path("/project"), branch=branch, now=lambda: NOW)

    def request(self, branch: str = "main", **more: Any) -> RunRequest:
        return RunRequest(run_id=f"r-{next(_runs)}", selection="*", branch=branch, requested_at=NOW, **more)

    def run(self, branch: str = "main", **more: Any) -> RunResult:
        return apply_local(self.runtime(branch), self.request(branch, **more), threads=1)

    def counts(self, branch: str = "main", **more: Any) -> dict[str, int]:
        counts = make_plan(self.runtime(branch), self.request(branch, **more)).counts()
        return {action: count for action, count in counts.items() if count}


@pytest.fixture
def days() -> Days:
    return Days()


def test_a_result_made_for_another_partition_is_taken_over_with_a_record_of_its_own(days: Days) -> None:
    days.run()
    days.rows["d0003"] = days.rows["d0001"]
    days.calls.clear()
    assert days.counts() == {"reuse": 2, "skip": 4}  # its version is known at once, so what reads it is looked for too
    result = days.run()
    assert (days.calls, sum(each.reused for each in result.assets), result.changed) == ([], 2, 3)
    runtime = days.runtime()
    view = runtime.catalog.view()
    first, third = (view.entry(unit_key(f"bronze.n@{day}")) for day in ("d0001", "d0003"))
    assert first is not None
    assert third is not None
    assert (first.data_version, first.fingerprint) == (third.data_version, third.fingerprint)
    record, other = runtime.catalog.record(third.record), runtime.catalog.record(first.record)
    assert isinstance(record, Materialization)
    assert isinstance(other, Materialization)
    assert (record.partition, record.files, record.inputs[0].partition) == ("d0003", other.files, "d0003")
    assert days.counts() == {"skip": 6}


def test_a_result_made_on_another_branch_is_taken_over(days: Days) -> None:
    days.runtime().catalog.commit({}, base=0, author="ada", reason="", at=NOW)
    days.run()
    days.runtime().catalog.create_branch("trial", author="ada", reason="", at=NOW)
    days.rows["d0002"] = [7, 8]
    days.run("trial")
    days.calls.clear()
    assert days.counts() == {"reuse": 2, "skip": 4}
    result = days.run()
    assert (days.calls, result.changed) == ([], 3)


def test_code_that_was_changed_back_runs_nothing(days: Days) -> None:
    days.run()
    days.version = "2"
    assert days.counts() == {"run": 3, "wait": 3}
    days.run()
    days.version = "1"
    days.calls.clear()
    assert days.counts() == {"reuse": 3, "skip": 3}
    days.run()
    assert days.calls == []


def test_a_forced_run_takes_nothing_over(days: Days) -> None:
    days.run()
    days.rows["d0003"] = days.rows["d0001"]
    assert days.counts(rerun=True) == {"run": 6}


def test_the_plan_is_the_same_byte_for_byte_and_writes_the_same_records(days: Days) -> None:
    days.run()
    days.rows["d0003"] = days.rows["d0001"]
    first = plan_id(make_plan(days.runtime(), days.request()))
    stored = set(days.store.names(""))
    assert plan_id(make_plan(days.runtime(), days.request())) == first
    assert set(days.store.names("")) == stored


def test_looking_for_results_is_bounded_and_the_rest_is_found_by_activities() -> None:
    days = Days(12)
    days.run()
    days.version = "2"
    days.run()
    days.version = "1"
    runtime, request = days.runtime(), days.request()
    days.store.calls.clear()
    plan = make_plan(runtime, request, find=Finder(runtime.catalog, 5))
    assert sum(call.name.startswith("fingerprints/") for call in days.store.calls) == 5
    assert {action: count for action, count in plan.counts().items() if count} == {"run": 7, "reuse": 5, "skip": 5, "wait": 7}


def test_a_claim_on_a_result_that_is_gone_counts_for_nothing(days: Days) -> None:
    days.run()
    held = days.runtime().catalog.view().entry(unit_key("bronze.n@d0001"))
    assert held is not None
    days.rows["d0003"] = days.rows["d0001"]
    days.store.delete(f"objects/{held.record[:2]}/{held.record}")
    assert days.counts() == {"run": 1, "skip": 4, "wait": 1}
