"""JSON text a function returned as `str`, rendered as the .NET host renders it.

The host parses such text and writes it again, so numbers, booleans and layout come out in .NET's spelling.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from devhost.lenient import read_leniently


def parse(text: str) -> Any:
    """The value in a JSON text, read as leniently as the real host's library does; floats keep their kind, nothing at all is null.

    Raises:
        ValueError: it is not JSON.
    """
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return read_leniently(text, to_the_end=True)


def as_text(value: Any) -> str:
    """A JSON value as the text of a reply: strings bare, `True`/`False`, nothing for null, objects and arrays indented."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return net_double(value)
    if isinstance(value, int):
        return str(value)
    return write(value, indent="")


def write(value: Any, *, indent: str | None) -> str:
    """JSON text in Newtonsoft's layout: compact when `indent` is None, else two spaces a level starting from `indent`."""
    if isinstance(value, dict):
        return _write_items([f"{_quote(key)}:{'' if indent is None else ' '}{write(item, indent=_deeper(indent))}"
                             for key, item in value.items()], "{}", indent)  # fmt: skip
    if isinstance(value, list):
        return _write_items([write(item, indent=_deeper(indent)) for item in value], "[]", indent)
    if isinstance(value, float):
        text = net_double(value)
        return text if any(c in text for c in ".EN") or "Infinity" in text else text + ".0"
    if isinstance(value, str):
        return _quote(value)
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _deeper(indent: str | None) -> str | None:
    return None if indent is None else indent + "  "


def _write_items(items: list[str], brackets: str, indent: str | None) -> str:
    if not items:
        return brackets
    if indent is None:
        return brackets[0] + ",".join(items) + brackets[1]
    inner = f",\n{indent}  ".join(items)
    return f"{brackets[0]}\n{indent}  {inner}\n{indent}{brackets[1]}"


def net_double(value: float) -> str:
    """A double as .NET writes it: shortest digits that give it back, scientific from 1E+15 and below 1E-04."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    prefix = "-" if sign else ""
    if not text:
        return prefix + "0"
    point = len(digits) + exponent  # where the decimal point stands, counted from the first digit
    if point > 15 or point < -3:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{prefix}{mantissa}E{'+' if point > 0 else '-'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{prefix}0.{'0' * -point}{text}"
    if point >= len(text):
        return prefix + text + "0" * (point - len(text))
    return f"{prefix}{text[:point]}.{text[point:]}"
