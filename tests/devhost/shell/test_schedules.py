"""NCRONTAB schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.triggers.bindings import as_declared
from devhost.triggers.ncrontab import BadSchedule, CronSchedule, is_frequent, parse_schedule
from devhost.triggers.timer import ScheduleStatus

BERLIN = ZoneInfo("Europe/Berlin")


def following(schedule: str, after: str, count: int = 1, zone: ZoneInfo | None = None) -> list[str]:
    parsed = parse_schedule(schedule, zone or UTC)
    moment = datetime.fromisoformat(after).replace(tzinfo=zone or UTC)
    found = []
    for _ in range(count):
        moment = parsed.next_after(moment)
        found.append(moment.astimezone(zone or UTC).replace(tzinfo=None).isoformat(" "))
    return found


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("0 */5 * * * *", "2024-01-01 00:00", ["2024-01-01 00:05:00", "2024-01-01 00:10:00"]),
        ("*/5 * * * *", "2024-01-01 00:04:59", ["2024-01-01 00:05:00", "2024-01-01 00:10:00"]),
        ("30 0 9-17/4 * * MON-FRI", "2024-01-05 14:00", ["2024-01-05 17:00:30", "2024-01-08 09:00:30"]),
        ("0 0 0 29 feb *", "2023-01-01", ["2024-02-29 00:00:00", "2028-02-29 00:00:00"]),
        ("0 0 0 13 * FRI", "2024-01-01", ["2024-09-13 00:00:00", "2024-12-13 00:00:00"]),
        ("0 0 12 1,15 jan,July *", "2024-01-15 12:00", ["2024-07-01 12:00:00", "2024-07-15 12:00:00"]),
        ("0 0 0 * * 0", "2024-01-01", ["2024-01-07 00:00:00", "2024-01-14 00:00:00"]),
        ("0 50/5 23 31 12 *", "2024-12-31 23:54", ["2024-12-31 23:55:00", "2025-12-31 23:50:00"]),
        ("0 0 0 * * fri-mon", "2026-11-20 00:00", ["2026-11-23 00:00:00", "2026-11-24 00:00:00"]),
        ("0 0 0 1 ju *", "2026-01-01 00:00", ["2026-06-01 00:00:00", "2027-06-01 00:00:00"]),
        ("0 */0 * * * *", "2026-01-01 00:00", ["2026-01-01 00:01:00", "2026-01-01 00:02:00"]),
        ("01:30:00", "2024-01-01", ["2024-01-01 01:30:00", "2024-01-01 03:00:00"]),
        ("1.00:00:00", "2024-01-01", ["2024-01-02 00:00:00", "2024-01-03 00:00:00"]),
    ],
)
def test_the_next_occurrences(schedule: str, after: str, expected: list[str]) -> None:
    assert following(schedule, after, 2) == expected


def test_an_hour_that_the_clocks_skip_is_made_up_for_after_the_gap() -> None:
    assert following("0 30 2 * * *", "2024-03-30 03:00", 2, BERLIN) == ["2024-03-31 03:30:00", "2024-04-01 02:30:00"]


def test_an_hour_that_comes_twice_counts_once() -> None:
    assert following("0 30 2 * * *", "2024-10-26 03:00", 2, BERLIN) == ["2024-10-27 02:30:00", "2024-10-28 02:30:00"]


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("* * * *", "has 4 fields"),
        ("0 60 * * * *", "has a minute field outside 0 to 59"),
        ("0 0 24 * * *", "has a hour field outside 0 to 23"),
        ("0 0 0 0 * *", "has a day field outside 1 to 31"),
        ("0 0 0 * * 7", "has a day of week field outside 0 to 6"),
        ("0 0 0 30 feb *", "never comes"),
        ("0 0 0 * foo *", "unknown name 'foo'"),
        ("@daily", "has 1 fields"),
        ("25:00:00", "is not a time span"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_why(schedule: str, reason: str) -> None:
    with pytest.raises(BadSchedule) as error:
        parse_schedule(schedule, UTC)
    assert reason in str(error.value)


@given(
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    step=st.sampled_from([1, 2, 7, 30, 59]),
    hour=st.integers(0, 23),
)
def test_an_occurrence_fits_every_field_and_none_lies_between(moment: datetime, step: int, hour: int) -> None:
    schedule = parse_schedule(f"0 */{step} {hour} * * *", UTC)
    assert isinstance(schedule, CronSchedule)
    found = schedule.next_after(moment)
    assert found > moment
    assert (found.second, found.minute % step, found.hour) == (0, 0, hour)
    earlier = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while earlier < min(found, moment + timedelta(hours=3)):
        assert not (earlier.minute % step == 0 and earlier.hour == hour)
        earlier += timedelta(minutes=1)


def test_only_timers_of_a_minute_and_more_are_monitored() -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert is_frequent(parse_schedule("*/30 * * * * *", UTC), now)
    assert not is_frequent(parse_schedule("0 * * * * *", UTC), now)


def test_2_2_the_status_of_a_timer_that_never_ran_has_no_times_but_the_next() -> None:
    status = ScheduleStatus(None, datetime(2026, 1, 1, tzinfo=UTC), None).as_json()
    assert (status["Last"], status["LastUpdated"]) == ("0001-01-01T00:00:00", "0001-01-01T00:00:00")
    assert datetime.fromisoformat(status["Next"]) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "data_type", "handed_over"),
    [
        (b"a", "STRING", "a"),
        (b"\xff", "string", "\N{REPLACEMENT CHARACTER}"),
        ("a", "BINARY", b"a"),
        (b"a", None, b"a"),
        ("a", "STREAM", "a"),
    ],
)
def test_2_3_a_binding_may_ask_for_text_or_bytes(content: str | bytes, data_type: str | None, handed_over: str | bytes) -> None:
    assert as_declared(content, {"dataType": data_type} if data_type else {}) == handed_over
