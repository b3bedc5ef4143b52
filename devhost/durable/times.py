"""Instants as the engine counts and prints them: 100-nanosecond ticks since 1970 and ISO text with up to seven digits."""

from __future__ import annotations

import calendar
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TICKS_PER_SECOND = 10_000_000


def now_ticks() -> int:
    """The wall clock in ticks."""
    return time.time_ns() // 100


def now_text() -> str:
    """The wall clock as text."""
    return to_text(now_ticks())


def to_text(ticks: int) -> str:
    """ISO 8601 UTC with `Z`; trailing zeros of the fraction are left out."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    return f"{_whole(seconds)}.{fraction:07d}".rstrip("0").rstrip(".") + "Z"


def to_round_trip_text(ticks: int) -> str:
    """ISO 8601 UTC with `Z` and always seven digits."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    return f"{_whole(seconds)}.{fraction:07d}Z"


@lru_cache(maxsize=4)
def _whole(seconds: int) -> str:
    """An instant without its fraction; thousands in a row are of the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def to_ticks(text: str) -> int:
    """Inverse of `to_text`; accepts any ISO date and time, without zone meaning UTC.

    Raises:
        ValueError: not a date and time.
    """
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset() or timedelta()
    ticks = (
        (calendar.timegm(moment.timetuple()) * TICKS_PER_SECOND)
        + moment.microsecond * 10
        - round(offset.total_seconds() * TICKS_PER_SECOND)
    )
    dot = text.rfind(".")
    if dot > 0:
        digits = "".join(character for character in text[dot + 1 : dot + 8] if character.isdigit())
        if len(digits) == 7:
            ticks += int(digits[6])
    return ticks


def whole_seconds(text: str) -> str:
    """The instant cut to seconds, as status replies print it."""
    return _whole(to_ticks(text) // TICKS_PER_SECOND) + "Z"


def local_text(text: str) -> str:
    """The instant in the host's zone with its offset, as history replies print scheduled times."""
    ticks = to_ticks(text)
    moment = datetime.fromtimestamp(ticks // TICKS_PER_SECOND, UTC).astimezone()
    fraction = f".{ticks % TICKS_PER_SECOND:07d}".rstrip("0").rstrip(".")
    zone = moment.strftime("%z")
    return f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}{fraction}{zone[:3]}:{zone[3:]}"
