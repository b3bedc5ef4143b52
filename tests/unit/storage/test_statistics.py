"""Facts about columns: right, JSON, and the same however the values are held."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest

from tidemill.model.facts import Column
from tidemill.storage.formats.statistics import describe_columns


@pytest.mark.parametrize(
    ("values", "kind", "minimum", "maximum"),
    [
        ([3, None, 1], pa.int64(), 1, 3),
        ([2.5, float("nan"), -1.0], pa.float64(), -1.0, 2.5),
        ([float("inf"), 1.0], pa.float64(), 1.0, None),
        (["b", "a", None], pa.string(), "a", "b"),
        (["b", "a"], pa.large_string(), "a", "b"),
        (["b", "a"], pa.string_view(), "a", "b"),
        (["b", "a"], pa.dictionary(pa.int8(), pa.string()), "a", "b"),
        (["x" * 300, "a"], pa.string(), "a", None),
        ([True, False], pa.bool_(), False, True),
        ([Decimal("1.50"), Decimal("-2.25")], pa.decimal128(10, 2), "-2.25", "1.50"),
        ([date(2013, 1, 2), date(2013, 1, 1)], pa.date32(), "2013-01-01", "2013-01-02"),
        ([datetime(2013, 1, 1, 5)], pa.timestamp("us"), "2013-01-01T05:00:00", "2013-01-01T05:00:00"),  # noqa: DTZ001
        ([datetime(2013, 1, 1, 5, tzinfo=UTC)], pa.timestamp("us", "America/New_York"), "2013-01-01T05:00:00Z", "2013-01-01T05:00:00Z"),
        (
            [datetime(2013, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))],
            pa.timestamp("s", "+02:00"),
            "2013-01-01T03:00:00Z",
            "2013-01-01T03:00:00Z",
        ),
        ([1, 1999], pa.timestamp("ns"), "1970-01-01T00:00:00", "1970-01-01T00:00:00.000002"),
        ([b"a"], pa.binary(), None, None),
        ([[1]], pa.list_(pa.int8()), None, None),
        ([None, None], pa.int64(), None, None),
        ([], pa.int64(), None, None),
        ([None], pa.null(), None, None),
    ],
)
def test_bounds(values: list[object], kind: pa.DataType, minimum: object, maximum: object) -> None:
    (found,) = describe_columns(pa.table({"x": pa.array(values, kind)}))
    nulls = sum(value is None for value in values)
    assert found == Column(name="x", type=str(kind), nullable=True, null_count=nulls, minimum=minimum, maximum=maximum)  # type: ignore[arg-type]


def test_chunks_do_not_matter() -> None:
    whole = pa.table({"x": [1, None, 3], "y": ["a", "b", None]})
    assert describe_columns(pa.concat_tables([whole.slice(0, 1), whole.slice(1)])) == describe_columns(whole)
