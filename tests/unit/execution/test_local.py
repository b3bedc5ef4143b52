"""The in-process executor over a store in memory: what runs, what is reused, what fails, what is published."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tidemill import (
    AllPartitions,
    AssetContext,
    AssetSpec,
    Definitions,
    Input,
    MonthlyPartitions,
    Output,
    RetryPolicy,
    StaticPartitions,
    asset,
    external_asset,
    sql_asset,
)
from tidemill.errors import SourceUnavailable, UnknownAsset, UnknownParameter
from tidemill.execution.local import apply_local
from tidemill.execution.runs import CancelRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization, Observation
from tidemill.model.keys import RunId, UnitKey, unit_key
from tidemill.model.runs import AssetResult, RunRequest, RunResult, RunStatus
from tidemill.plan.build import InputMissing
from tidemill.storage.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = MonthlyPartitions(start="2025-01", end="2025-04")


class Project:
    """Three months of orders: a source, a copy, a SQL sum and a report over all months; every piece can be changed by a test."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.rows: dict[str, list[int]] = {"2025-01": [1, 2], "2025-02": [3], "2025-03": []}
        self.calls: list[str] = []
        self.copy: Callable[[pa.Table], Any] = lambda table: table
        self.retry: RetryPolicy | None = None
        self.report_version = "1"
        self.sum_sql = "SELECT sum(n)::BIGINT AS total FROM orders"
        self._runs = itertools.count(1)

    def specs(self) -> list[AssetSpec[..., Any]]:
        @external_asset(key="raw.orders", partitions=MONTHS)
        def raw_orders(context: AssetContext) -> pa.Table:
            if context.partition_key not in self.rows:
                raise FileNotFoundError(f"orders-{context.partition_key}.csv is missing")
            return pa.table({"n": pa.array(self.rows[context.partition_key], pa.int64())})

        @asset(key="bronze.orders", partitions=MONTHS, code_version="1", retry=self.retry or RetryPolicy(max_attempts=1))
        def bronze_orders(context: AssetContext, raw_orders: pa.Table) -> pa.Table:
            self.calls.append(f"bronze@{context.partition_key}")
            result: pa.Table = self.copy(raw_orders)
            return result

        sums = sql_asset(key="silver.sums", partitions=MONTHS, inputs={"orders": "bronze.orders"}, sql=self.sum_sql)

        @asset(
            key="gold.report",
            code_version=self.report_version,
            parameters={"factor": 1},
            inputs={"months": Input("silver.sums", mapping=AllPartitions())},
        )
        def gold_report(context: AssetContext, months: dict[str, pa.Table]) -> Output:
            self.calls.append("report")
            total = sum(table["total"][0].as_py() or 0 for table in months.values())
            return Output(pa.table({"total": [total * int(context.parameters["factor"] or 0)]}), metadata={"months": len(months)})

        return [raw_orders, bronze_orders, sums, gold_report]

    def runtime(self) -> Runtime:
        return Runtime(self.store, lambda: Definitions(self.specs()), project=Path("/project"), now=lambda: NOW)

    def run(self, selection: str = "*", **request: Any) -> RunResult:
        run = RunRequest(run_id=f"run-{next(self._runs)}", selection=selection, requested_at=NOW, **request)
        return apply_local(self.runtime(), run, threads=2)

    def table(self, unit: str) -> list[dict[str, Any]]:
        runtime = self.runtime()
        entry = runtime.catalog.view().entry(unit_key(unit))
        assert entry is not None, unit
        record = runtime.catalog.record(entry.record)
        assert isinstance(record, Materialization)
        rows: list[dict[str, Any]] = runtime.tables.read(entry.record, record).to_pylist()
        return rows

    def versions(self) -> dict[UnitKey, str]:
        return {unit: entry.data_version for unit, entry in self.runtime().catalog.view().all_entries().items()}


@pytest.fixture
def project() -> Project:
    return Project()


def by_asset(result: RunResult) -> dict[str, AssetResult]:
    return {each.asset: each for each in result.assets}


def test_a_run_makes_everything_and_publishes_it_in_one_commit(project: Project) -> None:
    result = project.run()
    assert result.status is RunStatus.SUCCEEDED
    assert result.commit == 1
    assert project.table("gold.report") == [{"total": 6}]
    assert project.table("silver.sums@2025-03") == [{"total": None}]
    assert {asset: each.succeeded for asset, each in by_asset(result).items()} == {"bronze.orders": 3, "silver.sums": 3, "gold.report": 1}
    assert result.changed == 10  # seven units and the three observations


