"""Clock readings become the right instants: also in the nights when the clocks change, and against Python's own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.flights.transforms import clock

ZONES = ("America/New_York", "America/Phoenix", "America/Los_Angeles", "Pacific/Honolulu", "Asia/Kathmandu", "Australia/Lord_Howe")
FIRST, LAST = datetime.fromisoformat("2012-12-30"), datetime.fromisoformat("2014-01-02")
INSTANT = pa.timestamp("us", "UTC")


def chunked(values: Sequence[object], type_: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


def next_showing(departure: datetime, minute: int, zone: str | None) -> datetime | None:
    found: list[datetime | None] = clock.next_showing(
        chunked([departure], INSTANT), chunked([minute], pa.int32()), chunked([zone], pa.string())
    ).to_pylist()
    return found[0]


@given(
    departures=st.lists(
        st.tuples(st.datetimes(FIRST, LAST), st.integers(0, 1439), st.sampled_from([*ZONES, None])), min_size=1, max_size=20
    )
)
def test_the_clock_there_shows_the_minute_within_a_day_of_departure(departures: list[tuple[datetime, int, str | None]]) -> None:
    columns = list(zip(*departures, strict=True))
    instants = [each.replace(second=0, microsecond=0, tzinfo=UTC) for each in columns[0]]
    found = clock.next_showing(chunked(instants, INSTANT), chunked(list(columns[1]), pa.int32()), chunked(list(columns[2]), pa.string()))
    assert found.type == INSTANT
    for departure, minute, zone, arrival in zip(instants, columns[1], columns[2], found.to_pylist(), strict=True):
        assert arrival == (None if zone is None else by_hand(departure, minute, ZoneInfo(zone)))


def by_hand(departure: datetime, minute: int, zone: ZoneInfo) -> datetime:
    """The same in Python's words: today there or tomorrow; twice shown means first; skipped means the clock not yet moved (fold 0)."""
    there = departure.astimezone(zone).replace(tzinfo=None, fold=0)
    candidate = there.replace(hour=minute // 60, minute=minute % 60)
    if candidate < there:
        candidate += timedelta(days=1)
    return candidate.replace(tzinfo=zone, fold=0).astimezone(UTC)


def test_the_clock_goes_forward_while_the_flight_is_in_the_air() -> None:
    saturday_2230 = datetime(2013, 3, 10, 3, 30, tzinfo=UTC)
    assert next_showing(saturday_2230, 3 * 60 + 30, "America/New_York") == datetime(2013, 3, 10, 7, 30, tzinfo=UTC)  # 4 hours, not 5


def test_the_clock_goes_back_while_the_flight_is_in_the_air() -> None:
    saturday_2230 = datetime(2013, 11, 3, 2, 30, tzinfo=UTC)
    assert next_showing(saturday_2230, 3 * 60 + 30, "America/New_York") == datetime(2013, 11, 3, 8, 30, tzinfo=UTC)  # 6 hours, not 5


def test_westward_an_evening_flight_arrives_the_same_evening() -> None:
    assert next_showing(datetime(2013, 7, 1, 23, 0, tzinfo=UTC), 22 * 60, "America/Los_Angeles") == datetime(2013, 7, 2, 5, 0, tzinfo=UTC)


def test_a_zone_that_does_not_exist_is_named() -> None:
    with pytest.raises(ZoneInfoNotFoundError, match="America/Gotham"):
        next_showing(datetime(2013, 7, 1, tzinfo=UTC), 0, "America/Gotham")


def test_changes_are_found_to_the_second() -> None:
    first, last = (int(datetime(2013, month, day, tzinfo=UTC).timestamp()) for month, day in ((1, 1), (12, 31)))
    start, *changes = clock.changes_of_clock("America/New_York", first, last)
    assert start == (first, -5 * 3600, -5 * 3600)
    assert [(datetime.fromtimestamp(change.instant, UTC), change.before, change.after) for change in changes] == [
        (datetime(2013, 3, 10, 7, tzinfo=UTC), -5 * 3600, -4 * 3600),
        (datetime(2013, 11, 3, 6, tzinfo=UTC), -4 * 3600, -5 * 3600),
    ]
    assert clock.changes_of_clock("America/Phoenix", first, last)[1:] == []


def test_minutes_of_the_day() -> None:
    readings = chunked([0, 1, 59, 100, 1705, 2359, 2400, None], pa.int32())
    assert clock.minute_of_day(readings).to_pylist() == [0, 1, 59, 60, 1025, 1439, 0, None]


@pytest.mark.parametrize("reading", [-1, 60, 1775, 2401])
def test_a_reading_no_clock_shows_is_refused(reading: int) -> None:
    with pytest.raises(ValueError, match=f"No clock shows {reading}:"):
        clock.minute_of_day(chunked([1200, reading], pa.int32()))


def test_calendar_dates() -> None:
    parts = [chunked(values, pa.int32()) for values in ([2013, 2012, 2013], [1, 2, 1], [31, 29, 31])]
    assert clock.calendar_date(*parts).to_pylist() == [date(2013, 1, 31), date(2012, 2, 29), date(2013, 1, 31)]
    with pytest.raises(ValueError, match="day"):
        clock.calendar_date(*(chunked([value], pa.int32()) for value in (2013, 2, 29)))


def test_later_and_earlier_and_unknown() -> None:
    moments = chunked([datetime(2013, 1, 1, tzinfo=UTC)] * 3, INSTANT)
    assert clock.later(moments, chunked([90, -1, None], pa.int32())).to_pylist() == [
        datetime(2013, 1, 1, 1, 30, tzinfo=UTC),
        datetime(2012, 12, 31, 23, 59, tzinfo=UTC),
        None,
    ]


def test_no_rows_give_no_rows() -> None:
    nothing = clock.next_showing(chunked([], INSTANT), chunked([], pa.int32()), chunked([], pa.string()))
    assert (len(nothing), nothing.type) == (0, INSTANT)
