"""Partitions by time: hours, days, ISO weeks, months and years of a time zone.

Every grain numbers its windows with consecutive whole numbers, so that finding a key's place, the windows that overlap a span, and the last
complete window are arithmetic. Windows are computed in local time and kept in UTC: a day is 23, 24 or 25 hours long as its zone says.
Subtracting two local times of one zone ignores the change of the clock in between, which is why no local time leaves this module.
"""

from __future__ import annotations

import zoneinfo
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import ClassVar

from tidemill.definitions.partitions.base import PartitionsDefinition, Window
from tidemill.errors import DefinitionProblem, InvalidKey
from tidemill.model.keys import PartitionKey

_HOUR = timedelta(hours=1)
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class TimePartitions(PartitionsDefinition):
    """Consecutive windows of one grain. Use one of the subclasses."""

    start: str
    """Key of the first partition."""
    end: str | None = None
    """Key of the first partition that no longer belongs; None: open, every window that is over at `now` belongs."""
    timezone: str = "UTC"
    """IANA name of the zone whose clock cuts the windows."""
    _memo: list[tuple[int, tuple[PartitionKey, ...]]] = field(default_factory=list, init=False, repr=False, compare=False)

    grain: ClassVar[str]
    """`hourly`, `daily`, `weekly`, `monthly` or `yearly`."""
    spelling: ClassVar[str]
    """How a key is written, for messages."""

    def __post_init__(self) -> None:
        """Checks zone, start and end.

        Raises:
            DefinitionProblem: the zone is unknown, or the end is not after the start.
            InvalidKey: start or end is not a key of this grain.
        """
        place = type(self).__name__
        try:
            _ = self._zone
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
            hint = "Write an IANA name such as `Europe/Berlin`; on a machine without a time zone database install the package `tzdata`."
            raise DefinitionProblem(f"Time zone {self.timezone!r} is not known here.", place=place, hint=hint) from None
        for text in (self.start,) if self.end is None else (self.start, self.end):
            if self.ordinal(str(text)) is None:
                raise InvalidKey(f"{self.grain} partition", str(text), f"{self.spelling}, in the zone {self.timezone}")
        if self._fixed_stop is not None and self._fixed_stop <= self._first:
            raise DefinitionProblem(
                f"{place} ends at `{self.end}`, which is not after its start `{self.start}`.",
                place=place,
                hint="`end` is exclusive: the first partition that no longer belongs.",
            )

    # What a grain knows.

    @abstractmethod
    def ordinal(self, text: str) -> int | None:
        """The number of the window that `text` names; None if it is not the spelling of one. Says nothing about start and end."""

    @abstractmethod
    def format(self, ordinal: int) -> str:
        """The key of a window; the inverse of `ordinal`."""

    @abstractmethod
    def begin(self, ordinal: int) -> datetime:
        """The instant at which a window begins, in UTC. A local time that the clock skips means the moment of the skip."""

    @abstractmethod
    def ordinal_at(self, instant: datetime) -> int:
        """The number of the window that contains `instant` (aware)."""

    # What follows from it.

    def keys(self, now: datetime) -> Sequence[PartitionKey]:
        """From `start` up to `end`, or up to the last window that is over at `now`."""
        stop = self._stop(now)
        for known, keys in self._memo:
            if known == stop:
                return keys
        keys = tuple(map(PartitionKey, map(self.format, range(self._first, stop))))
        self._memo[:] = [(stop, keys)]
        return keys

    def position(self, key: str, now: datetime) -> int | None:
        """Where `key` stands in `keys(now)`, by arithmetic."""
        ordinal = self.ordinal(key)
        return ordinal - self._first if ordinal is not None and self._first <= ordinal < self._stop(now) else None

    def window(self, key: str) -> Window:
        """The time that `key` covers, in UTC.

        Raises:
            InvalidKey: it is not the spelling of a window of this grain.
        """
        ordinal = self.ordinal(key)
        if ordinal is None:
            raise InvalidKey(f"{self.grain} partition", key, f"{self.spelling}, in the zone {self.timezone}")
        return Window(self.begin(ordinal), self.begin(ordinal + 1))

    def overlapping(self, window: Window, now: datetime) -> Sequence[PartitionKey]:
        """The keys whose windows share time with `window`, in order. A window without duration shares none."""
        if window.start >= window.end:
            return ()
        first = max(self.ordinal_at(window.start), self._first)
        stop = min(self.ordinal_at(window.end - _MOMENT) + 1, self._stop(now))
        return self.keys(now)[first - self._first : stop - self._first] if first < stop else ()

    def rule(self) -> str:
        """Grain and zone: start and end say which keys there are, not what they mean."""
        return f"{self.grain} {self.timezone}"

    @cached_property
    def _zone(self) -> tzinfo:
        return UTC if self.timezone == "UTC" else zoneinfo.ZoneInfo(self.timezone)

    @cached_property
    def _first(self) -> int:
        first = self.ordinal(self.start)
        assert first is not None
        return first

    @cached_property
    def _fixed_stop(self) -> int | None:
        return None if self.end is None else self.ordinal(self.end)

    def _stop(self, now: datetime) -> int:
        return self._fixed_stop if self._fixed_stop is not None else max(self.ordinal_at(now), self._first)

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone)

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


