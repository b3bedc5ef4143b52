"""Inline route constraints such as `{id:int}`, by ASP.NET Core's names and rules."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime

Constraint = Callable[[str], bool]

_NUMBER = re.compile(r"\s*[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_NO_NUMBER = re.compile(r"\s*(nan|[+-]?(infinity|\u221e))\s*", re.IGNORECASE)
_DATE_FORMATS = (
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d", "%d %B %Y", "%d %b %Y",
    "%B %d, %Y", "%b %d, %Y",
)  # fmt: skip
_CALL = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)


class BadConstraint(ValueError):
    """A constraint that does not exist or whose arguments are wrong."""


def parse_constraint(text: str) -> Constraint:
    """The test behind a constraint as it stands in a template (`int`, `length(1,5)`, `regex(^a+$)`).

    Raises:
        BadConstraint: there is none of that name and number of arguments.
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise BadConstraint(f"{text!r} is not a constraint")
    name, argument = match.group(1).lower(), match.group(2)
    if argument is None:
        if name not in _PLAIN:
            raise BadConstraint(f"there is no constraint {name!r} without arguments; there are {', '.join(sorted(_PLAIN))}")
        return _PLAIN[name]
    if name == "regex":
        try:
            pattern = re.compile(argument, re.IGNORECASE)
        except re.error as error:
            raise BadConstraint(f"the regular expression {argument!r} is not valid: {error}") from None
        return lambda value: pattern.search(value) is not None
    try:
        numbers = [int(part) for part in argument.split(",")]
    except ValueError:
        raise BadConstraint(f"{text!r} needs whole numbers as arguments") from None
    if (name, len(numbers)) not in _WITH_NUMBERS:
        raise BadConstraint(f"there is no constraint {name!r} with {len(numbers)} argument(s)")
    return _WITH_NUMBERS[name, len(numbers)](*numbers)


def _integer(value: str, bits: int) -> int | None:
    """A .NET integer: ASCII digits, a sign and surrounding spaces allowed, within its range."""
    text = value.strip()
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(1 << (bits - 1)) <= number < 1 << (bits - 1) else None


def _is_guid(value: str) -> bool:
    text = value.strip()
    for opening, closing in ("{}", "()"):
        if text.startswith(opening) and text.endswith(closing):
            text = text[1:-1]
    if not re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return False
    return uuid.UUID(text) is not None


def _is_datetime(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
        return True
    except ValueError:
        pass
    for form in _DATE_FORMATS:
        try:
            datetime.strptime(value, form)  # noqa: DTZ007 - only the form matters
            return True
        except ValueError:
            continue
    return False


def _in_range(low: int | None, high: int | None) -> Constraint:
    def test(value: str) -> bool:
        number = _integer(value, 64)
        return number is not None and (low is None or number >= low) and (high is None or number <= high)

    return test


def _has_length(low: int, high: int | None) -> Constraint:
    return lambda value: low <= len(value) and (high is None or len(value) <= high)


_PLAIN: dict[str, Constraint] = {
    "int": lambda value: _integer(value, 32) is not None,
    "long": lambda value: _integer(value, 64) is not None,
    "bool": lambda value: value.strip().lower() in {"true", "false"},
    "guid": _is_guid,
    "alpha": lambda value: re.fullmatch(r"[a-zA-Z]*", value) is not None,
    "datetime": _is_datetime,
    "decimal": lambda value: _NUMBER.fullmatch(value) is not None and "e" not in value.lower(),
    "double": lambda value: _NUMBER.fullmatch(value) is not None or _NO_NUMBER.fullmatch(value) is not None,
    "float": lambda value: _NUMBER.fullmatch(value) is not None or _NO_NUMBER.fullmatch(value) is not None,
    "required": lambda value: value != "",
    "file": lambda value: "." in value.rpartition("/")[2].rstrip("."),
    "nonfile": lambda value: "." not in value.rpartition("/")[2].rstrip("."),
}

_WITH_NUMBERS: dict[tuple[str, int], Callable[..., Constraint]] = {
    ("min", 1): lambda low: _in_range(low, None),
    ("max", 1): lambda high: _in_range(None, high),
    ("range", 2): _in_range,
    ("length", 1): lambda size: _has_length(size, size),
    ("length", 2): _has_length,
    ("minlength", 1): lambda low: _has_length(low, None),
    ("maxlength", 1): lambda high: _has_length(0, high),
}
