"""What a query is given for its unit: windows in UTC, dimensions, and results that keep their columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tidemill import AssetContext, Window
from tidemill.definitions.sql import SqlText
from tidemill.execution.boundary import UserCodeFailed
from tidemill.execution.sql import run_sql
from tidemill.model.keys import AssetKey, PartitionKey

DAYS = [datetime(2013, 1, 31, tzinfo=UTC) + timedelta(days=days) for days in (1, 0, 2)]
FLIGHTS = pa.Table.from_arrays([pa.array([3, 1, 2], pa.int64()), pa.array(DAYS, pa.timestamp("us"))], ["id", "day"])
CONTEXT = AssetContext(
    asset_key=AssetKey("gold.x"),
    partition_key=PartitionKey("2013-02|EWR"),
    window=Window(datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)),
    dimensions={"month": "2013-02", "origin": "EWR"},
)


def test_windows_and_dimensions_are_bound_and_windows_are_utc() -> None:
    query = "SELECT id, $origin AS origin FROM flights WHERE day >= $window_start AND day < $window_end"
    rows = run_sql(SqlText(query), {"flights": FLIGHTS}, CONTEXT).to_pylist()
    assert rows == [{"id": 3, "origin": "EWR"}, {"id": 2, "origin": "EWR"}]


def test_an_empty_result_keeps_its_columns() -> None:
    result = run_sql(SqlText("SELECT id FROM flights WHERE false"), {"flights": FLIGHTS}, CONTEXT)
    assert (result.num_rows, result.schema) == (0, pa.schema([("id", pa.int64())]))


def test_a_query_from_a_file_is_named_by_it() -> None:
    with pytest.raises(UserCodeFailed, match=r"The query `sql/x\.sql` of `gold\.x@2013-02\|EWR` failed"):
        run_sql(SqlText("SELEC 1", "sql/x.sql"), {}, CONTEXT)


def test_an_unknown_table_is_answered_with_those_it_can_read() -> None:
    with pytest.raises(UserCodeFailed) as caught:
        run_sql(SqlText("SELECT * FROM planes"), {"flights": FLIGHTS}, CONTEXT)
    assert caught.value.error.hint == "It can read `flights`."
    assert not caught.value.error.retryable
