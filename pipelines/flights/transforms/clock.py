"""Instants from clock readings. The files give local times as hour × 100 + minute, each on the clock of its own airport.

A departure needs no time zone: `time_hour` is already an instant, and a delay is a number of minutes. An arrival needs the clock of the
destination: it is scheduled for the first time after departure that this clock shows `sched_arr_time`. Arrow's own time zone functions need
the machine's time zone files, which small containers lack; Python's `zoneinfo` also reads those of the package `tzdata`, so offsets are asked
of it, once for every zone and change of clocks, and applied to whole columns.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

WALL_CLOCK = pa.timestamp("us")
"""What a local clock shows; a moment only together with a place. Instants are `timestamp("us", "UTC")`."""

_DAY = 24 * 60 * 60
_MICRO = 1_000_000
_MINUTES_A_DAY = 1440


class Change(NamedTuple):
    """A zone's offset from UTC changes; all three in seconds."""

    instant: int
    before: int
    after: int


def later(moment: pa.ChunkedArray, minutes: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants or wall clock times that many minutes later, earlier where negative; null where either is."""
    return pc.add(moment, pc.multiply(minutes.cast(pa.int64()), 60 * _MICRO).cast(pa.duration("us")))


def minute_of_day(reading: pa.ChunkedArray) -> pa.ChunkedArray:
    """Minutes since midnight of a reading such as 1705; 2400 is midnight too.

    Raises:
        ValueError: a clock cannot show it, such as 1775 or 2401.
    """
    hours = pc.divide(reading, 100)
    minutes = pc.subtract(reading, pc.multiply(hours, 40))
    past_hour = pc.subtract(reading, pc.multiply(hours, 100))
    wrong = pc.or_(pc.or_(pc.less(reading, 0), pc.greater(reading, 2400)), pc.greater(past_hour, 59))
    if pc.any(wrong).as_py():
        raise ValueError(f"No clock shows {reading[pc.index(wrong, True).as_py()]}: a time is written as hour × 100 + minute, 0 to 2400.")
    return pc.if_else(pc.equal(minutes, _MINUTES_A_DAY), 0, minutes)


def calendar_date(year: pa.ChunkedArray, month: pa.ChunkedArray, day: pa.ChunkedArray) -> pa.Array:
    """The days as date32.

    Raises:
        ValueError: there is no such day.
    """
    number = pc.add(pc.multiply(year, 10_000), pc.add(pc.multiply(month, 100), day))
    days = pc.unique(number)
    dates = pa.array([date(each // 10_000, each // 100 % 100, each % 100) for each in days.to_pylist()], pa.date32())
    return dates.take(pc.index_in(number, value_set=days).combine_chunks())


def next_showing(departure: pa.ChunkedArray, minute: pa.ChunkedArray, zone: pa.ChunkedArray) -> pa.ChunkedArray:
    """The first instant from `departure` on, within a day, when a clock in `zone` shows that minute of the day; null where the zone is null.

    Raises:
        ZoneInfoNotFoundError: a zone has no rules.
    """
    there = pc.add(departure.cast(WALL_CLOCK), _offset(departure, zone, local=False))
    wait = pc.subtract(minute, pc.add(pc.multiply(pc.hour(there), 60), pc.minute(there)))
    arrival = later(there, pc.if_else(pc.less(wait, 0), pc.add(wait, _MINUTES_A_DAY), wait))
    return pc.subtract(arrival, _offset(arrival, zone, local=True)).cast(departure.type)


def _offset(moment: pa.ChunkedArray, zone: pa.ChunkedArray, *, local: bool) -> pa.ChunkedArray:
    """How far local clocks are ahead of UTC, as a duration, at instants or, if `local`, at times on those clocks.

    A local time that comes twice, when clocks go back, is taken as the first one; one that is skipped is read as if they had not yet moved.
    """
    seconds = pc.divide(moment.cast(pa.int64()), _MICRO)
    edges = pc.min_max(seconds).as_py()
    offset = pa.chunked_array([pa.nulls(len(moment), pa.int64())])
    if edges["min"] is None:
        return offset.cast(pa.duration("us"))
    for name in sorted(pc.unique(zone.drop_null()).to_pylist()):
        here = pc.equal(zone, name)
        start, *changes = changes_of_clock(name, edges["min"] - _DAY, edges["max"] + _DAY)
        offset = pc.if_else(pc.fill_null(here, False), start.after, offset)
        for change in changes:
            since = change.instant + max(change.before, change.after) if local else change.instant
            offset = pc.if_else(pc.fill_null(pc.and_(here, pc.greater_equal(seconds, since)), False), change.after, offset)
    return pc.multiply(offset, _MICRO).cast(pa.duration("us"))


def changes_of_clock(zone: str, first: int, last: int) -> list[Change]:
    """The offset a zone has at `first`, as a change that changes nothing, then every change up to a day after `last`, in order.

    Two changes that cancel each other within one day would be missed; there are none such.
    """
    rules = ZoneInfo(zone)

    def offset_at(instant: int) -> int:
        return round(datetime.fromtimestamp(instant, rules).utcoffset().total_seconds())  # type: ignore[union-attr]

    known = offset_at(first)
    changes = [Change(first, known, known)]
    for day in range(first, last + 1, _DAY):
        new = offset_at(day + _DAY)
        if new != known:
            low, high = day, day + _DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(middle) == known else (low, middle)
            changes.append(Change(high, known, new))
            known = new
    return changes