def test_nothing_runs_and_nothing_is_committed_when_nothing_changed(project: Project) -> None:
    project.run()
    project.calls.clear()
    result = project.run()
    assert project.calls == []
    assert (result.status, result.commit, result.changed) == (RunStatus.SUCCEEDED, 1, 0)
    assert sum(each.up_to_date for each in result.assets) == 7


def test_late_rows_in_one_month_run_that_month_and_what_stands_above_it(project: Project) -> None:
    project.run()
    project.calls.clear()
    project.rows["2025-02"].append(10)
    result = project.run()
    assert project.calls == ["bronze@2025-02", "report"]
    assert by_asset(result)["silver.sums"].succeeded == 1
    assert project.table("gold.report") == [{"total": 16}]


def test_a_rebuilt_input_with_the_same_content_stops_the_wave_there(project: Project) -> None:
    project.run()
    project.calls.clear()
    project.rows["2025-01"] = [2, 1]
    result = project.run()
    # The month and its sum run; the sum is the same, so the report does not.
    assert project.calls == ["bronze@2025-01"]
    assert by_asset(result)["silver.sums"].succeeded == 1
    assert by_asset(result)["gold.report"].unchanged == 1


def test_a_changed_query_runs_alone(project: Project) -> None:
    project.run()
    project.calls.clear()
    project.sum_sql = "SELECT 2 * sum(n)::BIGINT AS total FROM orders -- doubled"
    project.run()
    assert project.calls == ["report"]
    assert project.table("gold.report") == [{"total": 12}]


def test_reformatting_a_query_runs_nothing(project: Project) -> None:
    project.run()
    project.calls.clear()
    project.sum_sql = "-- the total\nSELECT  sum(n)::BIGINT  AS total\nFROM orders"
    result = project.run()
    assert project.calls == []
    assert sum(each.up_to_date for each in result.assets) == 7


def test_a_parameter_changes_what_declares_it(project: Project) -> None:
    project.run()
    project.calls.clear()
    project.run(parameters={"factor": 10})
    assert project.calls == ["report"]
    assert project.table("gold.report") == [{"total": 60}]


def test_going_back_takes_the_earlier_result_over_without_an_activity(project: Project) -> None:
    project.run()
    project.run(parameters={"factor": 10})
    project.calls.clear()
    result = project.run()
    assert project.calls == []
    assert (by_asset(result)["gold.report"].reused, by_asset(result)["gold.report"].succeeded) == (1, 0)
    assert (result.status, result.changed) == (RunStatus.SUCCEEDED, 1)
    assert project.table("gold.report") == [{"total": 6}]


def test_rerun_runs_everything_again_and_changes_nothing(project: Project) -> None:
    project.run()
    before = project.versions()
    project.calls.clear()
    result = project.run(rerun=True)
    assert sorted(project.calls) == ["bronze@2025-01", "bronze@2025-02", "bronze@2025-03", "report"]
    assert project.versions() == before
    assert result.status is RunStatus.SUCCEEDED


def test_a_failed_unit_is_told_with_its_place_and_nothing_is_published(project: Project) -> None:
    def picky(table: pa.Table) -> pa.Table:
        if table.num_rows == 1:
            raise ValueError("one row is not enough")
        return table

    project.copy = picky
    result = project.run()
    assert result.status is RunStatus.FAILED
    assert result.commit == 0
    assert project.versions() == {}
    (failure,) = result.failures
    assert (failure.asset, failure.partition, failure.error.code) == ("bronze.orders", "2025-02", "user-code-failed")
    assert failure.error.message.startswith("`bronze.orders@2025-02` raised ValueError at ")
    assert failure.error.message.endswith("in `picky`: one row is not enough")
    assert result.error is not None
    assert result.error.message == "1 unit failed, so nothing was published: a run is published whole or not at all."
    assert by_asset(result)["gold.report"].skipped == 1


def test_after_mending_only_what_failed_runs(project: Project) -> None:
    good, project.copy = project.copy, lambda table: 1 / 0 if table.num_rows == 1 else table
    project.run()
    project.copy = good
    project.calls.clear()
    result = project.run()
    assert result.status is RunStatus.SUCCEEDED
    assert project.calls == ["bronze@2025-02", "report"]
    assert by_asset(result)["bronze.orders"].reused == 2


def test_a_failure_is_tried_again_as_its_policy_says(project: Project) -> None:
    attempts = itertools.count(1)
    project.retry = RetryPolicy(max_attempts=3, first_delay=timedelta(milliseconds=1), max_delay=timedelta(milliseconds=2))
    project.copy = lambda table: table if table.num_rows != 1 or next(attempts) == 3 else 1 / 0
    result = project.run()
    assert result.status is RunStatus.SUCCEEDED
    assert project.calls.count("bronze@2025-02") == 3


