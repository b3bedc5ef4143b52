"""JSON as the engine passes it on: compact text, characters as they are, dates untouched."""

from __future__ import annotations

import json
from typing import Any


class Raw(str):
    """JSON text to be put into a larger document as it is."""

    __slots__ = ()


def dumps(value: Any) -> str:
    """Compact JSON text. Lone surrogates, which no table can hold, stay escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def loads(text: str | bytes) -> Any:
    """Parses JSON; `NaN` and `Infinity` are accepted, as .NET's reader does.

    Raises:
        ValueError: not JSON.
    """
    return json.loads(text)


def compact(text: str) -> str:
    """The same JSON value in compact text.

    Raises:
        ValueError: not JSON.
    """
    return dumps(json.loads(text))


def value_or_text(text: str | None) -> Any:
    """The JSON value of a stored text; the text itself when it is not JSON; None for None."""
    if text is None:
        return None
    if text == "":
        return ""
    try:
        return json.loads(text)
    except ValueError:
        return text
