"""What a management request asks for: its query, read as .NET reads it, and which page of a list it wants."""

from __future__ import annotations

import base64
import calendar
import math
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from devhost.durable.times import TICKS_PER_SECOND, to_ticks

_PAGE_SIZE: Final = 100
_BASE64_PROBLEM: Final = (
    "The input is not a valid Base-64 string as it contains a non-base 64 character, more than two padding characters, "
    "or an illegal character among the padding characters. "
)
_DATE_FORMS: Final = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT", "%d %b %Y", "%Y/%m/%d")
_STATUS_NAMES: Final = ("Running", "Completed", "ContinuedAsNew", "Failed", "Canceled", "Terminated", "Pending", "Suspended")


class BadPage(Exception):
    """A page of a list that cannot be; upstream finds out only when it asks storage for it."""

    def __init__(self, status: int, type_name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.type_name = type_name


class Query:
    """The query of a request, read as .NET reads it: names without regard to case, what cannot be parsed is not there."""

    def __init__(self, query: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str | None:
        values = self._values.get(name.lower())
        return ",".join(values) if values is not None else None

    def flag(self, name: str) -> bool | None:
        return {"true": True, "false": False}.get((self.text(name) or "").strip().lower())

    def number(self, name: str) -> float | None:
        try:
            number = float(self.text(name) or "")
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def page_size(self) -> int:
        """`top`, by default 100.

        Raises:
            BadPage: there is no such page.
        """
        try:
            size = int(self.text("top") or "")
        except ValueError:
            return _PAGE_SIZE
        if size < 0:
            raise BadPage(
                400, "System.ArgumentOutOfRangeException", f"capacity ('{size}') must be a non-negative value. (Parameter 'capacity')"
            )
        if size == 0:
            raise BadPage(400, "System.ArgumentException", "Take count must be positive and greater than 0.")
        return size if size < 2**31 else _PAGE_SIZE

    def ticks(self, name: str) -> int | None:
        """A `+` in a query is a blank, so an offset has to be escaped; as a blank it makes the time unreadable, here as there."""
        text = (self.text(name) or "").strip()
        try:
            return to_ticks(text)
        except ValueError:
            return _by_the_calendar(text)

    def statuses(self) -> list[str]:
        wanted = [value.strip() for text in self._values.get("runtimestatus", ()) for value in text.split(",")]
        numbered = [_STATUS_NAMES[int(value)] if value.isdigit() and int(value) < len(_STATUS_NAMES) else value for value in wanted]
        return [value for value in numbered if value in _STATUS_NAMES]


def _by_the_calendar(text: str) -> int | None:
    """The instant of a date in one of the other forms that .NET reads; None for anything else."""
    for form in _DATE_FORMS:
        try:
            return calendar.timegm(time.strptime(text, form)) * TICKS_PER_SECOND
        except ValueError:
            continue
    return None


def page_token(headers: Mapping[str, str]) -> str | None:
    """Where the page that is wanted begins; None for the first one.

    Raises:
        BadPage: that is no token.
    """
    token = headers.get("x-ms-continuation-token")
    try:
        return base64.b64decode(token, validate=True).decode() if token else None
    except ValueError:
        raise BadPage(500, "System.FormatException", _BASE64_PROBLEM) from None


def continuation(following: str | None) -> dict[str, str]:
    """The header that names the next page, when there is one."""
    return {} if following is None else {"x-ms-continuation-token": base64.b64encode(following.encode()).decode()}