@pytest.mark.parametrize(
    ("returned", "code", "message"),
    [
        (lambda _: [1], "wrong-type", "`bronze.orders@2025-01` returned list, but an asset returns a pyarrow.Table."),
        (lambda _: None, "wrong-type", "`bronze.orders@2025-01` returned NoneType, but an asset returns a pyarrow.Table."),
        (lambda _: pa.table([[1], [2]], names=["a", "a"]), "wrong-schema", "`bronze.orders@2025-01` returned two columns of one name."),
    ],
)
def test_a_wrong_result_is_refused_with_one_sentence(
    project: Project, returned: Callable[[pa.Table], Any], code: str, message: str
) -> None:
    project.copy = returned
    result = project.run("bronze.orders", partitions="2025-01")
    (failure,) = result.failures
    assert (failure.error.code, failure.error.message, failure.error.stack) == (code, message, "")


def test_a_result_of_another_schema_is_refused_and_the_difference_is_named() -> None:
    store = MemoryStore()

    @asset(key="a.b", schema=pa.schema({"x": pa.int64(), "y": pa.string()}))
    def wrong() -> pa.Table:
        return pa.table({"x": ["text"], "z": [1]})

    runtime = Runtime(store, lambda: Definitions([wrong]), project=Path("/project"))
    result = apply_local(runtime, RunRequest(run_id="run-1", selection="*", requested_at=NOW))
    assert result.failures[0].error.message == (
        "`a.b` returned another schema than `a.b` declares: `y` is missing, `z` is not declared, `x` is string instead of int64."
    )


def test_a_source_that_is_missing_refuses_the_run_with_one_sentence(project: Project) -> None:
    del project.rows["2025-02"]
    with pytest.raises(SourceUnavailable) as refused:
        project.run()
    assert str(refused.value) == "External asset `raw.orders@2025-02` could not be loaded: orders-2025-02.csv is missing"


def test_a_source_that_changes_under_a_run_fails_the_unit_and_is_never_mixed_in(project: Project) -> None:
    seen: list[str] = []

    @external_asset(key="raw.moving")
    def moving(context: AssetContext) -> pa.Table:
        seen.append("load")
        return pa.table({"n": [len(seen)]})

    @asset(key="bronze.moving")
    def copy(raw_moving: pa.Table) -> pa.Table:
        return raw_moving

    runtime = Runtime(MemoryStore(), lambda: Definitions([moving, copy]), project=Path("/project"))
    result = apply_local(runtime, RunRequest(run_id="run-1", selection="*", requested_at=NOW))
    assert result.failures[0].error.code == "source-changed"


def test_an_input_without_a_version_refuses_the_plan(project: Project) -> None:
    with pytest.raises(InputMissing) as refused:
        project.run("gold.report")
    assert "`gold.report`: its input `silver.sums@2025-01` has never been materialized and is not selected" in str(refused.value)


def test_unknown_names_get_the_nearest_one(project: Project) -> None:
    with pytest.raises(UnknownAsset, match=r"Did you mean `gold\.report`"):
        project.run("gold.raport")
    with pytest.raises(UnknownParameter, match=r"Did you mean `factor`\?"):
        project.run(parameters={"facto": 2})
    with pytest.raises(UnknownParameter, match="Give a value of type int"):
        project.run(parameters={"factor": "ten"})


def test_a_cancelled_run_publishes_nothing(project: Project) -> None:
    runtime = project.runtime()
    request = RunRequest(run_id="run-x", selection="*", requested_at=NOW)
    runtime.runs.create(request)
    runtime.runs.request_cancel(RunId("run-x"), CancelRecord(author="ada", reason="wrong month", requested_at=NOW))
    result = apply_local(runtime, request)
    assert result.status is RunStatus.CANCELED
    assert result.error is not None
    assert result.error.message == "The run was cancelled by ada: wrong month. Nothing was published."
    assert project.versions() == {}


def test_a_fenced_run_cannot_commit_even_if_it_never_heard_of_the_cancellation(project: Project) -> None:
    runtime = project.runtime()
    original = project.copy

    def fence_then_copy(table: pa.Table) -> pa.Table:
        runtime.catalog.fence("run-f", author="ada", reason="", at=NOW)
        return original(table)

    project.copy = fence_then_copy
    result = apply_local(project.runtime(), RunRequest(run_id="run-f", selection="*", requested_at=NOW))
    assert result.status is RunStatus.CANCELED
    assert project.versions() == {}


