"""Lengths of time as .NET writes them, in settings and in messages."""

from __future__ import annotations

import re

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(\.\d{1,7})?)?")
_TICKS_PER_SECOND = 10_000_000


def duration_text(seconds: float) -> str:
    """A .NET constant-format duration: `[d.]hh:mm:ss[.fffffff]`."""
    ticks = round(seconds * _TICKS_PER_SECOND)
    days, rest = divmod(ticks, 86400 * _TICKS_PER_SECOND)
    whole, fraction = divmod(rest, _TICKS_PER_SECOND)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return (f"{days}." if days else "") + text + (f".{fraction:07d}" if fraction else "")


def parse_timespan(text: str) -> float | None:
    """Seconds of `[d.]hh:mm[:ss[.fffffff]]`; None when the text is no such thing or a part is out of range."""
    match = _TIMESPAN.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + float(match.group(5) or 0)
