"""JSON as the engine passes it on: compact text, characters as they are, dates untouched."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from devhost.lenient import NotLenientJson, read_leniently

_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""Kept: `json.dumps` makes an encoder for every call, which takes longer than the texts here."""


class Raw(str):
    """JSON text to be put into a larger document as it is."""

    __slots__ = ()


def dumps(value: Any) -> str:
    """Compact JSON text. Lone surrogates, which no table can hold, stay escaped; NaN and infinities become strings, as .NET writes them."""
    try:
        text = _COMPACT.encode(value)
    except ValueError:
        text = _COMPACT.encode(_without_nan(value))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), separators=(",", ":"))
    return text


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value


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
    """The JSON value of a stored text; the text itself, without blanks around it, when it does not begin with one; None for None."""
    if text is None:
        return None
    text = text.strip()
    if text == "":
        return ""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return read_leniently(text, to_the_end=False)
    except NotLenientJson:
        return text
