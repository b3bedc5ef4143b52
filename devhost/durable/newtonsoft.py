"""JSON request bodies, refused in the words of the JSON library that the real host uses."""

from __future__ import annotations

import json
from typing import Final

from devhost.durable.jsontext import dumps

_STARTERS: Final = '{["-0123456789tfnNIu/'


class BadJson(ValueError):
    """The body is not JSON; `str()` is the library's sentence."""


def parse_json(body: bytes, *, empty_is_null: bool) -> str | None:
    """The body as compact JSON text; None for JSON `null`.

    Raises:
        BadJson: not JSON, or nothing at all where something is needed.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    if not text.strip():
        if empty_is_null:
            return None
        raise BadJson("Error reading JToken from JsonReader. Path '', line 0, position 0.")
    try:
        value = json.loads(text)
    except RecursionError:
        raise BadJson("The reader's MaxDepth has been exceeded. Path '', line 1.") from None
    except json.JSONDecodeError as error:
        raise BadJson(_sentence(text, error)) from None
    return None if value is None else dumps(value)


def _sentence(text: str, error: json.JSONDecodeError) -> str:
    line, position = (error.lineno, error.colno - 1) if error.pos else (0, 0)
    if error.pos >= len(text):
        return f"Unexpected end when reading JSON. Path '', line {line}, position {position}."
    character = text[error.pos]
    if error.msg.startswith("Extra data"):
        return f"Additional text encountered after finished reading JSON content: {character}. Path '', line {line}, position {position}."
    if character in _STARTERS and error.pos == 0:
        return f"Error parsing JSON. Path '', line {line}, position {position}."
    return f"Unexpected character encountered while parsing value: {character}. Path '', line {line}, position {position}."