class YearlyPartitions(TimePartitions):
    """Calendar years: `2013`."""

    grain = "yearly"
    spelling = "a year such as `2013`"

    def ordinal(self, text: str) -> int | None:
        """The year itself."""
        return int(text) if len(text) == 4 and text.isdecimal() and text.isascii() and 0 < int(text) < 9999 else None

    def format(self, ordinal: int) -> str:
        """Four digits."""
        return f"{ordinal:04d}"

    def begin(self, ordinal: int) -> datetime:
        """Midnight of the first of January."""
        return self._midnight(date(ordinal, 1, 1))

    def ordinal_at(self, instant: datetime) -> int:
        """The local year."""
        return self._local(instant).year


class MonthlyPartitions(TimePartitions):
    """Calendar months: `2013-01`."""

    grain = "monthly"
    spelling = "a month such as `2013-01`"

    def ordinal(self, text: str) -> int | None:
        """Months since the year 0."""
        day = _iso_date(text + "-01") if len(text) == 7 else None
        return None if day is None else day.year * 12 + day.month - 1

    def format(self, ordinal: int) -> str:
        """Year and month."""
        return f"{ordinal // 12:04d}-{ordinal % 12 + 1:02d}"

    def begin(self, ordinal: int) -> datetime:
        """Midnight of the first of the month."""
        return self._midnight(date(ordinal // 12, ordinal % 12 + 1, 1))

    def ordinal_at(self, instant: datetime) -> int:
        """The local month."""
        local = self._local(instant)
        return local.year * 12 + local.month - 1


class WeeklyPartitions(TimePartitions):
    """ISO weeks, from Monday to Sunday: `2013-W01`."""

    grain = "weekly"
    spelling = "an ISO week such as `2013-W01`"

    def ordinal(self, text: str) -> int | None:
        """Weeks since the Monday of the year 1."""
        if len(text) != 8 or text[4:6] != "-W":
            return None
        day = _iso_date(text + "-1")
        return None if day is None else (day.toordinal() - 1) // 7

    def format(self, ordinal: int) -> str:
        """ISO year and week."""
        year, week, _ = date.fromordinal(ordinal * 7 + 1).isocalendar()
        return f"{year:04d}-W{week:02d}"

    def begin(self, ordinal: int) -> datetime:
        """Midnight of Monday."""
        return self._midnight(date.fromordinal(ordinal * 7 + 1))

    def ordinal_at(self, instant: datetime) -> int:
        """The week of the local day."""
        return (self._local(instant).toordinal() - 1) // 7


class DailyPartitions(TimePartitions):
    """Days: `2013-01-31`."""

    grain = "daily"
    spelling = "a day such as `2013-01-31`"

    def ordinal(self, text: str) -> int | None:
        """The proleptic Gregorian ordinal."""
        day = _iso_date(text) if len(text) == 10 and text[4] == "-" and text[5] != "W" else None
        return None if day is None else day.toordinal()

    def format(self, ordinal: int) -> str:
        """The ISO date."""
        return date.fromordinal(ordinal).isoformat()

    def begin(self, ordinal: int) -> datetime:
        """Midnight."""
        return self._midnight(date.fromordinal(ordinal))

    def ordinal_at(self, instant: datetime) -> int:
        """The local day."""
        return self._local(instant).toordinal()


class HourlyPartitions(TimePartitions):
    """Hours, each sixty minutes long: `2013-01-31T05`. Where the clock goes back, the second pass through an hour is `2013-11-03T01.2`.

    Hours are counted from the start, so in the few zones that shift by half an hour a key may carry minutes: `2013-04-07T01:30.2`.
    """

    grain = "hourly"
    spelling = "an hour such as `2013-01-31T05`"

    def ordinal(self, text: str) -> int | None:
        """Whole hours since the start."""
        instant = self._instant(text)
        if instant is None:
            return None
        if text == self.start:
            return 0
        hours, rest = divmod(instant - self._origin, _HOUR)
        return None if rest else hours

    def format(self, ordinal: int) -> str:
        """Local hour, with minutes if there are any and `.2` for a second pass."""
        local = self._local(self.begin(ordinal))
        # Cutting what isoformat() gives is several times quicker than formatting field by field.
        return f"{local.isoformat()[: 16 if local.minute else 13]}{'.2' if local.fold else ''}"

    def begin(self, ordinal: int) -> datetime:
        """Start plus whole hours."""
        return self._origin + ordinal * _HOUR

    def ordinal_at(self, instant: datetime) -> int:
        """Whole hours since the start."""
        return (instant - self._origin) // _HOUR

    @cached_property
    def _origin(self) -> datetime:
        origin = self._instant(self.start)
        assert origin is not None
        return origin

    def _instant(self, text: str) -> datetime | None:
        second_pass = text.endswith(".2")
        clock = text.removesuffix(".2")
        minute = clock[14:] if clock[13:14] == ":" and clock[14:] != "00" else ""
        digits = clock[11:13] + minute
        if (
            clock[10:11] != "T"
            or len(digits) not in {2, 4}
            or not (digits.isdecimal() and digits.isascii())
            or len(clock) != (16 if minute else 13)
        ):
            return None
        day = _iso_date(clock[:10]) if clock[5:6] != "W" else None
        if day is None or int(digits[:2]) > 23 or int(minute or 0) > 59:
            return None
        local = datetime(day.year, day.month, day.day, int(digits[:2]), int(minute or 0), fold=int(second_pass), tzinfo=self._zone)
        instant = local.astimezone(UTC).replace(fold=0)
        # A local time that the clock skips, or a second pass where there is none, does not come back as it was written.
        back = self._local(instant)
        return instant if (back.replace(tzinfo=None), back.fold) == (local.replace(tzinfo=None), local.fold) else None


def _iso_date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1 < day.year < 9999 else None
