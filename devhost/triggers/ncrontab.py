"""Schedules of timer triggers: NCRONTAB with six fields, cron with five, or a constant time span. Pure: time comes in as an argument.

    {second} {minute} {hour} {day} {month} {day of week}

Fields hold `*`, numbers, names (`jan`, `mon`), ranges, lists and steps. Day and day of week have both to fit (unlike Unix cron). Occurrences
are computed on the wall clock of a time zone: one that falls into the hour that a clock change skips happens after the gap, one in the
hour that comes twice happens once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from devhost.durations import parse_timespan

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_PART = re.compile(r"(\*|[0-9]+|[A-Za-z]+)(?:-([0-9]+|[A-Za-z]+))?(?:/([0-9]+))?")
_SEARCH_YEARS = 30


class BadSchedule(ValueError):
    """A schedule that cannot be read, or that never comes."""


class Schedule(Protocol):
    """When a timer fires."""

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence after `moment`, both aware; the result is in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantSchedule:
    """Every so often, counted from the last time."""

    interval: timedelta

    def next_after(self, moment: datetime) -> datetime:
        return (moment + self.interval).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """The values each field allows, and the zone whose clock they are read on."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        while True:
            local = self._next_local(local)
            found = local.replace(tzinfo=self.zone).astimezone(UTC)
            if found > moment:
                return found

    def _next_local(self, after: datetime) -> datetime:
        """The first fitting wall-clock time after `after`, both naive."""
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        day = start.replace(hour=0, minute=0, second=0)
        last = start.year + _SEARCH_YEARS
        while day.year <= last:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if day.day in self.days and day.isoweekday() % 7 in self.weekdays:
                found = self._first_time(day, max(day, start))
                if found is not None:
                    return found
            day += timedelta(days=1)
        raise BadSchedule("the schedule has no occurrence in the next thirty years")

    def _first_time(self, day: datetime, start: datetime) -> datetime | None:
        """The first fitting time of a day at or after `start`."""
        for hour in self.hours:
            for minute in self.minutes:
                if (hour, minute) < (start.hour, start.minute):
                    continue
                for second in self.seconds:
                    candidate = day.replace(hour=hour, minute=minute, second=second)
                    if candidate >= start:
                        return candidate
        return None


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """Reads a schedule expression.

    Raises:
        BadSchedule: it is none of the three forms, or never comes.
    """
    text = text.strip()
    if ":" in text:
        seconds = parse_timespan(text)
        if not seconds:
            raise BadSchedule(f"the schedule {text!r} is not a time span such as 00:05:00")
        return ConstantSchedule(timedelta(seconds=seconds))
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise BadSchedule(f"the schedule {text!r} has {len(fields)} fields; a timer needs six: second minute hour day month day-of-week")
    names = ("second", "minute", "hour", "day", "month", "day of week")
    ranges = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    values = [_field(field, *limits, name, text) for field, limits, name in zip(fields, ranges, names, strict=True)]
    seconds_, minutes, hours, days, months, weekdays = values
    schedule = CronSchedule(seconds_, minutes, hours, frozenset(days), frozenset(months), frozenset(weekdays), zone)
    try:
        schedule.next_after(datetime(2000, 1, 1, tzinfo=UTC))
    except BadSchedule:
        raise BadSchedule(f"the schedule {text!r} never comes") from None
    return schedule


def _field(field: str, low: int, high: int, name: str, schedule: str) -> tuple[int, ...]:
    """The values one field allows, sorted."""
    allowed: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise BadSchedule(f"the schedule {schedule!r} has a {name} field that cannot be read: {field!r}")
        first, last, step = match.groups()
        if first == "*":
            start, end = low, high
        else:
            start = _value(first, name, schedule)
            end = _value(last, name, schedule) if last else high if step else start
        if not (low <= start <= high and low <= end <= high) or (first == "*" and last):
            raise BadSchedule(f"the schedule {schedule!r} has a {name} field outside {low} to {high}: {field!r}")
        allowed.update(range(min(start, end), max(start, end) + 1, max(1, int(step or 1))))  # `fri-mon` is `mon-fri`, as it is upstream
    return tuple(sorted(allowed))


def _value(text: str, name: str, schedule: str) -> int:
    if text.isdecimal():
        return int(text)
    known, first = {"month": (_MONTHS, 1), "day of week": (_DAYS, 0)}.get(name, ((), 0))
    for number, full in enumerate(known, first):
        if full.startswith(text.lower()):  # the first that begins so: `ju` is June
            return number
    raise BadSchedule(f"the schedule {schedule!r} has a {name} field with the unknown name {text!r}")


def is_frequent(schedule: Schedule, moment: datetime) -> bool:
    """Whether two occurrences lie less than a minute apart; such timers are not monitored."""
    first = schedule.next_after(moment)
    return schedule.next_after(first) - first < timedelta(minutes=1)