def test_a_run_that_is_repeated_under_its_id_answers_with_its_first_result(project: Project) -> None:
    request = RunRequest(run_id="run-same", selection="*", requested_at=NOW)
    first = apply_local(project.runtime(), request)
    calls = list(project.calls)
    assert apply_local(project.runtime(), request) == first
    assert project.calls == calls


def test_records_say_exactly_what_was_read(project: Project) -> None:
    project.run()
    runtime = project.runtime()
    view = runtime.catalog.view()
    entry = view.entry(unit_key("silver.sums@2025-01"))
    source = view.entry(unit_key("raw.orders@2025-01"))
    assert entry is not None
    assert source is not None
    record = runtime.catalog.record(entry.record)
    assert isinstance(record, Materialization)
    bronze = view.entry(unit_key("bronze.orders@2025-01"))
    assert bronze is not None
    assert [(each.name, each.asset, each.data_version, each.record) for each in record.inputs] == [
        ("orders", "bronze.orders", bronze.data_version, bronze.record)
    ]
    assert isinstance(runtime.catalog.record(source.record), Observation)
    report = view.entry(unit_key("gold.report"))
    assert report is not None
    found = runtime.catalog.record(report.record)
    assert isinstance(found, Materialization)
    assert found.metadata == {"months": 3}


def test_equal_content_is_shared_between_partitions_when_the_code_cannot_tell_them_apart(project: Project) -> None:
    project.rows = {"2025-01": [5], "2025-02": [5], "2025-03": [5]}
    result = project.run()
    assert by_asset(result)["silver.sums"].succeeded == 3
    records = [project.runtime().catalog.view().entry(unit_key(f"silver.sums@2025-0{month}")) for month in (1, 2, 3)]
    assert len({each.data_version for each in records if each}) == 1
    assert len({each.fingerprint for each in records if each}) == 1
    assert len({each.record for each in records if each}) == 3


def test_partitions_become_one_table_in_their_order_also_when_only_some_of_them_ran(project: Project) -> None:
    names = StaticPartitions(["zeta", "alpha", "midas"])
    rows = {"zeta": 1, "alpha": 2, "midas": 3}

    def specs() -> list[AssetSpec[..., Any]]:
        @external_asset(key="raw.names", partitions=names)
        def raw_names(context: AssetContext) -> pa.Table:
            return pa.table({"n": [rows[context.partition_key]]})

        @asset(key="bronze.names", partitions=names)
        def bronze_names(raw_names: pa.Table) -> pa.Table:
            return raw_names

        @asset(key="gold.all")
        def gold_all(bronze_names: pa.Table) -> pa.Table:
            return bronze_names

        return [raw_names, bronze_names, gold_all]

    store = MemoryStore()
    for number, expected in enumerate(([1, 2, 3], [1, 20, 3])):
        rows["alpha"] = expected[1]
        runtime = Runtime(store, lambda: Definitions(specs()), project=Path("/project"))
        apply_local(runtime, RunRequest(run_id=f"run-{number}", selection="*", requested_at=NOW))
        entry = runtime.catalog.view().entry(unit_key("gold.all"))
        assert entry is not None
        record = runtime.catalog.record(entry.record)
        assert isinstance(record, Materialization)
        assert runtime.tables.read(entry.record, record)["n"].to_pylist() == expected


def test_a_claim_that_was_torn_counts_for_nothing(project: Project) -> None:
    project.run()
    names = list(project.store.names("fingerprints/"))
    assert names
    for name in names:
        project.store.delete(name)
        project.store.create(name, b"")
    project.calls.clear()
    project.run(parameters={"factor": 3})
    project.run()
    assert project.calls == ["report", "report"]
    assert project.table("gold.report") == [{"total": 6}]


def test_equal_versions_of_two_sources_never_stand_for_each_other(project: Project) -> None:
    names = StaticPartitions(["a", "b"])

    @external_asset(key="raw.seen", partitions=names, observe=lambda _: "v1")
    def raw_seen(context: AssetContext) -> pa.Table:
        return pa.table({"n": [context.partition_key]})

    @asset(key="bronze.seen", partitions=names)
    def bronze_seen(raw_seen: pa.Table) -> pa.Table:
        return raw_seen

    runtime = Runtime(MemoryStore(), lambda: Definitions([raw_seen, bronze_seen]), project=Path("/project"))
    apply_local(runtime, RunRequest(run_id="run-1", selection="*", requested_at=NOW))
    for partition in ("a", "b"):
        entry = runtime.catalog.view().entry(unit_key(f"bronze.seen@{partition}"))
        assert entry is not None
        record = runtime.catalog.record(entry.record)
        assert isinstance(record, Materialization)
        assert runtime.tables.read(entry.record, record)["n"].to_pylist() == [partition]
