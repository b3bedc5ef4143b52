"""Numbers, times and states in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

COLOURS = {"succeeded": "green", "failed": "red", "canceled": "yellow", "running": "cyan", "pending": "cyan"}
MARKS = {"succeeded": "✔", "failed": "✘", "canceled": "■", "running": "▶", "pending": "…"}


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes in decimal units: `812 B`, `4.2 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def plural(count: int, noun: str) -> str:
    """`1 unit`, `12 units`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def instant(at: datetime | None) -> str:
    """An instant in UTC, to the second; `-` for none."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def span(keys: Sequence[str]) -> str:
    """Some partitions, in order, in few words."""
    named = [key for key in keys if key]
    if not named:
        return ""
    return ", ".join(named) if len(named) <= 3 else f"{named[0]} … {named[-1]}"


def printable(text: str) -> str:
    """Text from somebody's data, fit for a terminal: what would move the cursor or change colours becomes `�`."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)
