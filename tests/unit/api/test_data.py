from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.api.world import World, json_of
from tidemill.api import data
from tidemill.api.http import json_response
from tidemill.api.rows import to_rows
from tidemill.model.facts import Materialization
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey

SILVER = "/assets/silver.orders/data"


@pytest.fixture(scope="module")
def world() -> World:
    world = World(executes=True)
    world.run("+gold.total")
    return world


def test_rows_of_one_partition(world: World) -> None:
    assert json_of(world.get(SILVER, partition="2013-02", columns="month,amount")) == {
        "asset": "silver.orders",
        "partitions": ["2013-02"],
        "row_count": 3,
        "columns": [{"name": "month", "type": "string", "nullable": True}, {"name": "amount", "type": "double", "nullable": True}],
        "rows": [{"month": "2013-02", "amount": 1.5}, {"month": "2013-02", "amount": 2.5}, {"month": "2013-02", "amount": None}],
    }


def test_all_partitions_in_order_up_to_the_limit(world: World) -> None:
    found = json_of(world.get(SILVER, limit="4", columns="month"))
    assert (found["row_count"], found["partitions"]) == (6, ["2013-01", "2013-02"])
    assert [row["month"] for row in found["rows"]] == ["2013-01"] * 3 + ["2013-02"]


def test_no_more_partitions_are_read_than_the_limit_needs(world: World) -> None:
    assert json_of(world.get(SILVER, limit="3"))["partitions"] == ["2013-01"]
    none = json_of(world.get(SILVER, limit="0"))
    assert (none["rows"], len(none["columns"]), none["row_count"]) == ([], 4, 6)


def test_a_whole_partition_as_parquet_is_the_stored_file_byte_for_byte(world: World) -> None:
    reply = world.get(SILVER, partition="2013-01", format="parquet")
    entry = world.runtime.catalog.view().entry(UnitKey(AssetKey("silver.orders"), PartitionKey("2013-01")))
    assert entry is not None
    record = world.runtime.catalog.record(entry.record)
    assert isinstance(record, Materialization)
    assert reply.body == world.runtime.objects.get(record.files[0].sha256)
    assert reply.media_type == "application/vnd.apache.parquet"
    assert reply.headers["Tidemill-Data-Version"] == record.data_version
    assert reply.headers["Content-Disposition"] == 'attachment; filename="silver.orders@2013-01.parquet"'


def test_all_partitions_as_one_parquet_file(world: World) -> None:
    reply = world.ask("GET", SILVER, headers={"Accept": "application/vnd.apache.parquet"})
    table = pq.read_table(pa.BufferReader(reply.body))
    assert table.num_rows == 6
    assert table.column("month").to_pylist() == ["2013-01"] * 3 + ["2013-02"] * 3


def test_an_arrow_stream_with_columns_and_limit(world: World) -> None:
    reply = world.ask("GET", SILVER, query={"columns": "id", "limit": "5"}, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert reply.media_type == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(reply.body).read_all() == pa.table({"id": [1, 2, 3, 1, 2]})


def test_browsers_and_curl_get_json(world: World) -> None:
    for accept in ("*/*", "", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"):
        assert world.ask("GET", SILVER, headers={"Accept": accept}).media_type == "application/json"


def test_the_preferred_type_wins(world: World) -> None:
    reply = world.ask("GET", SILVER, headers={"Accept": "application/json;q=0.2, application/vnd.apache.arrow.stream;q=0.9"})
    assert reply.media_type == "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize("accept", ["text/csv", "application/json;q=0", "image/*"])
def test_what_cannot_be_sent_is_406_with_the_choice(world: World, accept: str) -> None:
    reply = world.ask("GET", SILVER, headers={"Accept": accept})
    assert (reply.status, json_of(reply)["code"]) == (406, "not-acceptable")
    assert "`application/vnd.apache.parquet`" in json_of(reply)["hint"]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (SILVER, {"partition": "2014-01"}, 404, "partition-not-found"),
        ("/assets/gold.total/data", {"partition": "2013-01"}, 404, "partition-not-found"),
        ("/assets/gold.broken/data", {}, 404, "not-materialized"),
        ("/assets/raw.orders/data", {}, 409, "not-stored"),
        (SILVER, {"columns": "amoun"}, 400, "column-not-found"),
        (SILVER, {"limit": "10001"}, 400, "invalid-query"),
        (SILVER, {"format": "csv"}, 400, "invalid-query"),
    ],
)
def test_what_is_not_there_is_said(world: World, path: str, query: dict[str, str], status: int, code: str) -> None:
    reply = world.get(path, **query)
    assert (reply.status, json_of(reply)["code"]) == (status, code)


def test_too_much_data_is_refused_before_it_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MAX_BYTES", 2000)
    reply = world.get(SILVER, format="arrow")
    assert (reply.status, json_of(reply)["code"]) == (422, "too-much-data")
    assert world.get(SILVER, format="arrow", partition="2013-01").status == 200
    assert world.get(SILVER, limit="3").status == 200


def test_every_kind_of_value_has_a_json_spelling() -> None:
    instant = datetime(2013, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "instant": pa.array([instant], pa.timestamp("us", "UTC")),
            "nanos": pa.array([1357095845000000001], pa.timestamp("ns", "UTC")),
            "local": pa.array([datetime.fromisoformat("2013-01-02")], pa.timestamp("s")),
            "far": pa.array([400_000_000_000], pa.timestamp("s")),
            "day": [date(2013, 1, 2)],
            "time": [time(1, 2, 3)],
            "span": [timedelta(seconds=90)],
            "money": [Decimal("1.50")],
            "bytes": [b"\x00\xff"],
            "nan": [float("nan")],
            "infinite": [float("inf")],
            "big": pa.array([2**63], pa.uint64()),
            "list": [[1, None]],
            "struct": [{"a": 1}],
            "dictionary": pa.array(["x"]).dictionary_encode(),
            "null": pa.nulls(1),
        }
    )
    (row,) = to_rows(table)
    assert json_of(json_response(row)) == {
        "instant": "2013-01-02T03:04:05Z",
        "nanos": "2013-01-02T03:04:05.000000001Z",
        "local": "2013-01-02T00:00:00",
        "far": "14645-06-30 15:06:40",
        "day": "2013-01-02",
        "time": "01:02:03",
        "span": "PT90S",
        "money": "1.50",
        "bytes": "AP8=",
        "nan": None,
        "infinite": None,
        "big": 9223372036854775808,
        "list": [1, None],
        "struct": {"a": 1},
        "dictionary": "x",
        "null": None,
    }
